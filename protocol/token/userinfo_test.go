package token_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// newUserinfo returns a verifier that asks srv.
func newUserinfo(t testing.TB, srv *oauthtest.Server, change func(*token.UserinfoConfig)) *token.Userinfo {
	t.Helper()
	config := token.UserinfoConfig{Issuer: srv.Issuer(), Endpoint: srv.Endpoint(oauthtest.Userinfo), Client: outbound.NewClient()}
	if change != nil {
		change(&config)
	}
	v, err := token.NewUserinfo(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestUserinfoVerified(t *testing.T) {
	t.Parallel()
	for name, personality := range map[string]oauthtest.Personality{
		"generic": oauthtest.Generic, "Logto": oauthtest.Logto, "oidc-provider": oauthtest.OIDCProvider,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := oauthtest.New(t, oauthtest.Options{Personality: personality})
			raw := srv.Opaque(map[string]any{"sub": "u1", "scope": "read", "aud": "someone else", "email": "u1@example.com"})
			tok, err := judge(t.Context(), newUserinfo(t, srv, nil), raw)
			if err != nil {
				t.Fatal(err)
			}
			checkQuiet(t, raw, tok, err)
			if tok.Issuer != srv.Issuer() || tok.Subject != "u1" {
				t.Errorf("got issuer %q, subject %q, want %q, u1", tok.Issuer, tok.Subject, srv.Issuer())
			}
			if tok.ClientID != "" || tok.Audience != nil || tok.Scopes != nil || !tok.Expiry.IsZero() {
				t.Errorf("got client %q, audience %q, scopes %q, expiry %v, want none of them", tok.ClientID, tok.Audience, tok.Scopes, tok.Expiry)
			}
			if got := tok.ClaimText("email"); got != "u1@example.com" {
				t.Errorf("claim email: got %q", got)
			}
			requests := srv.Requests()
			if len(requests) != 1 || requests[0].Method != http.MethodGet || requests[0].Auth != "bearer" || strings.Contains(requests[0].Path, raw) {
				t.Errorf("got the requests %+v, want one GET with the token in its header", requests)
			}
		})
	}
}

