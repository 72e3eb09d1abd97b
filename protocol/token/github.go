package token

// This file asks GitHub about its opaque tokens: POST
// /applications/{client_id}/token whether one was issued to a certain
// application, and GET /user whose it is. GitHub has neither introspection (RFC
// 7662) nor an audience; the application stands in for it.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

const (
	gitHubOrigin = "https://github.com"
	gitHubAPI    = "https://api.github.com"
	// gitHubVersion is the version of GitHub's REST API that this was written
	// for. GitHub Enterprise Server knows it since 3.9.
	gitHubVersion = "2022-11-28"
)

// GitHubConfig says what a [GitHub] accepts.
type GitHubConfig struct {
	// Issuer is what tokens are said to be from: a URL of github.com or of a
	// GitHub Enterprise. Required.
	Issuer string

	// Endpoint is where the REST API is: https, or http on loopback. Empty
	// means https://api.github.com, if Issuer is of github.com.
	Endpoint string

	// ClientID and ClientSecret are those of the OAuth app or GitHub App whose
	// tokens are accepted. Required, unless InsecureAnyApplication.
	ClientID, ClientSecret string

	// InsecureAnyApplication accepts tokens that were issued to any application:
	// the owner of any application that a user signs in to can use the user's
	// token here.
	InsecureAnyApplication bool

	// Prefixes lists what tokens begin with: one that begins otherwise is not
	// sent to GitHub, see [Prefixed]. Empty means those that GitHub is known to
	// use for applications; with InsecureAnyApplication, for people too.
	Prefixes []string

	// Client talks to GitHub. Nil means a client of net/http's defaults.
	// Redirects are not followed, whatever it would do.
	Client *http.Client

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// GitHub verifies the tokens of users of GitHub's applications.
type GitHub struct {
	config GitHubConfig
	client *http.Client
}

// NewGitHub returns a verifier, or an error that says what is wrong with config.
func NewGitHub(config GitHubConfig) (*GitHub, error) {
	switch {
	case config.Issuer == "":
		return nil, errors.New("no issuer")
	case config.InsecureAnyApplication && (config.ClientID != "" || config.ClientSecret != ""):
		return nil, errors.New("insecure_any_application contradicts client_id and client_secret")
	case !config.InsecureAnyApplication && config.ClientID == "":
		return nil, errors.New("no client_id: tokens of any application would be accepted. Give client_id and client_secret of yours")
	case !config.InsecureAnyApplication && config.ClientSecret == "":
		return nil, errors.New("no client_secret: GitHub only tells an application itself which tokens are its own")
	case strings.ContainsRune(config.ClientID, ':'):
		return nil, errors.New("client_id contains a colon") // RFC 7617 has no way to send it
	}
	if config.Endpoint == "" {
		u, err := url.Parse(config.Issuer)
		if err != nil || web.Origin(u) != gitHubOrigin {
			return nil, errors.New("the issuer is not github.com, so say where its API is, for example: endpoint https://github.example.com/api/v3")
		}
		config.Endpoint = gitHubAPI
	}
	if err := web.CheckAddress(config.Endpoint); err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if strings.Contains(config.Endpoint, "?") {
		return nil, errors.New("endpoint: contains a query")
	}
	config.Endpoint = strings.TrimRight(config.Endpoint, "/")
	if err := CheckPrefixes(config.Prefixes); err != nil {
		return nil, fmt.Errorf("token_prefix: %w", err)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &GitHub{config: config, client: noRedirects(config.Client)}, nil
}

// Verify implements [Verifier]. The check of the application comes first: it is
// the one that GitHub doesn't count as a failed login.
func (v *GitHub) Verify(ctx context.Context, p *Presented) (*Token, error) {
	if p.JWS != nil {
		return nil, invalid(WrongType, "a signed JWT, which GitHub's tokens are not")
	}
	if v.config.InsecureAnyApplication {
		return v.user(ctx, p.Raw, gitHubGrant{})
	}
	grant, err := v.check(ctx, p.Raw)
	if errors.Is(err, errUnprocessable) {
		// "Validation failed, or the endpoint has been spammed": in the second
		// case the token may be good. Ask where it makes a difference.
		var inv *InvalidError
		if _, userErr := v.user(ctx, p.Raw, grant); errors.As(userErr, &inv) {
			return nil, userErr
		}
	}
	if err != nil {
		return nil, err
	}
	return v.user(ctx, p.Raw, grant)
}

// Probe implements [Prober]: a token that was never issued is not the application's,
// or, where that isn't asked, nobody's.
func (v *GitHub) Probe(ctx context.Context) error {
	prefixes, _ := v.Prefixes()
	raw := randomToken(prefixes)
	var err error
	if v.config.InsecureAnyApplication {
		_, err = v.user(ctx, raw, gitHubGrant{})
	} else {
		_, err = v.check(ctx, raw)
	}
	if _, ok := errors.AsType[*InvalidError](err); ok || errors.Is(err, errUnprocessable) {
		return nil
	}
	if err == nil {
		err = errors.New("GitHub: it accepts a token that it can't have issued")
	}
	return err
}

// Accepts implements [Selector].
func (v *GitHub) Accepts(p *Presented) bool { return p.JWS == nil }

// Prefixes implements [Prefixed]. Unless they are configured, they are not all: the
// tokens of before April 2021 have none.
func (v *GitHub) Prefixes() (prefixes []string, all bool) {
	if len(v.config.Prefixes) > 0 {
		return v.config.Prefixes, true
	}
	return gitHubPrefixes(v.config.InsecureAnyApplication), false
}

// gitHubPrefixes returns what GitHub's tokens that can pass begin with:
// https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats
func gitHubPrefixes(anyApplication bool) []string {
	prefixes := []string{"gho_", "ghu_"} // of OAuth apps and of GitHub Apps, for a user
	if anyApplication {
		prefixes = append(prefixes, "ghp_", "github_pat_") // personal ones
	}
	return prefixes
}

var errUnprocessable = errors.New("the check of the application answered 422")

// check asks whether the application was given the token raw.
func (v *GitHub) check(ctx context.Context, raw string) (gitHubGrant, error) {
	none := gitHubGrant{}
	body, err := json.Marshal(map[string]string{"access_token": raw})
	if err != nil {
		return none, invalid(Malformed, "not valid UTF-8")
	}
	a, err := v.send(ctx, http.MethodPost, "/applications/"+url.PathEscape(v.config.ClientID)+"/token", body,
		func(req *http.Request) { req.SetBasicAuth(v.config.ClientID, v.config.ClientSecret) })
	if err != nil {
		return none, err
	}
	switch a.status {
	case http.StatusOK:
		return v.readGrant(a.body)
	case http.StatusNotFound:
		return none, invalid(Inactive, "GitHub knows no such token of the application")
	case http.StatusUnprocessableEntity:
		return none, &UnavailableError{RetryAfter: outbound.RetryAfter(a.header), Err: fmt.Errorf("GitHub: %w", errUnprocessable)}
	case http.StatusUnauthorized:
		return none, &UnavailableError{Outage: true, Err: errors.New("GitHub: the check of the application answered 401: client_id or client_secret is wrong")}
	default:
		return none, v.failure("the check of the application", a)
	}
}

// user asks whose token raw is.
func (v *GitHub) user(ctx context.Context, raw string, grant gitHubGrant) (*Token, error) {
	a, err := v.send(ctx, http.MethodGet, "/user", nil,
		func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+raw) })
	if err != nil {
		return nil, err
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return nil, invalid(Inactive, "GitHub answered 401")
	default:
		return nil, v.failure("/user", a)
	}
	subject, claims, err := readGitHubUser(a.body)
	if err == nil {
		err = checkRepeat(claims, raw)
	}
	if err == nil && grant.scopes == nil {
		grant.scopes, err = readGitHubScopes(a.header)
	}
	if err != nil {
		return nil, &UnavailableError{Err: fmt.Errorf("GitHub: the answer of /user is not usable: %w", err)}
	}
	return New(Token{
		Issuer:   v.config.Issuer,
		Subject:  subject,
		ClientID: v.config.ClientID,
		Scopes:   grant.scopes,
		Expiry:   grant.expiry,
	}, claims), nil
}

