package token_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	gitHubIssuer = "https://github.com/login/oauth"
	gitHubSecret = "s3cr3t & more: 100%"
)

// newGitHub returns a verifier that asks srv.
func newGitHub(t testing.TB, srv *oauthtest.Server, change func(*token.GitHubConfig)) *token.GitHub {
	t.Helper()
	config := token.GitHubConfig{
		Issuer:       gitHubIssuer,
		Endpoint:     srv.URL + "/",
		ClientID:     "front-door",
		ClientSecret: gitHubSecret,
		Client:       outbound.NewClient(),
		Now:          testkit.NewClock().Now,
	}
	if change != nil {
		change(&config)
	}
	v, err := token.NewGitHub(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func anyApplication(c *token.GitHubConfig) {
	c.ClientID, c.ClientSecret, c.InsecureAnyApplication = "", "", true
}

func newGitHubServer(t testing.TB) *oauthtest.Server {
	t.Helper()
	return oauthtest.New(t, oauthtest.Options{Personality: oauthtest.GitHub})
}

// ours is a token that srv issued to the application.
func ours(srv *oauthtest.Server) string {
	return srv.Opaque(map[string]any{"sub": "octocat", "client_id": "front-door", "scope": "read:user repo", "name": "Octo Cat"})
}

func TestGitHubVerified(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*token.GitHubConfig){"our application": nil, "any application": anyApplication} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newGitHubServer(t)
			raw := ours(srv)
			tok, err := judge(t.Context(), newGitHub(t, srv, change), raw)
			if err != nil {
				t.Fatal(err)
			}
			checkQuiet(t, raw, tok, err)
			if tok.Issuer != gitHubIssuer || tok.Subject == "" || strings.Trim(tok.Subject, "0123456789") != "" {
				t.Errorf("got issuer %q, subject %q, want %q and a number", tok.Issuer, tok.Subject, gitHubIssuer)
			}
			if want := []string{"read:user", "repo"}; !slices.Equal(tok.Scopes, want) {
				t.Errorf("got scopes %q, want %q", tok.Scopes, want)
			}
			for claim, want := range map[string]string{
				"sub": tok.Subject, "id": tok.Subject, "login": "octocat", "name": "Octo Cat", "email": "demo@example.com",
			} {
				if got := tok.ClaimText(claim); got != want {
					t.Errorf("claim %s: got %q, want %q", claim, got, want)
				}
			}
			requests := srv.Requests()
			last := requests[len(requests)-1]
			if last.Path != "/user" || last.Auth != "bearer" {
				t.Errorf("last request: got %s with %s, want /user with the token", last.Path, last.Auth)
			}
			for _, r := range requests {
				if r.Header.Get("User-Agent") == "" || r.Header.Get("X-Github-Api-Version") == "" || r.Header.Get("Accept") != "application/vnd.github+json" {
					t.Errorf("%s: got the headers %v", r.Path, r.Header)
				}
			}
			if change != nil {
				if tok.ClientID != "" || len(requests) != 1 {
					t.Errorf("got client %q after %d requests, want none after 1", tok.ClientID, len(requests))
				}
				return
			}
			if tok.ClientID != "front-door" || len(requests) != 2 || requests[0].Auth != "basic" || requests[0].Method != http.MethodPost {
				t.Errorf("got client %q, the requests %+v, want front-door, and the check of the application at first", tok.ClientID, requests)
			}
		})
	}
}

func TestGitHubRefused(t *testing.T) {
	t.Parallel()
	srv := newGitHubServer(t)
	revoked := ours(srv)
	srv.Revoke(revoked)
	foreign := srv.Opaque(map[string]any{"client_id": "another"})
	for _, tc := range []struct {
		name, raw string
		change    func(*token.GitHubConfig)
		want      string
	}{
		{"unknown", "garbage", nil, "inactive"},
		{"revoked", revoked, nil, "inactive"},
		{"of another application", foreign, nil, "inactive"},
		{"JWT", srv.Mint(nil), nil, "wrong_type"},
		{"unknown, any application", "garbage", anyApplication, "inactive"},
		{"revoked, any application", revoked, anyApplication, "inactive"},
		{"of another application, any application", foreign, anyApplication, "verified"},
		{"wrong secret", ours(srv), func(c *token.GitHubConfig) { c.ClientSecret = "s3cr3t" }, "unavailable"},
	} {
		tok, err := judge(t.Context(), newGitHub(t, srv, tc.change), tc.raw)
		if got := outcome(tok, err); got != tc.want {
			t.Errorf("%s: got %s (%v), want %s", tc.name, got, err, tc.want)
		}
		checkQuiet(t, tc.raw, tok, err)
	}
}

