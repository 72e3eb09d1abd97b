package integration_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// djangoFacade is Django OAuth Toolkit with all that MCP clients miss of it.
const djangoFacade = `
	mcp_auth_facade SITE/o {
		preset django-oauth-toolkit
		metadata scopes_supported read write
		register static mcp-client {
			redirect_uris REDIRECTS
		}
	}
	mcp_auth /mcp* SITE/mcp {
		issuer SITE/o {
			introspection {
				endpoint DJANGO/o/introspect/
				client_id front-door
				client_secret front-door-secret
				insecure_allow_missing_audience
			}
		}
		scopes read
	}
	mcp_whoami /mcp*
	reverse_proxy DJANGO {
		header_up Host {upstream_hostport}
	}
`

// Unmodified, with its own login and consent forms, Django OAuth Toolkit lets
// clients in that know nothing but the MCP server's URL.
func TestFacadeOfDjango(t *testing.T) {
	t.Parallel()
	needNode(t)
	ports := map[string]string{}
	var redirects []string
	for name, path := range map[string]string{"inspector": "/oauth/callback", "v1": "/callback", "v2": "/callback", "go": "/callback", "chromium": "/oauth/callback"} {
		ports[name] = strconv.Itoa(testkit.FreePort(t))
		redirects = append(redirects, "http://127.0.0.1:"+ports[name]+path)
	}
	d := startDjangoOAuth(t, redirects...)
	c := startCaddy(t, "respond 503")
	site := strings.NewReplacer("DJANGO", d.URL, "REDIRECTS", "cursor://anysphere.cursor-mcp/oauth/callback "+redirectURI+" "+strings.Join(redirects, " ")).Replace(djangoFacade)
	c.reload(site)

	user := []string{"BROWSER_PASSWORD=password", "BROWSER_DECISION=Authorize"}
	for _, test := range []signInCase{
		{"inspector", func(ctx context.Context) *exec.Cmd {
			cmd := c.inspector(ctx, t, "--protocol-era", "auto")
			cmd.Env = append(cmd.Env, "INSPECTOR_PORT="+ports["inspector"])
			return cmd
		}, ""},
		{"TypeScript SDK v1", func(ctx context.Context) *exec.Cmd {
			return node(ctx, c.CA, "client-v1.mjs", c.URL+"/mcp", "--redirect-port", ports["v1"])
		}, "2025-11-25"},
		{"TypeScript SDK v2", func(ctx context.Context) *exec.Cmd {
			return node(ctx, c.CA, "client-v2.mjs", c.URL+"/mcp", "--redirect-port", ports["v2"])
		}, "2026-07-28"},
	} {
		t.Run(test.name, func(t *testing.T) {
			who := test.run(t, "ada", user...)
			if who["username"] != "ada" || who["client_id"] != "mcp-client" {
				t.Errorf("whoami says %v, want ada", who)
			}
		})
	}
	t.Run("Go SDK", func(t *testing.T) {
		g := connectGoClientAs(t, c, c.URL+"/mcp", func(config *auth.AuthorizationCodeHandlerConfig) {
			config.RedirectURL = "http://127.0.0.1:" + ports["go"] + "/callback"
			ln, err := net.Listen("tcp", "127.0.0.1:"+ports["go"])
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
			go server.Serve(ln)
			t.Cleanup(func() { server.Close() })
			registering(config)
			config.AuthorizationCodeFetcher = func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
				return authorize(ctx, c.CA, args.URL, user...)
			}
		})
		if who, err := g.whoami(); err != nil || who["username"] != "ada" {
			t.Errorf("whoami says %v, %v, want ada", who, err)
		}
	})
	t.Run("metadata", func(t *testing.T) {
		for _, path := range []string{
			"/.well-known/oauth-authorization-server/o", "/.well-known/openid-configuration/o", "/o/.well-known/openid-configuration",
			"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration",
		} {
			got := c.do("GET", path, "", "Origin", "https://inspector.example")
			var m map[string]any
			if err := json.Unmarshal([]byte(got.body), &m); err != nil || got.status != 200 || m["issuer"] != c.URL+"/o" || m["registration_endpoint"] != c.URL+"/o/oauth/register" {
				t.Errorf("%s: got %d %s", path, got.status, got.body)
			}
			if got.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: no CORS", path)
			}
		}
	})
	t.Run("registration", func(t *testing.T) { facadeRefusals(t, c, redirects[0]) })
	t.Run("consent", func(t *testing.T) { facadeConsent(t, c, redirects[0]) })
}