// send asks GitHub's API. Its error is an [*UnavailableError].
func (v *GitHub) send(ctx context.Context, method, path string, body []byte, authorize func(*http.Request)) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, v.config.Endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, &UnavailableError{Err: err}
	}
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", gitHubVersion)
	req.Header.Set("User-Agent", userAgent) // GitHub refuses requests without one
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	authorize(req)
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, unanswered("GitHub", err)
	}
	a, err := readAnswer(resp)
	if err != nil {
		return nil, unanswered("GitHub", err)
	}
	return a, nil
}

// failure turns an answer that says nothing about the token into an error.
func (v *GitHub) failure(what string, a *answer) error {
	wait := outbound.RetryAfter(a.header)
	if reset, err := strconv.ParseInt(a.header.Get("X-RateLimit-Reset"), 10, 64); err == nil && wait == 0 && a.header.Get("X-RateLimit-Remaining") == "0" {
		wait = min(max(time.Unix(reset, 0).Sub(v.config.Now()), time.Second), outbound.MaxRetryAfter)
	}
	cure := ""
	switch {
	case a.redirect():
		cure = ": redirects are not followed, so give the final address: endpoint <url>"
	case wait > 0 || a.status == http.StatusTooManyRequests:
		cure = ": the rate of requests is limited"
	case a.status == http.StatusNotFound:
		cure = ": is endpoint where the API is? For GitHub Enterprise Server it ends in /api/v3"
	}
	return &UnavailableError{
		RetryAfter: wait,
		// The rate that /user counts is the token's own. That of the check is the
		// application's, and GitHub says 403 when it is used up.
		Outage: outage(a.status) && (what != "/user" || a.status != http.StatusTooManyRequests) ||
			what != "/user" && wait > 0,
		Err: fmt.Errorf("GitHub: %s answered %d%s", what, a.status, cure),
	}
}