// What GitHub may answer to the check of the application, and to /user.
func TestGitHubOutcomes(t *testing.T) {
	t.Parallel()
	const check, user = oauthtest.Introspection, oauthtest.Userinfo
	answer := func(body string) oauthtest.Fault { return oauthtest.Answer(200, "application/json", body) }
	elsewhere := oauthtest.New(t, oauthtest.Options{})
	tests := []struct {
		name  string
		at    oauthtest.Endpoint
		fault oauthtest.Fault
		want  string
		cause string
	}{
		{"check 404", check, oauthtest.Status(404), "inactive", ""},
		{"check 401", check, oauthtest.Status(401), "unavailable", "client_id or client_secret is wrong"},
		{"check 403", check, oauthtest.Status(403), "unavailable", "answered 403"},
		{"check 422 for a good token", check, oauthtest.Status(422), "unavailable", "answered 422"},
		{"check 429", check, oauthtest.RetryAfter(3), "unavailable", "the rate of requests is limited"},
		{"check 500", check, oauthtest.Status(500), "unavailable", "answered 500"},
		{"check redirect", check, oauthtest.Redirect(307, elsewhere.URL), "unavailable", "redirects are not followed"},
		{"check garbage", check, oauthtest.Garbage(), "unavailable", "not a JSON object"},
		{"check empty", check, oauthtest.Empty(), "unavailable", "no app.client_id"},
		{"check closed", check, oauthtest.Close(), "unavailable", ""},
		{"check truncated", check, oauthtest.Truncate(), "unavailable", "reading the answer"},
		{"check huge", check, oauthtest.Huge(1), "unavailable", "larger than"},
		{"check of another application", check, oauthtest.Rewrite(map[string]any{"app": map[string]any{"client_id": "another"}}), "wrong_audience", ""},
		{"check without application", check, oauthtest.Rewrite(map[string]any{"app": oauthtest.Absent}), "unavailable", "no app.client_id"},
		{"check, application null", check, oauthtest.Rewrite(map[string]any{"app": nil}), "unavailable", "app: not a JSON object"},
		{"check, client id twice", check, answer(`{"app":{"client_id":"another","client_id":"front-door"}}`), "unavailable", "duplicate member name"},
		{"check, Client_ID", check, answer(`{"app":{"client_id":"front-door","Client_ID":"another"}}`), "unavailable", "only in case"},
		{"check, APP", check, answer(`{"app":{"client_id":"front-door"},"APP":{"client_id":"another"}}`), "unavailable", "only in case"},
		{"check, scopes a text", check, oauthtest.Rewrite(map[string]any{"scopes": "repo"}), "unavailable", "scopes: not an array of strings"},
		{"check, scopes with a quote", check, oauthtest.Rewrite(map[string]any{"scopes": []string{`a"b`}}), "unavailable", "scopes: not a list of scopes"},
		{"check, expiry a number", check, oauthtest.Rewrite(map[string]any{"expires_at": 1}), "unavailable", "expires_at: not a string"},
		{"check, expiry no time", check, oauthtest.Rewrite(map[string]any{"expires_at": "soon"}), "unavailable", "expires_at: not a date and time"},
		{"check, scopes null", check, oauthtest.Rewrite(map[string]any{"scopes": nil}), "verified", ""},
		{"check, expiry", check, oauthtest.Rewrite(map[string]any{"expires_at": "2026-11-20T20:00:00Z"}), "verified", ""},
		{"check repeats the token", check, oauthtest.Rewrite(map[string]any{"token": "opaque-1"}), "verified", ""},

		{"user 401", user, oauthtest.Status(401), "inactive", ""},
		{"user 403", user, oauthtest.Status(403), "unavailable", "/user answered 403"},
		{"user 404", user, oauthtest.Status(404), "unavailable", "is endpoint where the API is?"},
		{"user 429", user, oauthtest.RetryAfter(3), "unavailable", "the rate of requests is limited"},
		{"user 500", user, oauthtest.Status(500), "unavailable", "answered 500"},
		{"user redirect", user, oauthtest.Redirect(302, elsewhere.URL), "unavailable", "redirects are not followed"},
		{"user garbage", user, oauthtest.Garbage(), "unavailable", "not a JSON object"},
		{"user empty", user, oauthtest.Empty(), "unavailable", "no id"},
		{"user closed", user, oauthtest.Close(), "unavailable", ""},
		{"user truncated", user, oauthtest.Truncate(), "unavailable", "reading the answer"},
		{"user huge", user, oauthtest.Huge(1), "unavailable", "larger than"},
		{"user without id", user, answer(`{"login":"a"}`), "unavailable", "no id"},
		{"user without login", user, answer(`{"id":1}`), "unavailable", "no login"},
		{"id a text", user, answer(`{"id":"1","login":"a"}`), "unavailable", "id: not a positive whole number"},
		{"id zero", user, answer(`{"id":0,"login":"a"}`), "unavailable", "id: not a positive whole number"},
		{"id negative", user, answer(`{"id":-1,"login":"a"}`), "unavailable", "id: not a positive whole number"},
		{"id a fraction", user, answer(`{"id":1.0,"login":"a"}`), "unavailable", "id: not a positive whole number"},
		{"id with an exponent", user, answer(`{"id":1e3,"login":"a"}`), "unavailable", "id: not a positive whole number"},
		{"id endless", user, answer(`{"id":12345678901234567890,"login":"a"}`), "unavailable", "id: not a positive whole number"},
		{"id twice", user, answer(`{"id":1,"id":2,"login":"a"}`), "unavailable", "duplicate member name"},
		{"ID", user, answer(`{"id":1,"ID":2,"login":"a"}`), "unavailable", "only in case"},
		{"login null", user, answer(`{"id":1,"login":null}`), "unavailable", "login: not a string"},
		{"login with a line break", user, answer(`{"id":1,"login":"a\nb"}`), "unavailable", "login: contains a control character"},
		{"name an object", user, answer(`{"id":1,"login":"a","name":{"x":1}}`), "unavailable", "name: not a text"},
		{"name null", user, answer(`{"id":1,"login":"a","name":null,"plan":{"x":[1]}}`), "verified", ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := newGitHubServer(t)
			srv.SetFault(tc.at, tc.fault)
			raw := ours(srv)
			tok, err := judge(t.Context(), newGitHub(t, srv, nil), raw)
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
			checkCause(t, err, tc.cause)
			checkQuiet(t, raw, tok, err)
			if got := srv.Count(tc.at); got != 1 {
				t.Errorf("got %d requests, want 1", got)
			}
		})
	}
	if got := elsewhere.Count(oauthtest.Any); got != 0 {
		t.Errorf("%d requests followed a redirect", got)
	}
}

