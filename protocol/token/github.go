package token

// This file judges GitHub's opaque tokens by what protocol/github finds out:
// whether one was issued to a certain application, which stands in for the
// audience, and whose it is.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/github"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
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
	// sent to GitHub, see [Source]. Empty means those that GitHub is known to
	// use for applications; with InsecureAnyApplication, for people too.
	Prefixes []string

	// Groups lists the organizations that, with their teams, become the claim groups:
	// acme, acme/maintainers. "*" stands for all that the token shows. Empty means
	// that there is no such claim and that nothing is asked. See
	// [github.Client.Groups].
	Groups []string

	// Client talks to GitHub. Nil means a client of net/http's defaults.
	// Redirects are not followed, whatever it would do.
	Client *http.Client

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// GitHub verifies the tokens of users of GitHub's applications.
type GitHub struct {
	config GitHubConfig
	client *github.Client
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
		if err != nil || web.Origin(u) != github.Origin {
			return nil, errors.New("the issuer is not github.com, so say where its API is, for example: endpoint https://github.example.com/api/v3")
		}
		config.Endpoint = github.API
	}
	client, err := github.New(github.Config{API: config.Endpoint, Client: config.Client, Now: config.Now})
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if err := CheckPrefixes(config.Prefixes); err != nil {
		return nil, fmt.Errorf("token_prefix: %w", err)
	}
	if err := github.CheckOrganizations(config.Groups); err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	return &GitHub{config: config, client: client}, nil
}

// Verify implements [Verifier]. The check of the application comes first: it is
// the one that GitHub doesn't count as a failed login.
func (v *GitHub) Verify(ctx context.Context, p *Presented) (*Token, error) {
	if p.JWS != nil {
		return nil, invalid(WrongType, "a signed JWT, which GitHub's tokens are not")
	}
	if v.config.InsecureAnyApplication {
		return v.user(ctx, p.Raw, new(github.Grant))
	}
	grant, err := v.check(ctx, p.Raw)
	if unprocessable(err) {
		// "Validation failed, or the endpoint has been spammed": in the second
		// case the token may be good. Ask where it makes a difference.
		var inv *InvalidError
		if _, userErr := v.user(ctx, p.Raw, new(github.Grant)); errors.As(userErr, &inv) {
			return nil, userErr
		}
	}
	if err != nil {
		return nil, err
	}
	return v.user(ctx, p.Raw, grant)
}

// Probe asks about a random token, see [Source]: one that was never issued is not
// the application's, or, where that isn't asked, nobody's.
func (v *GitHub) Probe(ctx context.Context) error {
	prefixes, _ := v.prefixes()
	raw := randomToken(prefixes)
	var err error
	if v.config.InsecureAnyApplication {
		_, err = v.user(ctx, raw, new(github.Grant))
	} else {
		_, err = v.check(ctx, raw)
	}
	if _, ok := errors.AsType[*InvalidError](err); ok || unprocessable(err) {
		return nil
	}
	if err == nil {
		err = errors.New("GitHub: it accepts a token that it can't have issued")
	}
	return err
}

// Accepts implements [Verifier].
func (v *GitHub) Accepts(p *Presented) bool { return p.JWS == nil }