// What the endpoint does with a token, and what that means.
func TestUserinfoOutcomes(t *testing.T) {
	t.Parallel()
	answer := func(body string) oauthtest.Fault { return oauthtest.Answer(200, "application/json", body) }
	elsewhere := oauthtest.New(t, oauthtest.Options{})
	tests := []struct {
		name  string
		fault oauthtest.Fault
		want  string
		cause string
	}{
		{"401", oauthtest.Status(401), "inactive", ""},
		{"401 with a long page", oauthtest.Answer(401, "text/html", strings.Repeat("upstream-secret-error-text", 1<<16)), "inactive", ""},
		{"400", oauthtest.Status(400), "unavailable", "answered 400"},
		{"403", oauthtest.Status(403), "unavailable", "may lack a scope that userinfo needs, most likely openid"},
		{"403 for want of openid", oauthtest.Answer(403, "application/json", `{"error":"insufficient_scope","error_description":"access token missing openid scope"}`), "inactive", "have clients ask for openid"},
		{"403 of a firewall", oauthtest.Answer(403, "text/html", "<html>insufficient_scope"), "unavailable", "answered 403"},
		{"403 for another reason", oauthtest.Answer(403, "application/json", `{"error":"access_denied"}`), "unavailable", "answered 403"},
		{"404", oauthtest.Status(404), "unavailable", "give its address: endpoint <url>"},
		{"405", oauthtest.Status(405), "unavailable", "is that the userinfo endpoint?"},
		{"429", oauthtest.RetryAfter(7), "unavailable", "answered 429"},
		{"500", oauthtest.Status(500), "unavailable", "answered 500"},
		{"503", oauthtest.Status(503), "unavailable", "answered 503"},
		{"204", oauthtest.Status(204), "unavailable", "answered 204"},
		{"201", oauthtest.Answer(201, "application/json", `{"sub":"u1"}`), "unavailable", "answered 201"},
		{"redirect", oauthtest.Redirect(302, elsewhere.Endpoint(oauthtest.Userinfo)), "unavailable", "redirects are not followed, so give the final address"},
		{"redirect within the origin", oauthtest.Redirect(307, "/userinfo/"), "unavailable", "redirects are not followed"},
		{"redirect to nowhere", oauthtest.Status(302), "unavailable", ""},
		{"connection closed", oauthtest.Close(), "unavailable", ""},
		{"truncated", oauthtest.Truncate(), "unavailable", "reading the answer"},
		{"huge", oauthtest.Huge(1), "unavailable", "larger than 65536 bytes"},
		{"garbage", oauthtest.Garbage(), "unavailable", "not a JSON object"},
		{"no body", answer(""), "unavailable", "not a JSON object"},
		{"empty object", oauthtest.Empty(), "unavailable", "no sub"},
		{"an error in a 200", answer(`{"error":"invalid_token"}`), "unavailable", "no sub"},
		{"sub empty", answer(`{"sub":""}`), "unavailable", "sub: empty"},
		{"sub null", answer(`{"sub":null}`), "unavailable", "sub: not a string"},
		{"sub a number", answer(`{"sub":1}`), "unavailable", "sub: not a string"},
		{"sub with a line break", answer(`{"sub":"a\r\nb"}`), "unavailable", "sub: contains a control character"},
		{"sub with NUL", answer(`{"sub":"admin\u0000"}`), "unavailable", "sub: contains a control character"},
		{"sub twice", answer(`{"sub":"a","sub":"b"}`), "unavailable", "duplicate member name"},
		{"sub twice, once escaped", answer(`{"sub":"a","\u0073ub":"b"}`), "unavailable", "duplicate member name"},
		{"Sub only", answer(`{"Sub":"a"}`), "unavailable", "a member differs from sub only in case"},
		{"sub and SUB", answer(`{"sub":"a","SUB":"b"}`), "unavailable", "a member differs from sub only in case"},
		{"sub and its fold", answer(`{"sub":"a","\u017fub":"b"}`), "unavailable", "a member differs from sub only in case"},
		{"a nested duplicate", answer(`{"sub":"a","address":{"x":1,"x":2}}`), "unavailable", "duplicate member name"},
		{"rest", answer(`{"sub":"a"}{"sub":"b"}`), "unavailable", "data after the JSON object"},
		{"invalid UTF-8", answer("{\"sub\":\"a\xff\"}"), "unavailable", "malformed JSON"},
		{"an array", answer(`[{"sub":"a"}]`), "unavailable", "not a JSON object"},
		{"signed", oauthtest.Answer(200, "application/jwt", "e30.e30.e30"), "unavailable", "signed or encrypted"},
		{"signed, says the header", oauthtest.Answer(200, "Application/JWT; charset=utf-8", `{"sub":"a"}`), "unavailable", "signed or encrypted"},
		{"a claim null", answer(`{"sub":"a","email_verified":null,"profile":null}`), "verified", ""},
		{"a claim of the wrong kind", answer(`{"sub":"a","email_verified":"maybe","profile":1}`), "verified", ""},
		{"plain text", oauthtest.Answer(200, "text/plain", `{"sub":"a"}`), "verified", ""},
		{"space around", answer(" \r\n{\"sub\":\"a\"}\n"), "verified", ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := oauthtest.New(t, oauthtest.Options{})
			srv.SetFault(oauthtest.Userinfo, tc.fault)
			raw := srv.Opaque(nil)
			tok, err := judge(t.Context(), newUserinfo(t, srv, nil), raw)
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
			checkCause(t, err, tc.cause)
			checkQuiet(t, raw, tok, err)
			if got := srv.Count(oauthtest.Any); got != 1 {
				t.Errorf("got %d requests, want 1", got)
			}
		})
	}
	if got := elsewhere.Count(oauthtest.Any); got != 0 {
		t.Errorf("%d requests followed a redirect", got)
	}
}

func TestUserinfoInactive(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Personality: oauthtest.Logto})
	v := newUserinfo(t, srv, nil)
	revoked := srv.Opaque(nil)
	srv.Revoke(revoked)
	for name, raw := range map[string]string{
		"unknown": "garbage", "revoked": revoked, "expired": srv.Opaque(map[string]any{"exp": int64(1)}),
	} {
		tok, err := judge(t.Context(), v, raw)
		if got := outcome(tok, err); got != "inactive" {
			t.Errorf("%s: got %s (%v), want inactive", name, got, err)
		}
		checkQuiet(t, raw, tok, err)
	}
}

func TestUserinfoRetryAfter(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	v := newUserinfo(t, srv, nil)
	for seconds, want := range map[int]time.Duration{0: 0, 9: 9 * time.Second, 1 << 30: time.Hour} {
		srv.SetFault(oauthtest.Userinfo, oauthtest.RetryAfter(seconds))
		_, err := judge(t.Context(), v, srv.Opaque(nil))
		if got := retryAfter(err); got != want {
			t.Errorf("Retry-After: %d: got %v, want %v", seconds, got, want)
		}
	}
}

func TestUserinfoGivesUp(t *testing.T) {
	t.Parallel()
	checkGivesUp(t, oauthtest.Options{}, oauthtest.Userinfo, func(t *testing.T, srv *oauthtest.Server, client *http.Client) (token.Verifier, string) {
		return newUserinfo(t, srv, func(c *token.UserinfoConfig) { c.Client = client }), srv.Opaque(nil)
	})
}

// A JWT is for another verifier, even if this one is asked directly.
func TestUserinfoLeavesJWTs(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	v := newUserinfo(t, srv, nil)
	p, err := token.Present(srv.Mint(nil))
	if err != nil {
		t.Fatal(err)
	}
	if v.Accepts(p) {
		t.Error("accepts a JWT")
	}
	if got := outcome(v.Verify(t.Context(), p)); got != "wrong_type" {
		t.Errorf("got %s, want wrong_type", got)
	}
	if got := srv.Count(oauthtest.Any); got != 0 {
		t.Errorf("got %d requests, want none", got)
	}
}