// 422 is GitHub's answer to a bad token, and to a flood.
func TestGitHubUnprocessable(t *testing.T) {
	t.Parallel()
	srv := newGitHubServer(t)
	srv.SetFault(oauthtest.Introspection, oauthtest.Status(422))
	v := newGitHub(t, srv, nil)
	for raw, want := range map[string]string{"garbage": "inactive", ours(srv): "unavailable"} {
		tok, err := judge(t.Context(), v, raw)
		if got := outcome(tok, err); got != want {
			t.Errorf("%s: got %s (%v), want %s", raw, got, err, want)
		}
	}
	srv.SetFault(oauthtest.Userinfo, oauthtest.Status(500))
	if got := outcome(judge(t.Context(), v, "garbage")); got != "unavailable" {
		t.Errorf("garbage while /user is down: got %s, want unavailable", got)
	}
}

func TestGitHubRateLimit(t *testing.T) {
	t.Parallel()
	limited := func(status int, headers ...string) oauthtest.Fault {
		return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
		}
	}
	reset := func(at string) []string { return []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", at} }
	// The clock of the verifier stands at 2026-11-20 12:00:00.
	for _, tc := range []struct {
		name  string
		fault oauthtest.Fault
		want  time.Duration
	}{
		{"Retry-After", limited(403, "Retry-After", "60"), time.Minute},
		{"reset in 5 minutes", limited(403, reset("1795176300")...), 5 * time.Minute},
		{"reset in 5 minutes, 429", limited(429, reset("1795176300")...), 5 * time.Minute},
		{"reset in the past", limited(429, reset("1795170000")...), time.Second},
		{"reset in years", limited(429, reset("1995176300")...), time.Hour},
		{"reset no number", limited(429, reset("soon")...), 0},
		{"some left", limited(403, "X-RateLimit-Remaining", "9", "X-RateLimit-Reset", "1795176300"), 0},
		{"both", limited(429, append(reset("1795176300"), "Retry-After", "7")...), 7 * time.Second},
	} {
		for _, at := range []oauthtest.Endpoint{oauthtest.Introspection, oauthtest.Userinfo} {
			srv := newGitHubServer(t)
			srv.SetFault(at, tc.fault)
			tok, err := judge(t.Context(), newGitHub(t, srv, nil), ours(srv))
			if got := outcome(tok, err); got != "unavailable" {
				t.Errorf("%s at %s: got %s (%v), want unavailable", tc.name, at, got, err)
			}
			if got := retryAfter(err); got != tc.want {
				t.Errorf("%s at %s: got %v, want %v", tc.name, at, got, tc.want)
			}
		}
	}
}