// gitHubGrant is what the check of the application says of a token.
type gitHubGrant struct {
	scopes []string // nil if it doesn't say
	expiry time.Time
}

// readGrant reads the answer to the check of the application.
func (v *GitHub) readGrant(body []byte) (grant gitHubGrant, err error) {
	var clientID string
	err = strictjson.MembersOf(body, []string{"app", "scopes", "expires_at"}, func(name string, value jsontext.Value) (err error) {
		switch {
		case name == "app":
			err = strictjson.MembersOf(value, []string{"client_id"}, func(name string, value jsontext.Value) (err error) {
				if name == "client_id" {
					clientID, err = identifier(value)
				}
				return err
			})
		case name == "scopes" && value.Kind() != 'n':
			if grant.scopes, err = strictjson.Strings(value); err == nil {
				grant.scopes, err = cleanScopes(grant.scopes)
			}
		case name == "expires_at" && value.Kind() != 'n':
			grant.expiry, err = gitHubTime(value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err == nil && clientID == "" {
		err = errors.New("no app.client_id")
	}
	switch {
	case err != nil:
		return gitHubGrant{}, &UnavailableError{Err: fmt.Errorf("GitHub: the answer to the check of the application is not usable: %w", err)}
	case clientID != v.config.ClientID:
		return gitHubGrant{}, invalid(WrongAudience, "issued to another application")
	}
	return grant, nil
}

// Interface guards
var (
	_ Verifier = (*GitHub)(nil)
	_ Selector = (*GitHub)(nil)
	_ Prefixed = (*GitHub)(nil)
	_ Prober   = (*GitHub)(nil)
)
