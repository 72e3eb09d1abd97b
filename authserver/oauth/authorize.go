package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

const (
	// maxState bounds the state parameter, in bytes. It comes back in a URL. Some
	// clients keep a sealed record in it.
	maxState = 4 << 10
	// maxAuthorization bounds the whole query of an authorization request, in
	// bytes. Each byte of the state may take three when encoded. Caddy accepts 16
	// KiB of headers.
	maxAuthorization = 14 << 10
	// maxMaxAge is the largest max_age that makes a difference, in seconds: one
	// year. No session is older.
	maxMaxAge = 365 * 24 * 60 * 60
)

// Authorization is a valid authorization request, ready to be shown to the user:
// the client is known, the redirect URI is one of its own, and there is a PKCE
// challenge.
type Authorization struct {
	// ClientID identifies the client.
	ClientID string `json:"c"`
	// RedirectURI is where the response goes, exactly as the client sent it.
	RedirectURI string `json:"r"`
	// State is the client's state, returned unchanged.
	State opaque `json:"s,omitempty"`
	// Resource is the audience of the access tokens.
	Resource string `json:"a"`
	// Scopes are the requested scopes that can be granted.
	Scopes []string `json:"p"`
	// Offline says that the client will get refresh tokens, and so keeps access
	// while the user is away: it requested offline_access, or didn't register
	// without the grant.
	Offline bool `json:"o,omitempty"`
	// Challenge is the PKCE code challenge, by S256.
	Challenge string `json:"h"`
	// Key is the thumbprint of the key that the code is bound to (RFC 9449, section
	// 10); empty if the client named none.
	Key string `json:"k,omitempty"`
	// Prompt is what the client wants the user to be asked, even if the answer is
	// remembered (OpenID Connect Core, section 3.1.2.1): login, consent,
	// select_account; or none, to ask nothing.
	Prompt []string `json:"m,omitempty"`
	// MaxAge is the greatest acceptable age of the user's sign-in, in seconds
	// (section 3.1.2.1). Nil: any age.
	MaxAge *int64 `json:"x,omitempty"`
	// LoginHint is who the client thinks the user is.
	LoginHint string `json:"l,omitempty"`
	// Asked is when the request arrived.
	Asked time.Time `json:"t"`
}

// Accepts reports whether a sign-in at the given time is recent enough for the
// client. One made after the request always is.
func (a *Authorization) Accepts(signedIn time.Time) bool {
	switch {
	case !signedIn.Before(a.Asked):
		return true
	case a.Prompts("login"), a.Prompts("select_account"):
		return false
	}
	return a.MaxAge == nil || !signedIn.Before(a.Asked.Add(-time.Duration(*a.MaxAge)*time.Second))
}

// opaque is text from the client that is returned unchanged. In JSON it is
// base64, because bytes that aren't UTF-8 would change, and others could take six
// times the space.
type opaque string

// MarshalText implements [encoding.TextMarshaler].
func (o opaque) MarshalText() ([]byte, error) {
	return base64.RawStdEncoding.AppendEncode(nil, []byte(o)), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *opaque) UnmarshalText(text []byte) error {
	b, err := base64.RawStdEncoding.DecodeString(string(text))
	*o = opaque(b)
	return err
}

// Prompts reports whether the client wants the user asked for value.
func (a *Authorization) Prompts(value string) bool { return slices.Contains(a.Prompt, value) }

// AuthorizationError is an authorization request that was refused.
type AuthorizationError struct {
	// Err is the error that the client, or else the user, is told.
	Err *Error
	// RedirectTo is where to send the browser, so that the client learns of the
	// refusal (RFC 6749, section 4.1.2.1). It is empty if the client or its
	// redirect URI is not known to be right. Then only the user may be told;
	// otherwise this server would be an open redirector.
	RedirectTo string
	// Ask says that the user must confirm before the browser is sent there: they
	// haven't been asked anything yet, and anyone may have registered the client.
	// Otherwise a link to this server could lead anywhere its author likes (RFC
	// 9700, section 4.11.2).
	Ask bool
}

func (e *AuthorizationError) Error() string { return e.Err.Error() }

func (e *AuthorizationError) Unwrap() error { return e.Err }

