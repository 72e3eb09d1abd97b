package oauth

import (
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Token requests that are refused, each for one reason.
func TestTokenRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, test := range []struct {
		name   string
		fields []string
		code   string
	}{
		{"no verifier", []string{"code_verifier", ""}, "invalid_request"},
		{"another verifier", []string{"code_verifier", strings.Repeat("a", 43)}, "invalid_grant"},
		{"the challenge as verifier", []string{"code_verifier", testQuery().Get("code_challenge")}, "invalid_grant"},
		{"another client", []string{"client_id", "backend", "client_secret", "a-secret-of-the-backend"}, "invalid_grant"},
		{"another client, without its secret", []string{"client_id", "backend"}, "invalid_client"},
		{"unknown client", []string{"client_id", "nobody"}, "invalid_client"},
		{"another redirect URI", []string{"redirect_uri", testRedirect + "/x"}, "invalid_grant"},
		{"another resource", []string{"resource", "https://evil.example/mcp"}, "invalid_target"},
		{"no code", []string{"code", ""}, "invalid_request"},
		{"a code that nobody gave", []string{"code", "x"}, "invalid_grant"},
		{"no grant type", []string{"grant_type", ""}, "invalid_request"},
		{"password grant", []string{"grant_type", "password"}, "unsupported_grant_type"},
		{"machine's grant", []string{"grant_type", "client_credentials"}, "unauthorized_client"},
		{"secret of a public client", []string{"client_secret", "x"}, "invalid_client"},
		{"oversized", []string{"x", strings.Repeat("x", 100_000)}, "invalid_request"},
	} {
		form := redeemForm(f.code())
		for i := 0; i < len(test.fields); i += 2 {
			form.Set(test.fields[i], test.fields[i+1])
		}
		if got := post(t, f.Server, TokenPath, form); got.Error != test.code || got.Access != "" || got.status < 400 || got.status > 499 {
			t.Errorf("%s: got %d %s, want %s", test.name, got.status, got.body, test.code)
		}
	}
}

// A code that comes twice was stolen: what the first use gave ends with it.
func TestCodeReplay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	form := redeemForm(f.code())
	first := post(t, f.Server, TokenPath, form)
	if first.status != 200 {
		t.Fatalf("first use: %d %s", first.status, first.body)
	}
	if got := post(t, f.Server, TokenPath, form); got.Error != "invalid_grant" {
		t.Errorf("second use: got %d %s, want invalid_grant", got.status, got.body)
	}
	if got := post(t, f.Server, TokenPath, refreshForm(first.Refresh)); got.Error != "invalid_grant" {
		t.Errorf("the refresh token of the first use: got %d %s, want invalid_grant", got.status, got.body)
	}
	if got := post(t, f.Server, IntrospectPath, introspectForm(first.Access)); got.Active {
		t.Errorf("the access token of the first use is active: %s", got.body)
	}
}

// Of many that send one code at once, at most one is served.
func TestCodeAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	form := redeemForm(f.code())
	var served atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if post(t, f.Server, TokenPath, form).status == 200 {
				served.Add(1)
			}
		})
	}
	wg.Wait()
	if n := served.Load(); n != 1 {
		t.Errorf("a code was redeemed %d times", n)
	}
}

// What a refresh token must not be used for. Its owner keeps it.
func TestRefreshRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tokens := f.tokens()
	for name, test := range map[string]struct {
		change url.Values
		code   string
	}{
		"another client":   {url.Values{"client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}}, "invalid_grant"},
		"another resource": {url.Values{"resource": {"https://evil.example/mcp"}}, "invalid_target"},
		"wider scope":      {url.Values{"scope": {"read write"}}, "invalid_scope"},
		"access token":     {url.Values{"refresh_token": {tokens.Access}}, "invalid_grant"},
		"as a code":        {url.Values{"grant_type": {"authorization_code"}, "code": {tokens.Refresh}, "code_verifier": {testVerifier}}, "invalid_grant"},
	} {
		form := refreshForm(tokens.Refresh)
		for field, values := range test.change {
			form[field] = values
		}
		if got := post(t, f.Server, TokenPath, form); got.Error != test.code {
			t.Errorf("%s: got %d %s, want %s", name, got.status, got.body, test.code)
		}
	}
	if got := post(t, f.Server, IntrospectPath, introspectForm(tokens.Refresh)); got.Active {
		t.Errorf("it is active as an access token: %s", got.body)
	}
	if got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); got.status != 200 {
		t.Errorf("the owner: got %d %s", got.status, got.body)
	}
}

// Who may ask about tokens is the operator's choice.
func TestIntrospectionIsForTheListed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	access := f.tokens().Access
	for name, form := range map[string]url.Values{
		"a public client":             {"client_id": {"app"}, "token": {access}},
		"a client that isn't listed":  {"client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}, "token": {access}},
		"one without its secret":      {"client_id": {"resource"}, "token": {access}},
		"one with another's":          {"client_id": {"resource"}, "client_secret": {"a-secret-of-the-backend"}, "token": {access}},
		"a client that doesn't exist": {"client_id": {"nobody"}, "token": {access}},
	} {
		if got := post(t, f.Server, IntrospectPath, form); got.status < 400 || got.Active {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
}

// Registrations that are refused. Neither they nor those that pass store anything.
func TestRegistrationRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tokens() // makes the keys
	before := len(f.store.Keys(""))
	for name, test := range map[string]struct{ body, code string }{
		"javascript":        {`{"redirect_uris":["javascript:alert(1)"]}`, "invalid_redirect_uri"},
		"fragment":          {`{"redirect_uris":["https://a.example/#x"]}`, "invalid_redirect_uri"},
		"wildcard":          {`{"redirect_uris":["https://*.example/"]}`, "invalid_redirect_uri"},
		"remote http":       {`{"redirect_uris":["http://a.example/"]}`, "invalid_redirect_uri"},
		"private scheme":    {`{"redirect_uris":["cursor://x/callback"]}`, "invalid_redirect_uri"},
		"none":              {`{}`, "invalid_redirect_uri"},
		"one good, one bad": {`{"redirect_uris":["https://a.example/","data:text/html,x"]}`, "invalid_redirect_uri"},
		"twice":             {`{"redirect_uris":["https://a.example/"],"redirect_uris":["https://b.example/"]}`, "invalid_client_metadata"},
		"not JSON":          {`redirect_uris`, "invalid_client_metadata"},
		"oversized":         {`{"redirect_uris":["https://a.example/"],"x":"` + strings.Repeat("x", 100_000) + `"}`, "invalid_client_metadata"},
	} {
		if got := ask(t, f.Server, RegisterPath, "application/json", test.body); got.Error != test.code || got.ID != "" || got.status < 400 || got.status > 413 {
			t.Errorf("%s: got %d %s, want %s", name, got.status, got.body, test.code)
		}
	}
	for range 100 {
		if got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["https://a.example/"]}`); got.status != 201 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
	}
	if after := len(f.store.Keys("")); after != before {
		t.Errorf("registering left %d records", after-before)
	}
}
