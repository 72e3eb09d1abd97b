package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

const whoamiSite = `
	mcp_auth /mcp* SITE/mcp {
		issuer ISSUER
		scopes read
	}
	handle /mcp* {
		mcp_whoami
	}
`

// challenge returns the parameters of the answer's Bearer challenge.
func (a answer) challenge(t *testing.T) map[string]string {
	t.Helper()
	challenges, err := oauthex.ParseWWWAuthenticate(a.header.Values("WWW-Authenticate"))
	if err != nil {
		t.Fatalf("WWW-Authenticate %q: %v", a.header.Values("WWW-Authenticate"), err)
	}
	if len(challenges) != 1 || challenges[0].Scheme != "bearer" {
		t.Fatalf("WWW-Authenticate %q, want one Bearer challenge", a.header.Values("WWW-Authenticate"))
	}
	return challenges[0].Params
}

// The whole table of answers, over the wire.
func TestAnswers(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	other := startFakeIssuer(t)
	c := startCaddy(t, f.fill(whoamiSite))
	good := f.token(c, nil)

	for _, test := range []struct {
		name    string
		method  string
		headers []string
		status  int
		err     string // in the challenge
	}{
		{"GET without a token", "GET", nil, 401, ""},
		{"POST without a token", "POST", nil, 401, ""},
		{"DELETE without a token", "DELETE", nil, 401, ""},
		{"HEAD without a token", "HEAD", nil, 401, ""},
		{"PUT without a token", "PUT", nil, 401, ""},
		{"another scheme", "POST", []string{"Authorization", "Basic YTpi"}, 401, ""},
		{"an empty token", "POST", []string{"Authorization", "Bearer "}, 400, "invalid_request"},
		{"two headers", "POST", []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + good}, 400, "invalid_request"},
		{"two tokens in a header", "POST", []string{"Authorization", "Bearer " + good + ", Bearer " + good}, 400, "invalid_request"},
		{"an opaque token", "POST", []string{"Authorization", "Bearer abc"}, 401, "invalid_token"},
		{"expired", "POST", []string{"Authorization", "Bearer " + f.token(c, map[string]any{"exp": 1})}, 401, "invalid_token"},
		{"for another resource", "POST", []string{"Authorization", "Bearer " + f.token(c, map[string]any{"aud": c.URL + "/other"})}, 401, "invalid_token"},
		{"of another issuer", "POST", []string{"Authorization", "Bearer " + other.token(c, nil)}, 401, "invalid_token"},
		{"without the scope", "POST", []string{"Authorization", "Bearer " + f.token(c, map[string]any{"scope": "write"})}, 403, "insufficient_scope"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := c.do(test.method, "/mcp", "", test.headers...)
			if got.status != test.status {
				t.Fatalf("got %d, want %d", got.status, test.status)
			}
			params := got.challenge(t)
			if params["error"] != test.err {
				t.Errorf("error %q, want %q", params["error"], test.err)
			}
			if want := c.URL + "/.well-known/oauth-protected-resource/mcp"; params["resource_metadata"] != want {
				t.Errorf("resource_metadata %q, want %q", params["resource_metadata"], want)
			}
			if params["scope"] != "read" {
				t.Errorf("scope %q, want read", params["scope"])
			}
			if strings.Contains(got.body, good) {
				t.Error("the answer contains the token")
			}
		})
	}
	if n := other.Count(oauthtest.Any); n != 0 {
		t.Errorf("an issuer that isn't configured was asked %d times", n)
	}
	// In the query it is in Caddy's access log as well: another token.
	inQuery := "/mcp?access_token=" + f.token(c, nil)
	if got := c.do("POST", inQuery, ""); got.status != 401 {
		t.Errorf("with a token in the query: got %d, want 401", got.status)
	}
	if got := c.do("POST", inQuery, "", "Authorization", "Bearer "+good); got.status != 400 {
		t.Errorf("with a second token in the query: got %d, want 400", got.status)
	}
	// The token that all of them were like, but for one thing.
	if got := c.do("POST", "/mcp", initialize, mcpHeaders(good)...); got.status != 200 {
		t.Errorf("with a good token: got %d, want 200", got.status)
	}
	if c.log.contains(good) {
		t.Error("the log contains the token")
	}
}

