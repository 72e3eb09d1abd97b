package integration_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// Whatever the layout of a site, the server behind sees no identity that a client
// wrote, and no cookie of ours: not beside the front door, not in error routes.
func TestWholeSite(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	const (
		door   = " SITE/mcp {\nissuer ISSUER\nheader X-User {http.auth.user.id}\nheader X-Name {http.auth.user.name}\n}\n"
		files  = "root * ROOT\ntry_files {path} =404\n"
		server = "mcp_auth_server SITE {\nresource SITE/mcp\nscopes mcp:tools\nusers {\nada $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu\n}\n}\n"
		facade = "mcp_auth_facade SITE {\nupstream ISSUER\n}\n"
	)
	for _, layout := range []struct{ name, site string }{
		{"matcher", "mcp_auth /mcp*" + door + "PROXY"},
		{"handle, with the line", "mcp_auth_guard\nhandle /public/* {\nPROXY\n}\nhandle {\nmcp_auth" + door + "PROXY\n}"},
		{"route, with the line", "mcp_auth_guard\nroute /public/* {\nPROXY\n}\nroute {\nmcp_auth" + door + "PROXY\n}"},
		{"beside handle", "mcp_auth /mcp*" + door + "handle /public/* {\nPROXY\n}\nhandle {\nPROXY\n}"},
		{"try_files", files + "mcp_auth /mcp*" + door + "PROXY\nhandle_errors {\nPROXY\n}"},
		{"handle_errors before", "handle_errors {\nPROXY\n}\n" + files + "mcp_auth /mcp*" + door + "PROXY"},
		{"handle_errors with status", files + "mcp_auth /mcp*" + door + "PROXY\nhandle_errors 404 {\nPROXY\n}\nhandle_errors 5xx {\nrespond 500\n}"},
		{"handle_errors with status before, with the line", "handle_errors 404 {\nmcp_auth_guard\nPROXY\n}\n" + files + "mcp_auth /mcp*" + door + "PROXY"},
		{"handle_errors of a server that is away", "mcp_auth /mcp*" + door + "reverse_proxy DEAD\nhandle_errors 502 {\nPROXY\n}"},
		{"authorization server", server + "mcp_auth /mcp*" + door + "PROXY"},
		{"façade, and an error before it", files + facade + "mcp_auth /mcp*" + door + "PROXY\nhandle_errors {\nPROXY\n}"},
	} {
		t.Run(layout.name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan http.Header, 1)
			behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
			t.Cleanup(behind.Close)
			root := t.TempDir()
			if err := os.WriteFile(filepath.Join(root, "mcp"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			c := startCaddy(t, strings.NewReplacer(
				"ROOT", root,
				"PROXY", "reverse_proxy "+behind.Listener.Addr().String(),
				"DEAD", fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t)),
			).Replace(f.fill(layout.site)))
			token := f.token(c, map[string]any{"sub": "ada", "name": "Ada"})
			for _, request := range []struct{ path, token, user string }{
				{"/public/x", "", ""},
				{"/public/x", token, ""},
				{"/mcp", token, "ada"},
			} {
				text := "GET " + request.path + " HTTP/1.1\r\nHost: " + c.Host + "\r\n" +
					"X-User: eve\r\nX_User: eve\r\nx.user: eve\r\nX--User: eve\r\nX-Name: eve\r\nConnection: close, X-User\r\n" +
					"Cookie: a=1; mcp_auth_session=s; __Host-mcp_auth_browser=b\r\nCookie: __Host-mcp_auth_facade_consent=c; mcp_auth_upstream_x=u\r\n"
				if request.token != "" {
					text += "Authorization: Bearer " + request.token + "\r\n"
				}
				if resp := c.raw(text + "\r\n"); resp.StatusCode != http.StatusOK {
					t.Fatalf("%s: got %d", request.path, resp.StatusCode)
				}
				got := <-seen
				if user := got.Get("X-User"); user != request.user {
					t.Errorf("%s: the server behind saw X-User %q, want %q", request.path, user, request.user)
				}
				for name, values := range got {
					if strings.Contains(strings.Join(values, " "), "eve") {
						t.Errorf("%s: the server behind saw %s %q", request.path, name, values)
					}
				}
				if cookies := strings.Join(got["Cookie"], "; "); cookies != "a=1" {
					t.Errorf("%s: the server behind saw the cookies %q, want a=1", request.path, cookies)
				}
			}
		})
	}
}

// Trailers come when the headers have long been looked at.
func TestIdentityInTrailers(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- r.Trailer
	}))
	t.Cleanup(behind.Close)
	s := startGuardedSites(t, behind.Listener.Addr().String())
	request := "POST /other HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-User\r\n\r\n1\r\nx\r\n0\r\nX-User: eve\r\n\r\n"
	if s.request(t, s.open, false, request); (<-seen).Get("X-User") != "eve" {
		t.Fatal("without a guard: no trailer got through: this test shows nothing")
	}
	for _, site := range []struct {
		host      string
		withToken bool
	}{{s.Host, false}, {s.Host, true}, {s.whole, true}} {
		s.request(t, site.host, site.withToken, request)
		if got := <-seen; len(got) > 0 {
			t.Errorf("token %v: the server behind saw the trailers %v", site.withToken, got)
		}
	}
}

// The guard that stands in error routes doesn't keep errors from Caddy's log.
func TestErrorsAreLogged(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(fmt.Sprintf("mcp_auth /mcp* SITE/mcp {\nissuer ISSUER\n}\nreverse_proxy 127.0.0.1:%d", testkit.FreePort(t))))
	if got := c.do("GET", "/other", ""); got.status != http.StatusBadGateway {
		t.Errorf("got %d, want 502", got.status)
	}
	logged := regexp.MustCompile(`"level":"error".*"logger":"http\.log\.error[^"]*","msg":"dial tcp `)
	c.waitFor("the error to be logged", func() bool { return logged.MatchString(c.log.String()) })
}
