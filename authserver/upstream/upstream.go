// Package upstream signs users in somewhere else: at an OpenID provider, or at
// GitHub. The client side of OAuth is golang.org/x/oauth2's, ID tokens are
// verified by go-oidc. It knows nothing of Caddy.
//
// Nothing of what an upstream issues is kept: its tokens are used to find out
// who the user is, and thrown away.
package upstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// Identity is who an upstream says the user is.
type Identity struct {
	// Subject is unique and stable at this upstream. Never empty.
	Subject string

	Username, Name, Email string
	// EmailVerified says whether the upstream vouches for Email.
	EmailVerified bool
	// Groups are the organizations of a GitHub user, or the claim groups.
	Groups []string
	// Claims are those of the ID token and of userinfo; nil at GitHub.
	Claims map[string]any
}

// Pending is the state of a sign-in between its start and its end. It must be kept
// secret.
type Pending struct {
	State    string `json:"s"`
	Nonce    string `json:"n,omitempty"`
	Verifier string `json:"v"`
}

// Wish is what the upstream is asked for beside who the user is. It may do
// otherwise.
type Wish struct {
	// LoginHint is who the user probably is (OpenID Connect Core 1.0, section
	// 3.1.2.1); it may be empty.
	LoginHint string
	// Prompt is login or select_account, for the user to be asked in any case; or
	// empty.
	Prompt string
}

// options are the parameters that say so; hint is what the upstream calls the
// first.
func (w Wish) options(hint string) []oauth2.AuthCodeOption {
	var options []oauth2.AuthCodeOption
	if w.LoginHint != "" {
		options = append(options, oauth2.SetAuthURLParam(hint, w.LoginHint))
	}
	if w.Prompt != "" {
		options = append(options, oauth2.SetAuthURLParam("prompt", w.Prompt))
	}
	return options
}

// Provider is somewhere that users sign in.
type Provider interface {
	// Label is what users call it.
	Label() string
	// Source tells its users from those of every other provider: its kind, where it
	// is, and which client this server is there, for an OpenID provider may give
	// each client other subjects (OpenID Connect Core 1.0, section 8.1).
	Source() []string
	// Begin returns the URL to send the browser to.
	Begin(ctx context.Context, redirectURI string, wish Wish) (authorizationURL string, p Pending, err error)
	// Finish returns who the user is that the parameters of the callback speak
	// of. Its error is a [*DeniedError], an [*UnavailableError] or an
	// [*InvalidError].
	Finish(ctx context.Context, redirectURI string, p Pending, callback url.Values) (Identity, error)
}

// DeniedError says that the user, or the upstream, refused.
type DeniedError struct {
	// Code is the OAuth error that the upstream answered.
	Code string
}

func (e *DeniedError) Error() string { return "the upstream answered " + e.Code }

// UnavailableError says that the upstream could not be asked.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return fmt.Sprintf("asking the upstream: %v", e.Err) }

func (e *UnavailableError) Unwrap() error { return e.Err }

// InvalidError says that an answer was not one to this sign-in, or not one to
// believe.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return fmt.Sprintf("the upstream's answer: %v", e.Err) }

func (e *InvalidError) Unwrap() error { return e.Err }

func invalid(text string) error { return &InvalidError{errors.New(text)} }

// timeout bounds everything that one step of a sign-in asks of an upstream.
const timeout = 15 * time.Second

// begin makes the values that tie an answer to this sign-in and this browser.
func begin() (Pending, oauth2.AuthCodeOption) {
	p := Pending{State: rand.Text() + rand.Text(), Verifier: oauth2.GenerateVerifier()}
	return p, oauth2.S256ChallengeOption(p.Verifier)
}

// checkCallback returns the code of a callback. issuer is what its iss, if it
// has one, must be; promised says that it must have one (RFC 9207, section 2.4:
// an answer of one server must not be taken to another).
func checkCallback(p Pending, callback url.Values, issuer string, promised bool) (string, error) {
	for _, values := range callback {
		if len(values) > 1 {
			return "", invalid("a parameter is given twice")
		}
	}
	if p.State == "" || subtle.ConstantTimeCompare([]byte(p.State), []byte(callback.Get("state"))) != 1 {
		return "", invalid("the state doesn't belong to this sign-in")
	}
	if callback.Has("iss") && callback.Get("iss") != issuer || promised && !callback.Has("iss") {
		return "", invalid("iss is not the upstream's issuer")
	}
	if callback.Has("error") {
		return "", denied(callback.Get("error"))
	}
	if callback.Get("code") == "" {
		return "", invalid("there is neither a code nor an error")
	}
	return callback.Get("code"), nil
}

// denied maps an OAuth error at the callback.
func denied(code string) error {
	switch code {
	case "server_error", "temporarily_unavailable":
		return &UnavailableError{errors.New(code)}
	case "access_denied", "login_required", "consent_required", "interaction_required", "account_selection_required":
		return &DeniedError{code}
	case "application_suspended", "redirect_uri_mismatch", "unauthorized_client", "invalid_scope", "invalid_request":
		return &InvalidError{fmt.Errorf("the upstream refused the request: %s (is this server registered there, with its callback address?)", code)}
	}
	return invalid("the upstream refused the request without naming a reason")
}

// tokenErrors are those of RFC 6749, section 5.2, and GitHub's.
var tokenErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"incorrect_client_credentials", "redirect_uri_mismatch", "bad_verification_code", "unverified_user_email",
}

// exchange redeems a code. Only an answer of the upstream's own is a refusal.
func exchange(ctx context.Context, config *oauth2.Config, p Pending, code string) (*oauth2.Token, error) {
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(p.Verifier))
	if err == nil {
		return token, nil
	}
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok && answer.Response != nil && answer.Response.StatusCode < 500 &&
		answer.Response.StatusCode != http.StatusTooManyRequests {
		// Not %w: the error carries the body. What is no error code may be
		// anything, too.
		code := answer.ErrorCode
		if !slices.Contains(tokenErrors, code) {
			code = "no known error code"
		}
		return nil, &InvalidError{fmt.Errorf("the token endpoint answered %d, %s", answer.Response.StatusCode, code)}
	} else if ok && answer.Response != nil {
		return nil, &UnavailableError{fmt.Errorf("the token endpoint answered %d", answer.Response.StatusCode)}
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return nil, &UnavailableError{err}
	}
	return nil, invalid("the token endpoint's answer can't be read")
}

// maxBody bounds what is read of any answer, in bytes: neither go-oidc nor
// x/oauth2 does everywhere.
const maxBody = 1 << 20

// newClient returns the client for talking to an upstream.
func newClient(c *http.Client) *http.Client {
	if c == nil {
		c = discovery.NewClient()
	}
	bounded := *c
	if c.Timeout <= 0 || c.Timeout > timeout {
		bounded.Timeout = timeout
	}
	base := c.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	bounded.Transport = boundedTransport{base}
	return &bounded
}

type boundedTransport struct{ base http.RoundTripper }

func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	// Read here, so that an answer that breaks off is one that could not be had:
	// x/oauth2 makes it look like one that makes no sense.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
