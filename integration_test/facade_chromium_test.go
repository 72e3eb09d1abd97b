package integration_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The façade's question and its refusals work in a real browser without scripts:
// from the question to the server behind and back to the client. A program on the
// user's computer is asked about again.
func TestFacadeInChromium(t *testing.T) {
	t.Parallel()
	needChromium(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<title>Back at the application</title><main>You may close this window.</main>")
	}))
	t.Cleanup(app.Close)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?code=c&state="+r.FormValue("state"), http.StatusFound)
	}))
	t.Cleanup(behind.Close)
	c := startCaddy(t, strings.NewReplacer("CALLBACK", app.URL+"/callback", "BEHIND", behind.URL).Replace(`
		mcp_auth_facade SITE/o {
			preset django-oauth-toolkit
			register static mcp-client {
				redirect_uris CALLBACK https://claude.ai/api/mcp/auth_callback
			}
		}
		reverse_proxy BEHIND
	`))
	shots := func(name string) string {
		if dir := os.Getenv("SCREENSHOTS"); dir != "" {
			return "SCREENSHOTS=" + filepath.Join(dir, name)
		}
		return "SCREENSHOTS="
	}
	address := func(redirect string) string {
		return c.URL + "/o/authorize/?response_type=code&client_id=mcp-client&state=s&code_challenge_method=S256" +
			"&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&redirect_uri=" + redirect
	}
	profile := "CHROMIUM_PROFILE=" + t.TempDir()
	for _, run := range []string{"first", "again"} { // the very same request
		v := chromium(t.Context(), t, c, address(app.URL+"/callback"), profile, "DARK=1", shots("facade-"+run))
		if got := v.parameters(t); got.Get("code") != "c" || !slices.Equal(v.Acted, []string{"consent"}) {
			t.Errorf("%s: acted on %q, the client was told %v", run, v.Acted, got)
		}
		v.noProblems(t)
	}
	v := chromium(t.Context(), t, c, address(app.URL+"/callback"), "DECISION=deny")
	if got := v.parameters(t); got.Get("error") != "access_denied" || got.Get("state") != "s" {
		t.Errorf("refused: the client was told %v", got)
	}
	v.noProblems(t)
	v = chromium(t.Context(), t, c, address("https://evil.example/cb"), "DARK=1", shots("facade-refused"))
	if v.Ended != "page" || !strings.Contains(v.Text, "https://evil.example/cb") {
		t.Errorf("another redirect URI: ended at %s: %s", v.URL, v.Text)
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		chromium(t.Context(), t, c, address("https://claude.ai/api/mcp/auth_callback"), "DARK=1", shots("facade-web"))
	}
}
