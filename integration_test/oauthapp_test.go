package integration_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// app is an OAuth client of the authorization server embedded in a Caddy, which
// does what a test wants rather than what is right.
type app struct {
	t            *testing.T
	c            *caddyServer
	id, redirect string
	verifier     string
}

// register registers a public client dynamically.
func (c *caddyServer) register(t *testing.T, redirect string) *app {
	t.Helper()
	body := mustJSON(t, map[string]any{
		"client_name":                "A test's application",
		"redirect_uris":              []string{redirect},
		"token_endpoint_auth_method": "none",
		"grant_types":                []string{"authorization_code", "refresh_token"},
	})
	got := c.do("POST", "/oauth/register", body, "Content-Type", "application/json")
	var answer struct {
		ID string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != 201 {
		t.Fatalf("registering: got %d %s", got.status, got.body)
	}
	return &app{t: t, c: c, id: answer.ID, redirect: redirect, verifier: rand.Text() + rand.Text()}
}

// authorizationURL returns where the app sends the user. Fields given replace
// the right ones; an empty one is left out.
func (a *app) authorizationURL(fields ...string) string {
	sum := sha256.Sum256([]byte(a.verifier))
	query := url.Values{
		"response_type":         {"code"},
		"client_id":             {a.id},
		"redirect_uri":          {a.redirect},
		"state":                 {"the-state"},
		"scope":                 {"mcp:tools"},
		"resource":              {a.c.URL + "/mcp"},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(sum[:])},
		"code_challenge_method": {"S256"},
	}
	set(query, fields)
	return a.c.URL + "/oauth/authorize?" + query.Encode()
}

func set(values url.Values, fields []string) {
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] == "" {
			values.Del(fields[i])
		} else {
			values.Set(fields[i], fields[i+1])
		}
	}
}

// tokenAnswer is an answer of the token endpoint.
type tokenAnswer struct {
	status  int
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Scope   string `json:"scope"`
	Error   string `json:"error"`
}

// token sends a token request.
func (c *caddyServer) token(t *testing.T, form url.Values, headers ...string) tokenAnswer {
	t.Helper()
	got := c.do("POST", "/oauth/token", form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
	answer := tokenAnswer{status: got.status}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		t.Fatalf("the token endpoint answered %d %q", got.status, got.body)
	}
	return answer
}

// redeem exchanges a code. Fields given replace the right ones.
func (a *app) redeem(code string, fields ...string) tokenAnswer {
	a.t.Helper()
	form := url.Values{
		"grant_type":    {"authorization_code"},
		"client_id":     {a.id},
		"redirect_uri":  {a.redirect},
		"resource":      {a.c.URL + "/mcp"},
		"code":          {code},
		"code_verifier": {a.verifier},
	}
	set(form, fields)
	return a.c.token(a.t, form)
}

func (a *app) refresh(token string, fields ...string) tokenAnswer {
	a.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {a.id}, "refresh_token": {token}}
	set(form, fields)
	return a.c.token(a.t, form)
}

// signIn has the user sign in and consent, and returns the tokens.
func (a *app) signIn(p *person, user string, fields ...string) tokenAnswer {
	a.t.Helper()
	answer := p.allow(a.authorizationURL(fields...), user)
	if answer.Get("code") == "" {
		a.t.Fatalf("the app was answered %v, want a code", answer)
	}
	tokens := a.redeem(answer.Get("code"))
	if tokens.status != 200 || tokens.Access == "" || tokens.Refresh == "" {
		a.t.Fatalf("redeeming the code: got %+v", tokens)
	}
	return tokens
}

// at returns the app as it is at another Caddy of the same authorization server.
func (a *app) at(c *caddyServer) *app {
	moved := *a
	moved.c = c
	return &moved
}

// introspect asks the authorization server about a token, as a resource server.
func (c *caddyServer) introspect(t *testing.T, token string) map[string]any {
	t.Helper()
	form := url.Values{"token": {token}, "client_id": {"machine"}, "client_secret": {"machine-secret-0123"}}
	got := c.do("POST", "/oauth/introspect", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	var answer map[string]any
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != 200 {
		t.Fatalf("introspecting: got %d %s", got.status, got.body)
	}
	return answer
}

// passes reports whether the front door lets the token through.
func (c *caddyServer) passes(token string) bool {
	c.t.Helper()
	got := c.do("POST", "/mcp", initialize, mcpHeaders(token)...)
	return got.status == 200
}

// clone returns values with the fields set.
func clone(values url.Values, fields ...string) url.Values {
	out := maps.Clone(values)
	set(out, fields)
	return out
}

// tryToken refreshes a token of a server that may die meanwhile.
func (c *caddyServer) tryToken(client, refresh string) (answer tokenAnswer, err error) {
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {refresh}}
	resp, err := c.client().PostForm(c.URL+"/oauth/token", form)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	answer.status = resp.StatusCode
	return answer, json.NewDecoder(resp.Body).Decode(&answer)
}

// hashPassword returns the bcrypt hash of a password.
func hashPassword(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}
