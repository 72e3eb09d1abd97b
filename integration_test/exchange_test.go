package integration_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// A real authorization server exchanges a user's token for one for the server behind,
// which is narrower, and which that server can check with the same library.
func TestExchangeAtOIDCProvider(t *testing.T) {
	t.Parallel()
	needNode(t)
	const backend = "https://backend.internal"
	seen := make(chan string, 10)
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen <- strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}))
	t.Cleanup(behind.Close)
	c := startCaddy(t, "respond 503")
	as := startAuthServer(t, c.CA, map[string]any{
		"resources": map[string]any{
			c.URL + "/mcp": map[string]any{"scopes": []string{"read", "write"}},
			backend:        map[string]any{"scopes": []string{"read"}},
		},
		"exchangers": []string{"front-door"},
		"clients": []any{
			map[string]any{"client_id": "front-door", "client_secret": "secret"},
			map[string]any{"client_id": "machine", "client_secret": "secret"},
		},
	})
	site := func(client, options string) string {
		return withIssuer(`mcp_auth SITE/mcp {
			issuer ISSUER
			exchange {
				client_id `+client+`
				client_secret secret
				`+options+`
			}
		}
		reverse_proxy `+behind.Listener.Addr().String(), as)
	}
	c.reload(site("front-door", "resource "+backend+"\nscopes read"))
	user := as.userToken("ada", c.URL+"/mcp", "read write")

	for range 2 {
		if got := c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+user); got.status != 200 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		raw := <-seen
		p, err := token.Present(raw)
		if err != nil || p.JWS == nil || raw == user {
			t.Fatalf("the server behind got %q, %v", raw, err)
		}
		var claims map[string]any
		if err := json.Unmarshal([]byte(part(t, raw, 1)), &claims); err != nil {
			t.Fatal(err)
		}
		if claims["aud"] != backend || claims["sub"] != "ada" || claims["scope"] != "read" || claims["client_id"] != "front-door" {
			t.Errorf("the server behind got %v", claims)
		}
	}
	if n := as.requests()["POST /token"]; n != 1 {
		t.Errorf("asked the token endpoint %d times, want once for both requests", n)
	}
	for _, tc := range []struct {
		name, site, raw string
		want            int
	}{
		{"a client on its own behalf", site("front-door", "resource "+backend), as.machineToken("machine", "secret", c.URL+"/mcp", "read"), 403},
		{"a scope that the user hasn't", site("front-door", "resource "+backend+"\nscopes admin"), user, 403},
		{"a server that it doesn't know", site("front-door", "resource https://other.internal"), user, 403},
		{"a client that may not", site("machine", "resource "+backend), user, 403},
		{"a wrong secret", strings.Replace(site("front-door", "resource "+backend), "secret secret", "secret wrong", 1), user, 500},
	} {
		c.reload(tc.site)
		if got := c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+tc.raw); got.status != tc.want {
			t.Errorf("%s: got %d %s, want %d", tc.name, got.status, got.body, tc.want)
		}
	}
	// While the server is away, what was exchanged before goes on, and nothing else.
	c.reload(site("front-door", "resource "+backend+"\nscopes read"))
	c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+user)
	other := as.userToken("ada", c.URL+"/mcp", "read")
	as.stop()
	c.waitFor("the server to be away", func() bool {
		return c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+other).status == 503
	})
	if got := c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+user); got.status != 200 {
		t.Errorf("with the server away, and a token that was exchanged: got %d %s", got.status, got.body)
	}
	if !c.log.contains("tokens can't be exchanged for the server behind") || c.log.contains(user) {
		t.Error("the log doesn't say what the operator should correct, or says too much")
	}
}

// userToken returns an access token of a user, without a sign-in.
func (s *authServer) userToken(user, resource, scope string) string {
	s.t.Helper()
	resp, err := http.Post(s.Issuer+"/test/token?"+url.Values{"sub": {user}, "aud": {resource}, "scope": {scope}}.Encode(), "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		s.t.Fatalf("got %d, %v", resp.StatusCode, err)
	}
	return answer.Token
}

// The embedded server exchanges tokens for the door beside it.
func TestExchangeAtEmbeddedServer(t *testing.T) {
	t.Parallel()
	const backend = "https://backend.internal/api"
	seen := make(chan string, 10)
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen <- strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}))
	t.Cleanup(behind.Close)
	site := strings.NewReplacer(
		"resource SITE/mcp\n", "resource SITE/mcp "+backend+"\n",
		"machine {\n", "door {\nsecret door-secret-0123456\ntoken_exchange\n}\nmachine {\n",
		"scopes mcp:tools\n\t}\n\tmcp_whoami /mcp*", "scopes mcp:tools\nexchange {\nclient_id door\nclient_secret door-secret-0123456\nresource "+backend+"\nscopes mcp:tools\n}\n\t}\n\treverse_proxy /mcp* "+behind.Listener.Addr().String(),
	).Replace(embedded)
	c := startEmbedded(t, site)
	tokens := c.register(t, callback).signIn(c.person(t), "ada")
	for range 2 {
		if got := c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+tokens.Access); got.status != 200 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		var claims map[string]any
		if err := json.Unmarshal([]byte(part(t, <-seen, 1)), &claims); err != nil {
			t.Fatal(err)
		}
		if claims["aud"] != backend || claims["sub"] != "ada" || claims["scope"] != "mcp:tools" || claims["client_id"] != "door" || claims["iss"] != c.URL {
			t.Errorf("the server behind got %v", claims)
		}
	}
	// What was exchanged is no token for the door.
	c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+tokens.Access)
	if got := c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+<-seen); got.status != 401 {
		t.Errorf("sent back to the door: got %d %s", got.status, got.body)
	}
}
