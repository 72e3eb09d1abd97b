package integration_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// redirectURI is where Django sends the user back to. Nobody listens there: the
// tests read the code from the redirect.
const redirectURI = "http://127.0.0.1:9/callback"

// djangoOAuth is a running Django OAuth Toolkit.
type djangoOAuth struct {
	t            *testing.T
	URL          string `json:"url"`
	database     string
	redirectURIs []string
	env          []string
	cmd          *exec.Cmd
}

// startDjangoOAuth runs Django OAuth Toolkit from Debian's package, with Debian's
// Python.
//
// Its public client has the further redirect URIs given.
func startDjangoOAuth(t *testing.T, redirectURIs ...string) *djangoOAuth {
	t.Helper()
	return startDjangoOAuthWith(t, nil, redirectURIs...)
}

func startDjangoOAuthWith(t *testing.T, env []string, redirectURIs ...string) *djangoOAuth {
	t.Helper()
	if err := exec.Command("/usr/bin/python3", "-c", "import oauth2_provider").Run(); err != nil {
		skip(t, "Django OAuth Toolkit is not installed: apt-get install python3-django-oauth-toolkit, or `make test` as root")
	}
	d := &djangoOAuth{t: t, database: filepath.Join(t.TempDir(), "db.sqlite3"), redirectURIs: append([]string{redirectURI}, redirectURIs...), env: env}
	d.start("0")
	return d
}

func (d *djangoOAuth) start(port string) {
	d.t.Helper()
	d.cmd = exec.Command("/usr/bin/python3", filepath.Join("djangooauth", "serve.py"))
	d.cmd.Env = append(os.Environ(), "PORT="+port, "DATABASE="+d.database, "REDIRECT_URI="+strings.Join(d.redirectURIs, " "), "PYTHONDONTWRITEBYTECODE=1")
	d.cmd.Env = append(d.cmd.Env, d.env...)
	serve(d.t, d.cmd, d)
}