// Authorize judges the authorization request with the given parameters (OAuth
// 2.1, section 4.1.1). The error is an [*AuthorizationError].
func (s *Server) Authorize(ctx context.Context, query string) (*Authorization, *Client, error) {
	if len(query) > maxAuthorization {
		return nil, nil, &AuthorizationError{Err: &Error{
			Code: "invalid_request", Description: "The request is too large.", Status: http.StatusRequestURITooLong,
		}}
	}
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return nil, nil, &AuthorizationError{Err: invalidRequest("The request's parameters are malformed.")}
	}
	// Parameters must not be repeated. For these two, another reader may take the
	// second value.
	repeated := omitEmpty(parameters)
	if slices.Contains(repeated, "client_id") || slices.Contains(repeated, "redirect_uri") {
		return nil, nil, &AuthorizationError{Err: invalidRequest("A parameter is given twice.")}
	}
	c, err := s.client(ctx, parameters.Get("client_id"))
	if err != nil {
		return nil, nil, &AuthorizationError{Err: asError(err)}
	}
	redirectURI, err := c.redirectURI(parameters.Get("redirect_uri"))
	if err != nil {
		return nil, c, &AuthorizationError{Err: s.wrongRedirect(c, parameters.Get("redirect_uri"), err)}
	}
	a := &Authorization{
		ClientID:    c.ID,
		RedirectURI: redirectURI,
		State:       opaque(parameters.Get("state")),
		Challenge:   parameters.Get("code_challenge"),
		Prompt:      strings.Fields(parameters.Get("prompt")),
		LoginHint:   parameters.Get("login_hint"),
		Asked:       s.now(),
	}
	if slices.Contains(repeated, "state") {
		a.State = "" // which one?
	}
	if len(repeated) > 0 {
		return nil, c, s.refuseUnasked(a, c, invalidRequest("A parameter is given twice."))
	}
	if err := s.judgeRequest(a, c, parameters); err != nil {
		return nil, c, s.refuseUnasked(a, c, err)
	}
	return a, c, nil
}

// wrongRedirect says why the client may not use the redirect URI that it names:
// the operator doesn't allow it, or the client didn't register it.
func (s *Server) wrongRedirect(c *Client, uri string, cause error) *Error {
	if reason, ok := errors.AsType[*registration.NotAllowedError](s.config.Registration.Allows(uri)); ok && c.Kind != PreRegistered {
		return notAllowed(uri, reason)
	}
	e := invalidRequest("The redirect_uri" + named(uri) + " is not one that the client registered.")
	e.Cause = cause
	return e
}

// named returns uri, to follow a word for it in a description: a developer or an
// operator has to compare it with what is registered. A text that is not a URI
// isn't repeated, because its author could write on a page of this server.
func named(uri string) string {
	if uri == "" || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return " " + registration.Quoted(uri)
}

// judgeRequest checks everything whose refusal the client may be told.
func (s *Server) judgeRequest(a *Authorization, c *Client, parameters url.Values) *Error {
	if len(a.State) > maxState {
		a.State = "" // not echoed, because it would not arrive
		return invalidRequest("The state is too long.")
	}
	if len(a.LoginHint) > 200 {
		a.LoginHint = ""
	}
	switch responseType := parameters.Get("response_type"); {
	case parameters.Has("request"):
		return badRequest("request_not_supported", "Request objects are not supported.")
	case parameters.Has("request_uri"):
		return badRequest("request_uri_not_supported", "Request objects are not supported.")
	case responseType == "":
		return invalidRequest("response_type is missing.")
	case responseType != "code":
		return badRequest("unsupported_response_type", "The response_type must be code.")
	case parameters.Has("response_mode") && parameters.Get("response_mode") != "query":
		return invalidRequest("The response_mode must be query.")
	case len(c.RedirectURIs) == 0:
		return badRequest("unauthorized_client", "The client may not use this grant.")
	case a.Challenge == "":
		return invalidRequest("code_challenge is missing: PKCE is required.")
	case parameters.Get("code_challenge_method") != "S256":
		// Without it, the method would be plain (RFC 7636, section 4.3).
		return invalidRequest("The code_challenge_method must be S256.")
	case !isS256(a.Challenge):
		return invalidRequest("The code_challenge is not a valid S256 challenge.")
	case s.config.DPoP != nil && parameters.Has("dpop_jkt") && !isS256(parameters.Get("dpop_jkt")):
		return invalidRequest("The dpop_jkt is not the SHA-256 thumbprint of a key.")
	case a.Prompts("none") && len(a.Prompt) > 1:
		return invalidRequest("The prompt value none can't be combined with others.")
	}
	if s.config.DPoP != nil {
		a.Key = parameters.Get("dpop_jkt")
	}
	if text := parameters.Get("max_age"); text != "" {
		age, err := strconv.ParseUint(text, 10, 63)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return invalidRequest("max_age is not a number of seconds.")
		}
		if age <= maxMaxAge { // a longer one accepts any age
			a.MaxAge = new(int64(age))
		}
	}
	var err *Error
	if a.Resource, err = s.resourceFor(parameters["resource"]); err != nil {
		return err
	}
	scopes, offline, failure := s.grantedScopes(c, parameters.Get("scope"))
	if failure != nil {
		return asError(failure)
	}
	a.Scopes, a.Offline = scopes, offline || !c.noRefresh
	return nil
}