// initialize is a request that every revision up to 2025-11-25 begins with.
const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

func mcpHeaders(token string) []string {
	return []string{
		"Authorization", "Bearer " + token,
		"Content-Type", "application/json",
		"Accept", "application/json, text/event-stream",
	}
}

// No hostile token gets through, none brings the server down, and nothing of
// any of them is in a log or an answer.
func TestHostileTokens(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(strings.Replace(whoamiSite, "scopes read", "", 1)))
	resource := c.URL + "/mcp"
	hostile := oauthtest.Hostile(f.Server, resource)
	benign := oauthtest.Benign(f.Server, resource)
	// Some can't be sent in a header at all, or not in one that Caddy reads: the
	// unit tests have them.
	sendable := slices.DeleteFunc(slices.Clone(hostile), func(test oauthtest.Case) bool {
		return len(test.Token) > 32<<10 || !httpguts.ValidHeaderFieldValue(test.Token) ||
			strings.TrimSpace(test.Token) != test.Token // HTTP trims it
	})
	if len(sendable) < len(hostile)*9/10 {
		t.Errorf("only %d of %d hostile tokens can be sent", len(sendable), len(hostile))
	}
	// Many at once: those that send the front door back to the issuer for its
	// keys wait for the same answer.
	var wg sync.WaitGroup
	limit := make(chan struct{}, 32)
	for _, test := range sendable {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			got := c.do("POST", "/mcp", initialize, mcpHeaders(test.Token)...)
			// 400 where it isn't even a token68.
			if got.status != 401 && got.status != 400 {
				t.Errorf("%s: got %d, want 401: %s", test.Name, got.status, test.Want)
			}
			if len(test.Token) > 20 && strings.Contains(got.body, test.Token) {
				t.Errorf("%s: the token is in the answer", test.Name)
			}
		})
	}
	wg.Wait()
	for _, test := range benign {
		if got := c.do("POST", "/mcp", initialize, mcpHeaders(test.Token)...); got.status != 200 {
			t.Errorf("%s: got %d, want 200: %s", test.Name, got.status, test.Want)
		}
	}
	log := c.log.String()
	for _, test := range slices.Concat(sendable, benign) {
		if len(test.Token) > 20 && strings.Contains(log, test.Token) {
			t.Errorf("%s: the token is in the log", test.Name)
		}
	}
	if n := f.Count(oauthtest.Other); n != 0 {
		t.Errorf("%d requests went to addresses in tokens", n)
	}
	t.Logf("%d hostile and %d benign tokens", len(sendable), len(benign))
}

// An authorization server that can't be asked makes good tokens wait, not fail.
func TestIssuerAway(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]oauthtest.Fault{
		"closing connections": oauthtest.Close(),
		"answering 500":       oauthtest.Status(http.StatusInternalServerError),
		"answering garbage":   oauthtest.Garbage(),
		"answering {}":        oauthtest.Empty(),
		"without keys":        oauthtest.EmptyKeys(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFakeIssuer(t)
			f.SetFault(oauthtest.JWKS, fault)
			c := startCaddy(t, f.fill(whoamiSite))
			token := f.token(c, nil)
			got := c.do("POST", "/mcp", initialize, mcpHeaders(token)...)
			if got.status != 503 || got.header.Get("Retry-After") == "" || got.header.Get("WWW-Authenticate") != "" {
				t.Errorf("got %d with Retry-After %q and WWW-Authenticate %q, want 503, some, none",
					got.status, got.header.Get("Retry-After"), got.header.Get("WWW-Authenticate"))
			}
			f.SetFault(oauthtest.JWKS, nil)
			c.waitFor("the token to be accepted", func() bool {
				return c.do("POST", "/mcp", initialize, mcpHeaders(token)...).status == 200
			})
		})
	}
}

