package integration_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// needChromium skips the test if there is no Chromium.
func needChromium(t *testing.T) {
	t.Helper()
	needNode(t)
	if _, err := exec.LookPath("chromium"); err != nil {
		skip(t, "chromium is not installed (Debian: chromium)")
	}
}

// visit is what a user with a real browser did and saw.
type visit struct {
	Ended    string   `json:"ended"`
	URL      string   `json:"url"`
	Title    string   `json:"title"`
	Text     string   `json:"text"`
	Acted    []string `json:"acted"`
	Problems []string `json:"problems"`
	Error    string   `json:"error"`
}

// chromium has a user with a real browser, without scripts, open an
// authorization URL. env says who they are and what they decide. With
// SCREENSHOTS in the environment, pictures of the pages are kept there.
func chromium(ctx context.Context, t *testing.T, c *caddyServer, address string, env ...string) visit {
	t.Helper()
	// A killed one leaves its profile behind. In t.TempDir(), which has the name
	// of the test in it, the path of its socket would be too long.
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	report := filepath.Join(dir, "report.json")
	cmd := node(ctx, c.CA, "chromium.mjs", address)
	cmd.Env = append(cmd.Env, "CHROMIUM_REPORT="+report, "TMPDIR="+dir)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	b, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("chromium: %v, %v\n%s", err, readErr, out)
	}
	var v visit
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("chromium: %v: %s", err, b)
	}
	return v
}

// parameters are those that the client gets at its redirect URI.
func (v visit) parameters(t *testing.T) url.Values {
	t.Helper()
	u, err := url.Parse(v.URL)
	if err != nil || v.Ended != "callback" {
		t.Fatalf("the browser ended at %s, %q: %s%s", v.URL, v.Title, v.Text, v.Error)
	}
	return u.Query()
}

// The pages work in a real browser that runs no scripts: it obeys their
// Content-Security-Policy, their cookies, and the redirects that follow a form.
func TestPagesInChromium(t *testing.T) {
	t.Parallel()
	needChromium(t)
	c := startEmbedded(t, embedded)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<title>Back at the application</title><main>You may close this window.</main>")
	}))
	t.Cleanup(app.Close)
	a := c.register(t, app.URL+"/callback")
	shots := func(name string) string {
		if dir := os.Getenv("SCREENSHOTS"); dir != "" {
			return "SCREENSHOTS=" + filepath.Join(dir, name)
		}
		return "SCREENSHOTS="
	}
	t.Run("allow", func(t *testing.T) {
		v := chromium(t.Context(), t, c, a.authorizationURL("scope", "mcp:tools mcp:admin offline_access"), "SIGNIN_USER=demo", "DARK=1", shots("allow"))
		got := v.parameters(t)
		if !slices.Equal(v.Acted, []string{"signin", "consent"}) {
			t.Errorf("acted on %q, want signin and consent", v.Acted)
		}
		if tokens := a.redeem(got.Get("code")); tokens.status != 200 || tokens.Scope != "mcp:tools mcp:admin" {
			t.Errorf("redeeming: %+v", tokens)
		}
		v.noProblems(t)
	})
	t.Run("deny", func(t *testing.T) {
		v := chromium(t.Context(), t, c, a.authorizationURL("prompt", "consent"), "SIGNIN_USER=demo", "DECISION=deny")
		if got := v.parameters(t); got.Get("error") != "access_denied" || got.Get("iss") != c.URL {
			t.Errorf("the client was told %v", got)
		}
		v.noProblems(t)
	})
	t.Run("cancel", func(t *testing.T) {
		v := chromium(t.Context(), t, c, a.authorizationURL(), "DECISION=cancel")
		if got := v.parameters(t); got.Get("error") != "access_denied" || !slices.Equal(v.Acted, []string{"signin"}) {
			t.Errorf("the client was told %v after %q", got, v.Acted)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		v := chromium(t.Context(), t, c, a.authorizationURL(), "SIGNIN_USER=demo", "SIGNIN_PASSWORD=wrong", shots("wrong"))
		if v.Ended != "page" || !strings.Contains(v.Text, "wrong") {
			t.Errorf("ended at %s: %s", v.URL, v.Text)
		}
	})
	t.Run("unknown client", func(t *testing.T) {
		v := chromium(t.Context(), t, c, a.authorizationURL("client_id", "nobody"), shots("unknown"))
		if v.Ended != "page" || !strings.Contains(v.Text, "can't sign you in") {
			t.Errorf("ended at %s: %s", v.URL, v.Text)
		}
	})
	t.Run("in a browser that was closed", func(t *testing.T) {
		profile := "CHROMIUM_PROFILE=" + t.TempDir()
		chromium(t.Context(), t, c, a.authorizationURL(), "SIGNIN_USER=ada", profile).parameters(t)
		v := chromium(t.Context(), t, c, a.authorizationURL(), "SIGNIN_USER=ada", profile)
		// A session ends with the browser, and a program on this computer is asked
		// about each time.
		if got := v.parameters(t); got.Get("code") == "" || !slices.Equal(v.Acted, []string{"signin", "consent"}) {
			t.Errorf("acted on %q, the client was told %v; want signin and consent", v.Acted, got)
		}
	})
}

// noProblems fails the test if the browser complained, such as of a
// Content-Security-Policy.
func (v visit) noProblems(t *testing.T) {
	t.Helper()
	for _, problem := range v.Problems {
		t.Errorf("the browser complained: %s", problem)
	}
}

// Real clients sign in with a real browser.
func TestClientsWithChromium(t *testing.T) {
	t.Parallel()
	needChromium(t)
	c := startEmbedded(t, embedded+clientDocument)
	chosen := []string{"inspector auto", "inspector with a metadata document", "TypeScript SDK v1", "TypeScript SDK v2 modern", "TypeScript SDK v2 with a metadata document"}
	for _, test := range c.signInCases(t, c.URL+"/client.json") {
		if !slices.Contains(chosen, test.name) {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			if who := test.run(t, "demo", "SIGNIN_BROWSER=chromium.mjs", "SIGNIN_USER=demo"); who["sub"] != "demo" {
				t.Errorf("whoami says %v, want demo", who)
			}
		})
	}
	t.Run("Go SDK", func(t *testing.T) {
		who, err := connectGoClientAs(t, c, c.URL+"/mcp", registering, withChromium(t, c, "demo")).whoami()
		if err != nil || who["sub"] != "demo" {
			t.Errorf("whoami says %v, %v, want demo", who, err)
		}
	})
	t.Run("Go SDK as a registered client", func(t *testing.T) {
		registered := func(config *auth.AuthorizationCodeHandlerConfig) {
			config.PreregisteredClient = &oauthex.ClientCredentials{ClientID: "desk"}
		}
		who, err := connectGoClientAs(t, c, c.URL+"/mcp", registered, withChromium(t, c, "ada")).whoami()
		if err != nil || who["sub"] != "ada" {
			t.Errorf("whoami says %v, %v, want ada", who, err)
		}
	})
}
