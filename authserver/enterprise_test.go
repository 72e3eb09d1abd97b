package authserver

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// company is a site with an upstream that may let clients act for its users.
type company struct {
	*site
	idp *oauthtest.Server
}

func newCompany(t *testing.T, rules ...AllowRule) *company {
	t.Helper()
	c := new(company)
	c.idp = oauthtest.New(t, oauthtest.Options{Now: func() time.Time { return c.clock }})
	c.site = newTestSite(t, func(h *Handler) {
		h.Upstreams = []*Upstream{
			{Type: "oidc", Name: "other", Issuer: "https://other.example", ClientID: "mcp", ClientSecret: "x", Allow: rules},
			{Type: "oidc", Name: "company", Issuer: c.idp.Issuer(), ClientID: "mcp", ClientSecret: "x", Enterprise: true, Allow: rules},
		}
	})
	return c
}

// identity returns an identity assertion about ada for the client agent, changed by
// claims.
func (c *company) identity(claims map[string]any) string {
	good := map[string]any{"sub": "ada", "aud": testIssuer, "client_id": "agent", "scope": "mcp:tools", "resource": testIssuer + "/mcp"}
	maps.Copy(good, claims)
	return c.idp.Mint(good, oauthtest.WithHeader("typ", "oauth-id-jag+jwt"))
}