// prefixes returns what the tokens begin with. Unless they are configured, they are
// not all: the tokens of before April 2021 have none.
func (v *GitHub) prefixes() (prefixes []string, all bool) {
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

// check asks whether the application was given the token raw.
func (v *GitHub) check(ctx context.Context, raw string) (*github.Grant, error) {
	if !utf8.ValidString(raw) {
		return nil, invalid(Malformed, "not valid UTF-8")
	}
	grant, err := v.client.CheckToken(ctx, github.Application{ID: v.config.ClientID, Secret: v.config.ClientSecret}, raw)
	if status, ok := errors.AsType[*github.StatusError](err); ok && status.Status == http.StatusNotFound {
		return nil, invalid(Inactive, "GitHub knows no such token of the application")
	}
	if err != nil {
		return nil, failure(err)
	}
	if checkGitHubScopes(grant.Scopes) != nil {
		return nil, failure(&github.AnswerError{Question: github.CheckQuestion, Err: errGitHubScopes})
	}
	if grant.ClientID != v.config.ClientID {
		return nil, invalid(WrongAudience, "issued to another application")
	}
	return grant, nil
}

// unprocessable reports whether the check of the application answered 422.
func unprocessable(err error) bool {
	status, ok := errors.AsType[*github.StatusError](err)
	return ok && status.Question == github.CheckQuestion && status.Status == http.StatusUnprocessableEntity
}

// user asks whose token raw is.
func (v *GitHub) user(ctx context.Context, raw string, grant *github.Grant) (*Token, error) {
	user, err := v.client.User(ctx, raw)
	if status, ok := errors.AsType[*github.StatusError](err); ok && status.Status == http.StatusUnauthorized {
		return nil, invalid(Inactive, "GitHub answered 401")
	}
	if err != nil {
		return nil, failure(err)
	}
	groups, err := v.groups(ctx, raw)
	if err != nil {
		return nil, err
	}
	claims, err := gitHubClaims(user, groups)
	if err == nil {
		err = checkRepeat(claims, raw)
	}
	scopes := grant.Scopes
	if err == nil && scopes == nil {
		scopes, err = user.Scopes, checkGitHubScopes(user.Scopes)
	}
	if err != nil {
		return nil, failure(&github.AnswerError{Question: "/user", Err: err})
	}
	return New(Token{
		Issuer:   v.config.Issuer,
		Subject:  user.ID,
		ClientID: v.config.ClientID,
		Scopes:   scopes,
		Expiry:   grant.Expiry,
	}, claims), nil
}

// groups asks for the claim groups, nil if it isn't wanted. A token whose groups
// can't be had is not one without groups: a policy may say `not claim groups`.
func (v *GitHub) groups(ctx context.Context, raw string) (jsontext.Value, error) {
	if len(v.config.Groups) == 0 {
		return nil, nil
	}
	groups, err := v.client.Groups(ctx, raw)
	status, _ := errors.AsType[*github.StatusError](err)
	switch _, tooMany := errors.AsType[*github.TooManyError](err); {
	case status != nil && status.Status == http.StatusUnauthorized:
		return nil, invalid(Inactive, "GitHub answered 401")
	case tooMany:
		return nil, &UnavailableError{Err: fmt.Errorf("GitHub: %w", err)}
	case err != nil:
		return nil, failure(err)
	}
	groups = github.GroupsOf(groups, v.config.Groups)
	if groups == nil {
		groups = []string{}
	}
	return json.Marshal(groups)
}

// gitHubClaims returns the claims of a user. The subject is the number.
func gitHubClaims(user *github.User, groups jsontext.Value) ([]byte, error) {
	claims := maps.Clone(user.Profile)
	claims["sub"] = jsontext.Value(strconv.Quote(user.ID))
	if groups != nil {
		claims["groups"] = groups
	}
	return json.Marshal(claims, json.Deterministic(true))
}

var errGitHubScopes = errors.New("scopes: not a list of scopes")

func checkGitHubScopes(scopes []string) error {
	for _, scope := range scopes {
		if CheckScope(scope) != nil {
			return errGitHubScopes
		}
	}
	return nil
}

// failure turns an answer that says nothing about the token, or none, into an
// [*UnavailableError].
func failure(err error) error {
	if status, ok := errors.AsType[*github.StatusError](err); ok {
		return &UnavailableError{
			RetryAfter: status.RetryAfter,
			Outage:     gitHubOutage(status),
			Err:        fmt.Errorf("GitHub: %w%s", err, gitHubCure(status)),
		}
	}
	_, unusable := errors.AsType[*github.AnswerError](err)
	return &UnavailableError{Outage: !unusable, Err: fmt.Errorf("GitHub: %w", err)}
}

// gitHubOutage reports whether a status doesn't look like an answer about a token.
// The rate that /user counts is the token's own. That of the check is the
// application's, and GitHub says 403 when it is used up.
func gitHubOutage(e *github.StatusError) bool {
	if e.Question != github.CheckQuestion {
		return outage(e.Status) && e.Status != http.StatusTooManyRequests
	}
	switch e.Status {
	case http.StatusUnauthorized: // our own credentials
		return true
	case http.StatusUnprocessableEntity:
		return false
	}
	return outage(e.Status) || e.RetryAfter > 0
}

func gitHubCure(e *github.StatusError) string {
	switch {
	case e.Redirect():
		return ": redirects are not followed, so give the final address: endpoint <url>"
	case e.Question == github.CheckQuestion && e.Status == http.StatusUnauthorized:
		return ": client_id or client_secret is wrong"
	case e.RetryAfter > 0 || e.Status == http.StatusTooManyRequests:
		return ": the rate of requests is limited"
	case e.IsGroups() && e.Forbidden():
		return ": groups needs a token with the scope read:org, or, of a GitHub App, the permission to read members"
	case e.Status == http.StatusNotFound:
		return ": is endpoint where the API is? For GitHub Enterprise Server it ends in /api/v3"
	}
	return ""
}

// Interface guard
var _ Verifier = (*GitHub)(nil)
