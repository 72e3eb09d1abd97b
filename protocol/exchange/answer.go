package exchange

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Kind is why there is no token for the server behind.
type Kind int

const (
	// Refused means that the authorization server doesn't issue it: the user hasn't
	// consented, or isn't allowed, or the server behind isn't one for this user.
	Refused Kind = iota
	// Interaction means that the user has to sign in again, in a way that
	// [Error.Claims] says.
	Interaction
	// OwnClient means that the authorization server refuses us, or doesn't know the
	// grant: the operator has to correct the configuration, here or there.
	OwnClient
	// NoUser means that the token is not a user's, or not from that authorization
	// server. There is nobody to act for, and it would be wrong to act as another.
	NoUser
)

// Error says why there is no token for the server behind.
type Error struct {
	// Kind is the reason.
	Kind Kind
	// Claims is the claims challenge of an [Interaction], a JSON object. The client
	// passes it on to the authorization server.
	Claims string
	// Code is the authorization server's error code, for logs.
	Code string
}

func (e *Error) Error() string {
	switch e.Kind {
	case Interaction:
		return "the authorization server wants the user to sign in again: " + e.Code
	case OwnClient:
		return "the authorization server refuses the front door as a client, or this kind of exchange: " + e.Code
	case NoUser:
		return "the token is not a user's of the authorization server where it would be exchanged"
	}
	return "the authorization server refuses the exchange: " + e.Code
}

// maxClaims bounds a claims challenge. It becomes a header.
const maxClaims = 4 << 10

// issued is a token that was issued.
type issued struct {
	text    string
	expires time.Time // zero if the server doesn't say
	scopes  []string  // nil if it doesn't say
}

// read reads an answer about a subject.
func (c *Config) read(a *outbound.Answer, subject string) (*issued, error) {
	if !a.OK() {
		return nil, c.refusal(a)
	}
	t, err := c.readToken(a.Body)
	if err == nil && t.text == subject {
		// The server behind must not get the user's own token.
		err = errors.New("it is the token that was to be exchanged")
	}
	if err != nil {
		return nil, &outbound.UnavailableError{Err: fmt.Errorf("token exchange: the answer is not usable: %w", err)}
	}
	return t, nil
}

// readToken reads a token response (RFC 6749, section 5.1; RFC 8693, section 2.2.1).
func (c *Config) readToken(body []byte) (*issued, error) {
	var t issued
	var kind, issuedType string
	err := strictjson.MembersOf(body, []string{"access_token", "token_type", "expires_in", "scope", "issued_token_type"}, func(name string, value jsontext.Value) (err error) {
		if value.Kind() == 'n' {
			return nil
		}
		switch name {
		case "access_token":
			t.text, err = strictjson.String(value)
		case "token_type":
			kind, err = strictjson.String(value)
		case "issued_token_type":
			issuedType, err = strictjson.String(value)
		case "scope":
			var scope string
			scope, err = strictjson.String(value)
			t.scopes = strings.Fields(scope)
		case "expires_in":
			var seconds time.Duration
			if seconds, err = lifetime(value); err == nil {
				t.expires = c.Now().Add(seconds)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case !bearer.MatchString(t.text) || len(t.text) > token.MaxSize:
		return nil, errors.New("access_token is missing, or is no bearer token")
	case !strings.EqualFold(kind, "Bearer"):
		// DPoP: we don't have its key. N_A: it isn't an access token.
		return nil, errors.New("token_type is not Bearer")
	case issuedType != "" && issuedType != types["access_token"] && issuedType != types["jwt"] && issuedType != c.requestedType():
		return nil, errors.New("issued_token_type is neither an access token nor what was asked for")
	}
	return &t, nil
}

// bearer is the form of bearer tokens (RFC 6750, section 2.1).
var bearer = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// maxLifetime bounds expires_in: an absurd one must not overflow.
const maxLifetime = 30 * 24 * time.Hour

// lifetime reads expires_in. Some servers write it as a text.
func lifetime(value jsontext.Value) (time.Duration, error) {
	text := string(value)
	if value.Kind() == '"' {
		var err error
		if text, err = strictjson.String(value); err != nil {
			return 0, err
		}
	}
	seconds, err := strconv.ParseUint(text, 10, 63)
	if err != nil || seconds == 0 {
		return 0, errors.New("not a number of seconds")
	}
	return min(time.Duration(min(seconds, uint64(maxLifetime/time.Second)))*time.Second, maxLifetime), nil
}

// code is the form of the error codes that get into logs.
var code = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

// refusal returns the error for an answer other than 200.
func (c *Config) refusal(a *outbound.Answer) error {
	failed := func(outage bool, cure string) error {
		return &outbound.UnavailableError{RetryAfter: a.RetryAfter(), Outage: outage, Err: fmt.Errorf("token exchange: the token endpoint answered %d%s", a.Status, cure)}
	}
	switch a.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return failed(true, "")
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		if a.Redirect() {
			return failed(false, ": redirects are not followed, so give the final address")
		}
		return failed(false, "")
	}
	var e Error
	err := strictjson.MembersOf(a.Body, []string{"error", "claims"}, func(name string, value jsontext.Value) (err error) {
		switch {
		case name == "error":
			e.Code, err = strictjson.String(value)
		case name == "claims" && value.Kind() == '"':
			e.Claims, err = strictjson.String(value)
		}
		return err
	})
	if err != nil || !code.MatchString(e.Code) {
		e = Error{Code: "no error code"}
		if a.Status != http.StatusUnauthorized {
			// A firewall's page, perhaps: it says nothing about the user.
			return failed(false, ", and not as RFC 6749, section 5.2 has it")
		}
	}
	if e.Claims != "" && (len(e.Claims) > maxClaims || !jsontext.Value(e.Claims).IsValid() || jsontext.Value(e.Claims).Kind() != '{') {
		e.Claims = ""
	}
	switch {
	case e.Code == "temporarily_unavailable", e.Code == "server_error":
		return failed(false, ": "+e.Code)
	case e.Code == "invalid_client", e.Code == "unauthorized_client", e.Code == "unsupported_grant_type", a.Status == http.StatusUnauthorized:
		// It concerns every user, so after several the server isn't asked for a while.
		e.Kind, e.Claims = OwnClient, ""
		return &outbound.UnavailableError{Outage: true, Err: &e}
	case e.Claims != "":
		e.Kind = Interaction
	}
	return &outbound.UnavailableError{Err: &e}
}
