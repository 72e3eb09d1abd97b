// Package upstream signs users in at another provider: an OpenID provider, or
// GitHub. golang.org/x/oauth2 is the OAuth client, go-oidc verifies ID tokens.
// This package doesn't know Caddy.
//
// The upstream's tokens are used to find out who the user is, and then discarded.
package upstream

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// Identity is what an upstream says about a user.
type Identity struct {
	// Subject identifies the user at this upstream. It is never empty and never
	// changes.
	Subject string

	// Username is a name for display. Users of an OpenID provider may be able to
	// choose it; at GitHub it is unique. Name is the full name, and Email an
	// address. Each may be empty.
	Username, Name, Email string
	// EmailVerified says whether the upstream has verified Email.
	EmailVerified bool
	// Groups are the organizations of a GitHub user, and the teams as
	// organization/team; or the values of the claim groups.
	Groups []string
	// Claims are the claims of the ID token and of userinfo; nil for GitHub.
	Claims map[string]any
}

// Pending is the state of a sign-in between [Provider.Begin] and
// [Provider.Finish]. It must be kept secret, and be available only to the browser
// that began.
type Pending struct {
	// State is compared with the callback's state. Nonce is compared with the ID
	// token's nonce; empty for GitHub. Verifier is the PKCE code verifier.
	State    string `json:"s"`
	Nonce    string `json:"n,omitempty"`
	Verifier string `json:"v"`
	// SignedInSince is the earliest time at which the user may have signed in, in
	// seconds since the epoch; nil if the time doesn't matter.
	SignedInSince *int64 `json:"a,omitempty"`
}

// Wish is what else is requested of the upstream. The upstream may ignore it.
type Wish struct {
	// LoginHint is the expected user (OpenID Connect Core 1.0, section 3.1.2.1).
	// May be empty.
	LoginHint string
	// MaxAge is how long ago the user may have signed in there, in seconds; nil if
	// it doesn't matter. An OpenID provider has to comply, GitHub can't.
	MaxAge *int64
	// Prompt is login or select_account, so that the upstream asks the user in
	// any case. May be empty.
	Prompt string
}

// options returns the parameters for w. hint is the upstream's name for
// login_hint.
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

// Provider is an upstream where users sign in.
type Provider interface {
	// Label returns the name on the sign-in page.
	Label() string
	// Source distinguishes the users of this provider from those of every other.
	// It returns the kind, the address, and this server's client identifier
	// there, because an OpenID provider may give each client different subjects
	// (OpenID Connect Core 1.0, section 8.1).
	Source() []string
	// Begin returns the URL to send the browser to.
	Begin(ctx context.Context, redirectURI string, wish Wish) (authorizationURL string, p Pending, err error)
	// Finish returns the user that the parameters of the callback stand for. The
	// error is a [*DeniedError], an [*outbound.UnavailableError] or an
	// [*InvalidError].
	Finish(ctx context.Context, redirectURI string, p Pending, callback url.Values) (Identity, error)
}

// DeniedError means that the user, or the upstream, refused.
type DeniedError struct {
	// Code is the OAuth error code of the upstream's answer.
	Code string
}

func (e *DeniedError) Error() string { return "the upstream answered " + e.Code }

// unavailable returns the error for an upstream that did not answer, or failed.
func unavailable(err error) error {
	return &outbound.UnavailableError{Err: fmt.Errorf("asking the upstream: %w", err)}
}

// InvalidError means that an answer doesn't belong to this sign-in, or is not
// trustworthy.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return fmt.Sprintf("the upstream's answer: %v", e.Err) }

func (e *InvalidError) Unwrap() error { return e.Err }

func invalid(text string) error { return &InvalidError{errors.New(text)} }

// timeout bounds all requests to an upstream in one step of a sign-in.
const timeout = 15 * time.Second

// begin makes the values that bind an answer to this sign-in and this browser.
func begin() (Pending, oauth2.AuthCodeOption) {
	p := Pending{State: rand.Text() + rand.Text(), Verifier: oauth2.GenerateVerifier()}
	return p, oauth2.S256ChallengeOption(p.Verifier)
}

// checkCallback returns the code of a callback. If the callback has an iss, it
// must be issuer. If promised is true, it must have one, so that the answer of
// one server can't be passed off as another's (RFC 9207, section 2.4).
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

// denied converts an OAuth error of the callback.
func denied(code string) error {
	switch code {
	case "server_error", "temporarily_unavailable":
		return unavailable(errors.New(code))
	case "access_denied", "login_required", "consent_required", "interaction_required", "account_selection_required":
		return &DeniedError{code}
	case "application_suspended", "redirect_uri_mismatch", "unauthorized_client", "invalid_scope", "invalid_request":
		return &InvalidError{fmt.Errorf("the upstream refused the request: %s (is this server registered there, with its callback address?)", code)}
	}
	return invalid("the upstream refused the request without naming a reason")
}

// tokenErrors are the error codes of RFC 6749, section 5.2, and GitHub's.
var tokenErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"incorrect_client_credentials", "redirect_uri_mismatch", "bad_verification_code", "unverified_user_email",
}

// exchange redeems a code. Only an answer of the upstream itself counts as a
// refusal.
func exchange(ctx context.Context, config *oauth2.Config, p Pending, code string) (*oauth2.Token, error) {
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(p.Verifier))
	if err == nil {
		return token, nil
	}
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok && answer.Response != nil && answer.Response.StatusCode < 500 &&
		answer.Response.StatusCode != http.StatusTooManyRequests {
		// The error isn't wrapped, because it contains the body. An unknown error
		// code may contain anything, too.
		code := answer.ErrorCode
		if !slices.Contains(tokenErrors, code) {
			code = "no known error code"
		}
		return nil, &InvalidError{fmt.Errorf("the token endpoint answered %d, %s", answer.Response.StatusCode, code)}
	} else if ok && answer.Response != nil {
		return nil, unavailable(fmt.Errorf("the token endpoint answered %d", answer.Response.StatusCode))
	}
	if tooLarge, ok := errors.AsType[*outbound.TooLargeError](err); ok {
		return nil, &InvalidError{tooLarge}
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return nil, unavailable(err)
	}
	return nil, invalid("the token endpoint's answer can't be read")
}

// maxBody bounds what is read of any response, in bytes. go-oidc and x/oauth2
// don't bound all of them.
const maxBody = 1 << 20

// newClient returns the client for requests to an upstream.
func newClient(c *http.Client) *http.Client {
	if c == nil {
		c = outbound.NewClient()
	}
	bounded := *c
	if c.Timeout <= 0 || c.Timeout > timeout {
		bounded.Timeout = timeout
	}
	bounded.Transport = outbound.Bounded(c.Transport, maxBody)
	return &bounded
}