// post sends a form as the client agent, and returns the answer.
func (c *company) post(path string, form url.Values) (int, map[string]any) {
	c.t.Helper()
	form.Set("client_id", "agent")
	form.Set("client_secret", "a-secret-of-the-agent")
	r := httptest.NewRequestWithContext(c.t.Context(), "POST", testIssuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		c.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Code, answer
}

func (c *company) exchange(assertion string) (int, map[string]any) {
	c.t.Helper()
	return c.post(oauth.TokenPath, url.Values{"grant_type": {token.JWTBearerGrant}, "assertion": {assertion}})
}

// The rules of the upstream hold as they do for its users with a browser.
func TestEnterpriseRules(t *testing.T) {
	t.Parallel()
	type claims = map[string]any
	email := AllowRule{Kind: "email", Values: []string{"*@example.com"}}
	for _, test := range []struct {
		name   string
		rule   AllowRule
		claims claims
		want   bool
	}{
		{"anybody", AllowRule{Kind: "anybody"}, nil, true},
		{"the subject", AllowRule{Kind: "subject", Values: []string{"ada"}}, nil, true},
		{"another subject", AllowRule{Kind: "subject", Values: []string{"grace"}}, nil, false},
		{"an address", email, claims{"email": "ada@example.com", "email_verified": true}, true},
		{"an address that isn't verified", email, claims{"email": "ada@example.com"}, false},
		{"an address that says so", email, claims{"email": "ada@example.com", "email_verified": false}, false},
		{"an address elsewhere", email, claims{"email": "ada@elsewhere.example", "email_verified": true}, false},
		{"no address", email, nil, false},
		{"a group", AllowRule{Kind: "group", Values: []string{"staff"}}, claims{"groups": []string{"x", "staff"}}, true},
		{"another group", AllowRule{Kind: "group", Values: []string{"staff"}}, claims{"groups": []string{"x"}}, false},
		{"a claim", AllowRule{Kind: "claim", Claim: "department", Values: []string{"r+d"}}, claims{"department": "r+d"}, true},
		{"a claim of another value", AllowRule{Kind: "claim", Claim: "department", Values: []string{"r+d"}}, claims{"department": "sales"}, false},
		{"a subject that is too long", AllowRule{Kind: "anybody"}, claims{"sub": strings.Repeat("x", maxUserText+1)}, false},
	} {
		c := newCompany(t, test.rule)
		status, answer := c.exchange(c.identity(test.claims))
		if test.want && (status != 200 || answer["refresh_token"] != nil) || !test.want && (status != 400 || answer["error"] != "invalid_grant") {
			t.Errorf("%s: got %d %v, want a token: %t", test.name, status, answer, test.want)
		}
		if raw, _ := answer["access_token"].(string); test.want {
			// The rules are asked again wherever this server is.
			_, said := c.post(oauth.IntrospectPath, url.Values{"token": {raw}})
			if said["active"] != true || said["sub"] != "company:ada" || said["client_id"] != "agent" {
				t.Errorf("%s: introspected: %v", test.name, said)
			}
			c.Upstreams[1].rules = nil
			if _, said := c.post(oauth.IntrospectPath, url.Values{"token": {raw}}); said["active"] != false {
				t.Errorf("%s: after the rule is gone: %v", test.name, said)
			}
		}
	}
}

// An assertion and a browser lead to the same user.
func TestEnterpriseUserIsTheSame(t *testing.T) {
	t.Parallel()
	c := newCompany(t, AllowRule{Kind: "group", Values: []string{"staff"}})
	u := c.Upstreams[1]
	signedIn := c.clock.Add(-time.Hour).Truncate(time.Second)
	claims := map[string]any{"sub": "ada", "name": "Ada Lovelace", "preferred_username": "ada", "groups": []any{"staff", "x"}, "auth_time": float64(signedIn.Unix())}
	provider := c.identityProviders()
	if len(provider) != 1 || provider[0].Issuer != c.idp.Issuer() {
		t.Fatalf("got the providers %+v, want the one with `enterprise`", provider)
	}
	got, err := provider[0].User(t.Context(), "ada", claims)
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject != "company:ada" || got.Source != u.source() || got.Name != "Ada Lovelace" || len(got.Groups) != 1 || !got.SignedIn.Equal(signedIn) {
		t.Errorf("got %+v", got)
	}
	for name, at := range map[string]any{"in the future": float64(c.clock.Unix() + 1), "a text": "now", "absent": nil} {
		claims["auth_time"] = at
		if got, err := provider[0].User(t.Context(), "ada", claims); err != nil || !got.SignedIn.IsZero() {
			t.Errorf("auth_time %s: got %+v, %v", name, got, err)
		}
	}
	// Another provider under the same name has other users.
	c.Upstreams[1].Name = "renamed"
	if err := c.store.Store(t.Context(), firstSourcesPrefix+"renamed", []byte(`"another source"`)); err != nil {
		t.Fatal(err)
	}
	status, answer := c.exchange(c.identity(map[string]any{"groups": []string{"staff"}}))
	_, said := c.post(oauth.IntrospectPath, url.Values{"token": {answer["access_token"].(string)}})
	if subject, _ := said["sub"].(string); status != 200 || !strings.HasPrefix(subject, "renamed~") || !strings.HasSuffix(subject, ":ada") {
		t.Errorf("a later provider: got %d %v", status, said)
	}
}

// What is known of a provider survives a reload.
func TestProviderIsKept(t *testing.T) {
	t.Parallel()
	configured := func(change func(*Upstream)) *Handler {
		u := &Upstream{Type: "oidc", Issuer: "https://kept.example", ClientID: "mcp", ClientSecret: "x", Allow: []AllowRule{{Kind: "anybody"}}}
		change(u)
		h := &Handler{Upstreams: []*Upstream{u, {Type: "github", ClientID: "gh", ClientSecret: "x", Allow: []AllowRule{{Kind: "anybody"}}}}}
		for _, u := range h.Upstreams {
			if err := u.provision(); err != nil {
				t.Fatal(err)
			}
			if err := h.keepUpstream(u); err != nil {
				t.Fatal(err)
			}
		}
		return h
	}
	first := configured(func(*Upstream) {})
	second := configured(func(u *Upstream) {
		u.Allow, u.Enterprise, u.Name = []AllowRule{{Kind: "subject", Values: []string{"ada"}}}, true, "company"
	})
	other := configured(func(u *Upstream) { u.ClientSecret = "y" })
	provider := first.Upstreams[0].provider
	if second.Upstreams[0].provider != provider {
		t.Error("the next configuration has another provider")
	}
	if other.Upstreams[0].provider == provider {
		t.Error("a client with another secret is the same")
	}
	for _, h := range []*Handler{first, second, other} {
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	last := configured(func(*Upstream) {})
	if last.Upstreams[0].provider == provider {
		t.Error("the provider is kept though nobody uses it")
	}
	if err := last.Cleanup(); err != nil {
		t.Error(err)
	}
}

// A provider or a storage that doesn't answer refuses nobody.
func TestEnterpriseAway(t *testing.T) {
	t.Parallel()
	c := newCompany(t, AllowRule{Kind: "anybody"})
	c.idp.SetRawJWKS([]byte("<h1>sorry</h1>"))
	if status, answer := c.exchange(c.identity(nil)); status != 503 || answer["error"] != "temporarily_unavailable" {
		t.Errorf("without keys: got %d %v, want 503", status, answer)
	}
	c = newCompany(t, AllowRule{Kind: "anybody"})
	c.away("load")
	if status, answer := c.exchange(c.identity(nil)); status != 503 || answer["error"] != "temporarily_unavailable" {
		t.Errorf("without the storage: got %d %v, want 503", status, answer)
	}
	c.away()
	if status, answer := c.exchange(c.identity(nil)); status != 200 {
		t.Errorf("afterwards: got %d %v", status, answer)
	}
}

// Assertions count as sign-ins at the upstream, and clients aren't told why they are
// refused.
func TestEnterpriseIsCounted(t *testing.T) {
	t.Parallel()
	c := newCompany(t, AllowRule{Kind: "subject", Values: []string{"ada"}})
	c.Upstreams[1].Name = "counted" // the counters belong to the process
	for _, subject := range []string{"ada", "mallory", "ada"} {
		_, answer := c.exchange(c.identity(map[string]any{"sub": subject}))
		if text, _ := answer["error_description"].(string); strings.Contains(text, subject) {
			t.Errorf("the client is told %q", text)
		}
	}
	c.away("store")
	c.exchange(c.identity(nil))
	c.away()
	c.exchange("x") // from nobody that is known
	if got, want := signInsBy(t, "counted"), (map[string]float64{"ok": 2, "denied": 1, "error": 1}); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// signInsBy returns how many sign-ins by a method were counted, by outcome.
func signInsBy(t *testing.T, method string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(signIns)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["method"] == method {
				counts[labels["outcome"]] = m.GetCounter().GetValue()
			}
		}
	}
	return counts
}