// isS256 reports whether challenge may be a SHA-256 hash in base64url.
func isS256(challenge string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	return err == nil && len(b) == 32 && len(challenge) == 43
}

// resourceFor returns the audience that a request names (RFC 8707, section 2).
func (s *Server) resourceFor(named []string) (string, *Error) {
	switch {
	case len(named) > 1:
		return "", badRequest("invalid_target", "A token is for one resource: name only one.")
	case len(named) == 0 && len(s.config.Resources) == 1:
		// Clients before revision 2025-06-18 name none.
		return s.config.Resources[0], nil
	case len(named) == 0:
		return "", badRequest("invalid_target", "This server has several resources: the request must name one.")
	}
	for _, known := range s.config.Resources {
		if resource.Same(known, named[0]) {
			return known, nil
		}
	}
	return "", badRequest("invalid_target", "This server issues no tokens for the requested resource.")
}

// Refuse returns the refusal of a, to be sent to the client. If reason is nil,
// the user refused.
func (s *Server) Refuse(a *Authorization, reason *Error) *AuthorizationError {
	if reason == nil {
		reason = badRequest("access_denied", "The user denied the request.")
	}
	parameters := url.Values{"error": {reason.Code}, "error_description": {reason.Description}}
	return &AuthorizationError{Err: reason, RedirectTo: s.respond(a, parameters)}
}

// refuseUnasked refuses a before the user was asked anything.
func (s *Server) refuseUnasked(a *Authorization, c *Client, reason *Error) *AuthorizationError {
	refused := s.Refuse(a, reason)
	// The operator's clients and redirect URIs are trusted, and so is an address
	// on the user's own computer.
	refused.Ask = c.Kind != PreRegistered && len(s.config.Registration.RedirectURIs) == 0 && strings.HasPrefix(a.RedirectURI, "https:")
	return refused
}

// InteractionNeeded refuses a request with prompt=none that the user would have
// to answer. code is login_required, consent_required or interaction_required.
func (s *Server) InteractionNeeded(a *Authorization, c *Client, code string) *AuthorizationError {
	return s.refuseUnasked(a, c, badRequest(code, "The user must be asked, but the request says prompt=none."))
}

// respond returns the URL of an authorization response, with the state of the
// request and this server's identifier (RFC 9207).
func (s *Server) respond(a *Authorization, parameters url.Values) string {
	if a.State != "" {
		parameters.Set("state", string(a.State))
	}
	parameters.Set("iss", s.config.Issuer)
	return registration.WithParameters(a.RedirectURI, parameters)
}

// Client returns the client of a. It also removes from a what the configuration
// no longer allows, because that may have changed since a was checked. The error
// is an [*AuthorizationError] if nothing is left.
func (s *Server) Client(ctx context.Context, a *Authorization) (*Client, error) {
	c, err := s.client(ctx, a.ClientID)
	if err != nil {
		return nil, &AuthorizationError{Err: asError(err)}
	}
	if _, err := c.redirectURI(a.RedirectURI); err != nil {
		return nil, &AuthorizationError{Err: s.wrongRedirect(c, a.RedirectURI, err)}
	}
	audience, scopes, refused := s.permitted(c, a.RedirectURI, a.Resource, a.Scopes)
	if refused != nil {
		return nil, s.refuseUnasked(a, c, refused)
	}
	a.Resource, a.Scopes = audience, scopes
	return c, nil
}