func TestGitHubGivesUp(t *testing.T) {
	t.Parallel()
	for _, at := range []oauthtest.Endpoint{oauthtest.Introspection, oauthtest.Userinfo} {
		checkGivesUp(t, oauthtest.Options{Personality: oauthtest.GitHub}, at, func(t *testing.T, srv *oauthtest.Server, client *http.Client) (token.Verifier, string) {
			return newGitHub(t, srv, func(c *token.GitHubConfig) { c.Client = client }), ours(srv)
		})
	}
}

// Groups are asked for on request only, and are all there or the token can't be used
// now.
func TestGitHubGroups(t *testing.T) {
	t.Parallel()
	const all = `["acme","other","acme/maintainers","other/staff"]`
	mine := map[string]any{
		"sub": "octocat", "client_id": "front-door", "scope": "read:user read:org",
		"orgs": []string{"Acme", "other"}, "teams": []string{"Acme/Maintainers", "other/staff"},
	}
	with := func(name string, value any) map[string]any {
		claims := maps.Clone(mine)
		claims[name] = value
		return claims
	}
	many := make([]string, 1500)
	for i := range many {
		many[i] = fmt.Sprint("org", i)
	}
	for _, tc := range []struct {
		name   string
		of     []string
		claims map[string]any
		fault  oauthtest.Fault
		want   string // empty: no such claim; else the claim, or the outcome
		asked  int    // for groups
		outage bool
	}{
		{"not wanted", nil, mine, nil, "", 0, false},
		{"all", []string{"*"}, mine, nil, all, 2, false},
		{"of one organization", []string{"ACME"}, mine, nil, `["acme","acme/maintainers"]`, 2, false},
		{"of none", []string{"nobody"}, mine, nil, `[]`, 2, false},
		{"no groups", []string{"*"}, with("orgs", []string{}), nil, `["acme/maintainers","other/staff"]`, 2, false},
		{"without the scope", []string{"*"}, with("scope", "read:user"), nil, "unavailable", 1, false},
		{"more than are read", []string{"*"}, with("orgs", many), nil, "unavailable", 10, false},
		{"refused", []string{"*"}, mine, oauthtest.Status(403), "unavailable", 1, false},
		{"not found", []string{"*"}, mine, oauthtest.Status(404), "unavailable", 1, false},
		{"too many requests", []string{"*"}, mine, oauthtest.RetryAfter(30), "unavailable", 1, false},
		{"away", []string{"*"}, mine, oauthtest.Status(502), "unavailable", 1, true},
		{"closed", []string{"*"}, mine, oauthtest.Close(), "unavailable", 1, true},
		{"a page", []string{"*"}, mine, oauthtest.Garbage(), "unavailable", 1, false},
		{"revoked meanwhile", []string{"*"}, mine, oauthtest.Status(401), "inactive", 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := newGitHubServer(t)
			raw := srv.Opaque(tc.claims)
			srv.SetFault(oauthtest.Groups, tc.fault)
			v := newGitHub(t, srv, func(c *token.GitHubConfig) { c.Groups = tc.of })
			tok, err := judge(t.Context(), v, raw)
			unavailable, isUnavailable := errors.AsType[*token.UnavailableError](err)
			inv, isInvalid := errors.AsType[*token.InvalidError](err)
			switch {
			case tc.want == "unavailable":
				if !isUnavailable || unavailable.Outage != tc.outage {
					t.Errorf("got %v, %v, want unavailable, an outage: %t", tok, err, tc.outage)
				}
			case tc.want == "inactive":
				if !isInvalid || inv.Reason != token.Inactive {
					t.Errorf("got %v, %v, want inactive", tok, err)
				}
			case err != nil:
				t.Errorf("got %v", err)
			default:
				groups, there := tok.Claims()["groups"]
				got, _ := json.Marshal(groups)
				if there != (tc.want != "") || there && string(got) != tc.want {
					t.Errorf("got groups %s, want %q", got, tc.want)
				}
			}
			if got := srv.Count(oauthtest.Groups); got != tc.asked {
				t.Errorf("asked %d times for groups, want %d", got, tc.asked)
			}
		})
	}
}