// Whatever the request line looks like, /mcp needs a token, and only the exact
// metadata paths don't.
func TestPaths(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(`
		mcp_auth /mcp* SITE/mcp {
			issuer ISSUER
		}
		handle /mcp* {
			respond "protected"
		}
		handle {
			respond "public"
		}
	`))
	for _, test := range []struct {
		path   string
		status int
	}{
		{"/mcp", 401},
		{"/mcp/", 401},
		{"//mcp", 401},
		{"/%6dcp", 401},
		{"/%6Dcp/x", 401},
		{"/MCP", 401},
		{"/./mcp", 401},
		{"/x/../mcp", 401},
		{"/mcp;x", 401},
		{"/mcp%2fx", 401},
		{"/.well-known/oauth-protected-resource/mcp", 200},
		{"/.well-known/oauth-protected-resource/mcp/", 200},
		{"/.well-known/../mcp", 401},
		{"/.well-known//oauth-protected-resource/mcp", 401},
		{"/.WELL-KNOWN/oauth-protected-resource/mcp", 401},
		{"/.well-known/%6fauth-protected-resource/mcp", 401},
		{"/public", 200},
	} {
		resp := c.raw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", test.path, c.Host))
		if resp.StatusCode != test.status {
			t.Errorf("%s: got %d, want %d", test.path, resp.StatusCode, test.status)
		}
	}
}

// The metadata is there whatever else the site asks for.
func TestMetadata(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	const basicAuth = `
		basic_auth {
			ada $2a$04$xkrOwVi.5hF2kzBcT1Z17eOEInOaHDgMKhtMB0oVLMjOFkr62kVAy
		}
	`
	for name, site := range map[string]string{
		"site-wide basic_auth":    whoamiSite + basicAuth,
		"a catch-all handle":      whoamiSite + "handle {\n respond 404\n }\n",
		"inside a handle":         "handle {\n" + whoamiSite + "\n}\n",
		"a site of its own":       strings.ReplaceAll(whoamiSite, "mcp_auth /mcp*", "mcp_auth"),
		"a reverse proxy for all": strings.ReplaceAll(whoamiSite, "mcp_whoami", "reverse_proxy 127.0.0.1:1"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCaddy(t, f.fill(site))
			got := c.do("GET", "/.well-known/oauth-protected-resource/mcp", "", "Origin", "https://anywhere.example")
			var metadata struct {
				Resource string   `json:"resource"`
				Servers  []string `json:"authorization_servers"`
				Scopes   []string `json:"scopes_supported"`
				Methods  []string `json:"bearer_methods_supported"`
			}
			if err := json.Unmarshal([]byte(got.body), &metadata); got.status != 200 || err != nil {
				t.Fatalf("got %d %q", got.status, got.body)
			}
			want := fmt.Sprintf("{%s/mcp [%s] [read] [header]}", c.URL, f.Issuer())
			if got := fmt.Sprint(metadata); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if origin := got.header.Get("Access-Control-Allow-Origin"); origin != "*" {
				t.Errorf("Access-Control-Allow-Origin %q, want *", origin)
			}
			root := c.do("GET", "/.well-known/oauth-protected-resource", "")
			if hasRoot := strings.Contains(root.body, `"resource"`); hasRoot != (name == "a site of its own") {
				t.Errorf("the root form is served: %v", hasRoot)
			}
			if got := c.do("GET", "/mcp", ""); got.status != 401 || got.challenge(t)["resource_metadata"] == "" {
				t.Errorf("/mcp: got %d, want 401 with the metadata's address", got.status)
			}
		})
	}
}

// A host that no site has is nobody's business: not the MCP server's either.
func TestUnmatchedHost(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(whoamiSite))
	resp := c.raw("POST /mcp HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer " + f.token(c, nil) + "\r\nContent-Length: 0\r\n\r\n")
	if resp.ContentLength != 0 {
		t.Errorf("got %d with a body, want an empty answer", resp.StatusCode)
	}
}