func TestUserinfoRequire(t *testing.T) {
	t.Parallel()
	const answer = `{"sub":"a","email_verified":true,"text_true":"true","hd":"example.com","n":3,"null":null,"groups":["x","y"],
		"mixed":["x",1],"realm_access":{"roles":["admin"]},"a,b":"","joined":"x,y"}`
	tests := []struct {
		name    string
		require map[string][]string
		want    string
	}{
		{"boolean", map[string][]string{"email_verified": {"true"}}, "verified"},
		{"boolean as a text", map[string][]string{"text_true": {"true"}}, "verified"},
		{"one of several", map[string][]string{"hd": {"example.org", "example.com"}}, "verified"},
		{"number", map[string][]string{"n": {"3"}}, "verified"},
		{"element", map[string][]string{"groups": {"y"}}, "verified"},
		{"nested", map[string][]string{"realm_access.roles": {"admin"}}, "verified"},
		{"all of two", map[string][]string{"hd": {"example.com"}, "groups": {"x"}}, "verified"},
		{"one of two", map[string][]string{"hd": {"example.com"}, "groups": {"z"}}, "bad_claims"},
		{"false", map[string][]string{"email_verified": {"false"}}, "bad_claims"},
		{"missing", map[string][]string{"acr": {"high"}}, "bad_claims"},
		{"null", map[string][]string{"null": {"null"}}, "bad_claims"},
		{"letter case of the value", map[string][]string{"hd": {"Example.com"}}, "bad_claims"},
		{"part of the value", map[string][]string{"hd": {"example"}}, "bad_claims"},
		{"joined elements", map[string][]string{"groups": {"x,y"}}, "bad_claims"},
		{"elements of a text", map[string][]string{"joined": {"x"}}, "bad_claims"},
		{"mixed list", map[string][]string{"mixed": {"x"}}, "bad_claims"},
		{"object", map[string][]string{"realm_access": {`{"roles":["admin"]}`}}, "bad_claims"},
		{"letter case of the name", map[string][]string{"HD": {"example.com"}}, "unavailable"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := oauthtest.New(t, oauthtest.Options{})
			srv.SetFault(oauthtest.Userinfo, oauthtest.Answer(200, "application/json", answer))
			v := newUserinfo(t, srv, func(c *token.UserinfoConfig) { c.Require = tc.require })
			tok, err := judge(t.Context(), v, srv.Opaque(nil))
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
		})
	}
}

// An answer that repeats the token would put it into headers and logs.
func TestUserinfoRepeatsToken(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	raw := srv.Opaque(nil)
	srv.SetFault(oauthtest.Userinfo, oauthtest.Rewrite(map[string]any{"debug": map[string]any{"token": raw}}))
	tok, err := judge(t.Context(), newUserinfo(t, srv, nil), raw)
	if got := outcome(tok, err); got != "unavailable" {
		t.Errorf("got %s (%v), want unavailable", got, err)
	}
	checkCause(t, err, "it repeats the token")
	checkQuiet(t, raw, tok, err)
}

// What is about one token says nothing of the endpoint; of all else the operator
// is told.
func TestUserinfoReportsFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status    int
		challenge string
		reported  int
		want      string
	}{
		"away":                       {503, "", 1, "unavailable"},
		"another address":            {404, "", 1, "unavailable"},
		"refused":                    {401, `Bearer error="invalid_token"`, 0, "inactive"},
		"no scope openid":            {403, `Bearer realm="https://issuer.example", error="insufficient_scope", error_description="access token missing openid scope", scope="openid"`, 0, "inactive"},
		"no scope, without blanks":   {403, `bearer realm=x,error=insufficient_scope`, 0, "inactive"},
		"another error":              {403, `Bearer error="access_denied"`, 0, "unavailable"},
		"a word in another place":    {403, `Bearer error_description="insufficient_scope", x_error="insufficient_scope"`, 0, "unavailable"},
		"the challenge of another":   {403, `Basic error="insufficient_scope"`, 0, "unavailable"},
		"no challenge":               {403, "", 0, "unavailable"},
		"a longer word":              {403, `Bearer error="insufficient_scopes"`, 0, "unavailable"},
		"a challenge, but available": {200, `Bearer error="insufficient_scope"`, 1, "unavailable"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if test.challenge != "" {
				w.Header().Set("WWW-Authenticate", test.challenge)
			}
			w.WriteHeader(test.status)
		}))
		reported := 0
		v, err := token.NewUserinfo(token.UserinfoConfig{Issuer: "https://issuer.example", Endpoint: server.URL, OnFailure: func(error) { reported++ }})
		if err != nil {
			t.Fatal(err)
		}
		tok, err := v.Verify(t.Context(), &token.Presented{Raw: "opaque"})
		if got := outcome(tok, err); got != test.want || reported != test.reported {
			t.Errorf("%s: got %s (%v), reported %d times, want %s and %d", name, got, err, reported, test.want, test.reported)
		}
		server.Close()
	}
}