// facadeRefusals checks what seed code in the wild gets wrong.
func facadeRefusals(t *testing.T, c *caddyServer, redirect string) {
	for _, test := range []struct {
		name, body string
		status     int
		code       string
	}{
		{"good", `{"redirect_uris":["` + redirect + `"]}`, 201, ""},
		{"a scheme that is listed", `{"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback","` + redirect + `"]}`, 201, ""},
		{"a scheme that is not", `{"redirect_uris":["other://x/cb"]}`, 400, "invalid_redirect_uri"},
		{"asks for a secret", `{"redirect_uris":["` + redirect + `"],"token_endpoint_auth_method":"client_secret_post"}`, 201, ""},
		{"javascript", `{"redirect_uris":["javascript:alert(1)"]}`, 400, "invalid_redirect_uri"},
		{"fragment", `{"redirect_uris":["` + redirect + `#x"]}`, 400, "invalid_redirect_uri"},
		{"wildcard", `{"redirect_uris":["https://*.example/cb"]}`, 400, "invalid_redirect_uri"},
		{"remote http", `{"redirect_uris":["http://a.example/cb"]}`, 400, "invalid_redirect_uri"},
		{"not registered", `{"redirect_uris":["https://evil.example/cb"]}`, 400, "invalid_redirect_uri"},
		{"another port", `{"redirect_uris":["http://127.0.0.1:1/oauth/callback"]}`, 400, "invalid_redirect_uri"},
		{"one of two", `{"redirect_uris":["` + redirect + `","https://evil.example/cb"]}`, 400, "invalid_redirect_uri"},
		{"none", `{}`, 400, "invalid_redirect_uri"},
		{"twice", `{"redirect_uris":["` + redirect + `"],"redirect_uris":["https://evil.example/cb"]}`, 400, "invalid_client_metadata"},
		{"not JSON", `x`, 400, "invalid_client_metadata"},
		{"oversized", `{"redirect_uris":["` + redirect + `"],"x":"` + strings.Repeat("x", 100_000) + `"}`, 400, "invalid_client_metadata"},
	} {
		got := c.do("POST", "/o/oauth/register", test.body, "Content-Type", "application/json", "Origin", "https://inspector.example")
		var answer map[string]any
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
			t.Errorf("%s: got %d %q", test.name, got.status, got.body)
			continue
		}
		if got.status != test.status || test.code != "" && answer["error"] != test.code || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: got %d %s, want %d %s with CORS", test.name, got.status, got.body, test.status, test.code)
		}
		if test.status == 201 && (answer["client_id"] != "mcp-client" || answer["client_secret"] != nil || answer["token_endpoint_auth_method"] != "none") {
			t.Errorf("%s: got %s, want the public client without a secret", test.name, got.body)
		}
	}
	if got := c.do("OPTIONS", "/o/oauth/register", "", "Origin", "https://inspector.example", "Access-Control-Request-Method", "POST"); got.status != 204 || got.header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("preflight: got %d %v", got.status, got.header)
	}
	limited := 0
	for range 30 {
		if c.do("POST", "/o/oauth/register", `{"redirect_uris":["`+redirect+`"]}`, "Content-Type", "application/json").status == 429 {
			limited++
		}
	}
	if limited == 0 {
		t.Error("30 registrations at once pass")
	}
}