// post sends a form and returns the JSON that comes back.
func (d *djangoOAuth) post(path string, form url.Values, credentials ...string) map[string]any {
	d.t.Helper()
	req, err := http.NewRequest(http.MethodPost, d.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if len(credentials) == 2 {
		req.SetBasicAuth(credentials[0], credentials[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s answered %d: %s %v", path, resp.StatusCode, body, err)
	}
	answer := make(map[string]any)
	_ = json.Unmarshal(body, &answer) // revocation answers with nothing
	return answer
}

func (d *djangoOAuth) machineToken(scope string) string {
	d.t.Helper()
	grant := d.post("/o/token/", url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}, "machine", "machine-secret")
	return grant["access_token"].(string)
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// submit fills the form at address as a browser would and returns the answer.
func (d *djangoOAuth) submit(browser *http.Client, address string, fields url.Values) *http.Response {
	d.t.Helper()
	resp, err := browser.Get(address)
	if err != nil {
		d.t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s answered %d %v", address, resp.StatusCode, err)
	}
	for _, input := range hiddenInput.FindAllStringSubmatch(string(page), -1) {
		fields.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
	}
	resp, err = browser.PostForm(address, fields)
	if err != nil {
		d.t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// signIn has ada sign in and consent, and redeems the code: authorization code
// with PKCE, as MCP clients do it.
func (d *djangoOAuth) signIn() map[string]any {
	d.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	browser := &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if resp := d.submit(browser, d.URL+"/login/", url.Values{"username": {"ada"}, "password": {"password"}}); resp.StatusCode != http.StatusFound {
		d.t.Fatalf("signing in: got %d, want a redirect", resp.StatusCode)
	}
	verifier := strings.Repeat("verifier-", 6)
	challenge := sha256.Sum256([]byte(verifier))
	resp := d.submit(browser, d.URL+"/o/authorize/?"+url.Values{
		"response_type":         {"code"},
		"client_id":             {"mcp-client"},
		"redirect_uri":          {redirectURI},
		"scope":                 {"read"},
		"state":                 {"state"},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}.Encode(), url.Values{"allow": {"Authorize"}})
	callback, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || callback.Query().Get("code") == "" {
		d.t.Fatalf("consenting: got %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	return d.post("/o/token/", url.Values{
		"grant_type":    {"authorization_code"},
		"client_id":     {"mcp-client"},
		"redirect_uri":  {redirectURI},
		"code":          {callback.Query().Get("code")},
		"code_verifier": {verifier},
	})
}

// djangoSite is a front door for the tokens of d. options are of introspection.
func djangoSite(d *djangoOAuth, endpoint, secret string) string {
	return strings.NewReplacer("DJANGO", d.URL, "ENDPOINT", endpoint, "CREDENTIAL", secret).Replace(`
		mcp_auth /mcp* SITE/mcp {
			issuer DJANGO/o {
				discovery off
				cache {
					ttl 1s
				}
				introspection {
					endpoint DJANGOENDPOINT
					client_id front-door
					client_secret CREDENTIAL
					insecure_allow_missing_audience
				}
			}
			scopes read
		}
		handle /mcp* {
			mcp_whoami
		}
	`)
}

// whoami calls the tool and returns what it says.
func (c *caddyServer) whoami(token string) (answer, map[string]any) {
	c.t.Helper()
	got := c.do("POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`,
		append(mcpHeaders(token), "MCP-Protocol-Version", "2025-06-18")...)
	var message struct {
		Result struct {
			StructuredContent map[string]any `json:"structuredContent"`
		} `json:"result"`
	}
	_ = json.Unmarshal([]byte(got.body), &message) // refusals are of another form
	return got, message.Result.StructuredContent
}

func TestDjangoOAuthToolkit(t *testing.T) {
	t.Parallel()
	d := startDjangoOAuth(t)
	c := startCaddy(t, djangoSite(d, "/o/introspect/", "front-door-secret"))

	grant := d.signIn()
	user := grant["access_token"].(string)
	got, who := c.whoami(user)
	if got.status != 200 || who["username"] != "ada" || who["client_id"] != "mcp-client" {
		t.Fatalf("with the user's token: got %d, %v, want ada by mcp-client", got.status, who)
	}
	c.logs(`"user_id":"ada"`)
	if got, who := c.whoami(d.machineToken("read")); got.status != 200 || who["client_id"] != "machine" || who["username"] != nil {
		t.Errorf("with the client's token: got %d, %v, want machine", got.status, who)
	}
	if got, _ := c.whoami(d.machineToken("write")); got.status != 403 || got.challenge(t)["error"] != "insufficient_scope" {
		t.Errorf("without the scope: got %d, want 403 insufficient_scope", got.status)
	}
	if got, _ := c.whoami("no-such-token"); got.status != 401 || got.challenge(t)["error"] != "invalid_token" {
		t.Errorf("with a made up token: got %d, want 401 invalid_token", got.status)
	}

	refreshed := d.post("/o/token/", url.Values{
		"grant_type":    {"refresh_token"},
		"client_id":     {"mcp-client"},
		"refresh_token": {grant["refresh_token"].(string)},
	})
	user = refreshed["access_token"].(string)
	if got, who := c.whoami(user); got.status != 200 || who["username"] != "ada" {
		t.Errorf("after a refresh: got %d, %v, want ada", got.status, who)
	}
	if got, _ := c.whoami(refreshed["refresh_token"].(string)); got.status != 401 {
		t.Errorf("with the refresh token: got %d, want 401", got.status)
	}

	// Replaced, the first one passes until the verdict is forgotten, and then no
	// more; so does the second one when it is revoked.
	c.passesNoMore(grant["access_token"].(string))
	d.post("/o/revoke_token/", url.Values{"client_id": {"mcp-client"}, "token": {user}})
	c.passesNoMore(user)
	c.logs(`"mcp_auth_refusal":"inactive"`)
	for _, token := range []string{user, grant["access_token"].(string)} {
		if c.log.contains(token) {
			t.Error("a token is in the log")
		}
	}
}

// passesNoMore waits until the token is refused, which it may pass until then.
func (c *caddyServer) passesNoMore(token string) {
	c.t.Helper()
	testkit.Eventually(c.t, "a refusal of the token", func() bool {
		got, _ := c.whoami(token)
		if got.status != 200 && got.status != 401 {
			c.t.Fatalf("got %d, want 200 for a second, then 401", got.status)
		}
		return got.status == 401
	})
}

// What is wrong on our side is said in the log, and costs nobody his token.
func TestDjangoOAuthToolkitMisconfigured(t *testing.T) {
	t.Parallel()
	d := startDjangoOAuth(t)
	for _, test := range []struct{ name, endpoint, secret, cure string }{
		{"wrong secret", "/o/introspect/", "wrong", "check client_id, client_secret"},
		{"no slash at the end", "/o/introspect", "front-door-secret", "with or without a slash at its end"},
		{"another endpoint", "/o/nothing/", "front-door-secret", "is that the introspection endpoint?"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := startCaddy(t, djangoSite(d, test.endpoint, test.secret))
			got, _ := c.whoami(d.machineToken("read"))
			if got.status != 503 || got.header.Get("Retry-After") == "" || got.header.Get("WWW-Authenticate") != "" {
				t.Errorf("got %d, want 503 with Retry-After and without a challenge", got.status)
			}
			c.logs(test.cure)
			if c.log.contains("front-door-secret") {
				t.Error("the secret is in the log")
			}
		})
	}
}

// While Django is away nobody is signed out; when it is back, all is as before.
func TestDjangoOAuthToolkitAway(t *testing.T) {
	t.Parallel()
	d := startDjangoOAuth(t)
	site := strings.Replace(djangoSite(d, "/o/introspect/", "front-door-secret"), "ttl 1s", "ttl 10m", 1)
	c := startCaddy(t, site)
	known, unknown := d.machineToken("read"), d.machineToken("read")
	if got, _ := c.whoami(known); got.status != 200 {
		t.Fatalf("got %d, want 200", got.status)
	}
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.waitFor("Django to be gone", func() bool {
		_, err := http.Get(d.URL)
		return err != nil
	})
	for range 5 {
		if got, _ := c.whoami(unknown); got.status != 503 {
			t.Errorf("with a new token: got %d, want 503", got.status)
		}
		if got, _ := c.whoami(known); got.status != 200 {
			t.Errorf("with a known token: got %d, want 200", got.status)
		}
	}
	address, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	d.start(address.Port())
	c.waitFor("the new token to pass", func() bool {
		got, _ := c.whoami(unknown)
		if got.status != 200 && got.status != 503 {
			t.Fatalf("got %d, want 503 and then 200", got.status)
		}
		return got.status == 200
	})
}