// facadeConsent checks that clients which share an identifier don't share a
// consent, and that nothing gets past the façade.
func facadeConsent(t *testing.T, c *caddyServer, redirect string) {
	request := func(fields ...string) string {
		q := url.Values{
			"response_type": {"code"}, "client_id": {"mcp-client"}, "redirect_uri": {redirectURI}, "scope": {"read"}, "state": {"s"},
			"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
		}
		set(q, fields)
		return c.URL + "/o/authorize/?" + q.Encode()
	}
	for name, fields := range map[string][]string{
		"no PKCE":                 {"code_challenge", "", "code_challenge_method", ""},
		"plain":                   {"code_challenge_method", "plain"},
		"no method":               {"code_challenge_method", ""},
		"another redirect URI":    {"redirect_uri", "https://evil.example/cb"},
		"no redirect URI":         {"redirect_uri", ""},
		"a request object":        {"request", "x"},
		"implicit":                {"response_type", "token"},
		"no response type at all": {"response_type", ""},
	} {
		got := c.person(t).get(request(fields...))
		if got.status != 400 || got.header.Get("Location") != "" {
			t.Errorf("%s: got %d %s", name, got.status, got.text())
		}
	}
	p := c.person(t)
	pg := p.get(request())
	if pg.status != 200 || !strings.Contains(pg.text(), "127.0.0.1") || !pg.button("allow") {
		t.Fatalf("not asked: %d %s", pg.status, pg.text())
	}
	if got := c.person(t).submit(pg, "allow"); got.status != 400 {
		t.Errorf("answered in another browser: got %d %s", got.status, got.header.Get("Location"))
	}
	if got := p.post(c.URL+"/o/oauth/facade-consent", url.Values{"request": {pg.field("request")}, "decision": {"allow"}}, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); got.status != 400 {
		t.Errorf("answered by another site: got %d", got.status)
	}
	if got := p.submit(pg, "deny").location(t); !strings.HasPrefix(got.String(), redirectURI+"?error=access_denied") || got.Query().Get("state") != "s" {
		t.Errorf("refused: sent to %s", got)
	}
	if got := p.get(request()); !got.button("allow") {
		t.Errorf("not asked again after a refusal: %d", got.status)
	}
	allowed := p.submit(pg, "allow").location(t)
	if login := p.get(allowed.String()); !strings.HasPrefix(login.header.Get("Location"), "/login/") {
		t.Errorf("allowed: got %d %q %s, want Django's login", login.status, login.header.Get("Location"), login.text())
	}
	if got := p.get(request()); !strings.HasPrefix(got.header.Get("Location"), "/login/") {
		t.Errorf("asked again: %d %s", got.status, got.text())
	}
	if got := p.get(request("redirect_uri", redirect)); !got.button("allow") && strings.HasSuffix(redirect, "/oauth/callback") {
		t.Errorf("another place shares the consent: %d %s", got.status, got.header.Get("Location"))
	}
	// A form can't evade what is checked of the query.
	bare := c.URL + "/o/authorize/"
	form, err := url.Parse(request("redirect_uri", "https://evil.example/cb"))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.post(bare, form.Query()); got.status != 400 {
		t.Errorf("a form with another redirect URI: got %d %s", got.status, got.text())
	}
	if got := p.post(bare, url.Values{"redirect_uri": {"https://evil.example/cb"}}); got.status != 400 {
		t.Errorf("a form with nothing but a redirect URI: got %d %s", got.status, got.text())
	}
	multipart := "--b\r\nContent-Disposition: form-data; name=\"client_id\"\r\n\r\nmcp-client\r\n--b--\r\n"
	if got := c.do("POST", "/o/authorize/", multipart, "Content-Type", "multipart/form-data; boundary=b"); got.status != 400 {
		t.Errorf("a form of another kind: got %d", got.status)
	}
	for _, path := range []string{"/o/authorize", "/o/authorize;x=1/", "/o;x/authorize/;y", "/o/authorize//", "//o/authorize/", "/o/./authorize/", "/o/x/../authorize/", "/O/Authorize/", "/o/%61uthorize/"} {
		if got := c.do("GET", path+"?"+strings.SplitN(request("code_challenge", ""), "?", 2)[1], ""); got.status != 400 {
			t.Errorf("%s: got %d, want 400", path, got.status)
		}
	}
	c.logs(`"mcp_auth_facade_cause"`)

	metrics, err := http.Get("http://" + c.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Body.Close()
	text, err := io.ReadAll(metrics.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, labels := range []string{
		`endpoint="authorize",issuer="` + c.URL + `/o",outcome="asked"`, `endpoint="authorize",issuer="` + c.URL + `/o",outcome="invalid_request"`,
		`endpoint="authorize",issuer="` + c.URL + `/o",outcome="ok"`, `endpoint="consent",issuer="` + c.URL + `/o",outcome="denied"`,
		`endpoint="consent",issuer="` + c.URL + `/o",outcome="allowed"`,
	} {
		if !strings.Contains(string(text), "caddy_mcp_auth_facade_requests_total{"+labels+"}") {
			t.Errorf("the metrics have no %s", labels)
		}
	}
}
