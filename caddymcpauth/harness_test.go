package caddymcpauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// testResource is the resource of sites that don't say otherwise, and the
// audience of tokens that oauthtest mints.
const testResource = "https://mcp.example.com/mcp"

// testMetadataURL is where its metadata is.
const testMetadataURL = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"

// testPatience is when a request is taken for stuck. No test passes or fails by it on
// a machine that is merely slow.
const testPatience = 2 * time.Minute

// adapt turns the body of a site, written as in a Caddyfile, into the routes of
// that site.
func adapt(site string) (json.RawMessage, error) {
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\n\tadmin off\n}\nhttp:// {\n"+site+"\n}\n"), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, err
	}
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes json.RawMessage `json:"routes"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, err
	}
	server, ok := config.Apps.HTTP.Servers["srv0"]
	if !ok {
		return nil, errors.New("no server in the adapted configuration")
	}
	return server.Routes, nil
}

// config is a provisioned configuration.
type config struct {
	ctx    caddy.Context
	routes *caddyhttp.Subroute
	// cleanup does what Caddy does with a configuration that is no longer used.
	cleanup func()
}

// provision loads routes as Caddy does. The configuration is cleaned up with
// the test at the latest.
func provision(t testing.TB, routes json.RawMessage) (*config, error) {
	t.Helper()
	return provisionOn(t, t.TempDir(), routes)
}

// provisionOn is provision with a folder for the storage.
func provisionOn(t testing.TB, dir string, routes json.RawMessage) (*config, error) {
	t.Helper()
	storage, err := json.Marshal(map[string]string{"module": "file_system", "root": dir})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	base, err := caddy.ProvisionContext(&caddy.Config{
		Admin:      &caddy.AdminConfig{Disabled: true},
		AppsRaw:    caddy.ModuleMap{"events": json.RawMessage(`{}`)},
		StorageRaw: storage,
		Logging:    &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "FATAL"}}}},
	})
	if err != nil {
		t.Fatalf("provisioning a context: %v", err)
	}
	server := new(caddyhttp.Server)
	if err := json.Unmarshal(routes, &server.Routes); err != nil {
		t.Fatal(err)
	}
	base.Context = context.WithValue(base.Context, caddyhttp.ServerCtxKey, server)
	ctx, cancel := caddy.NewContext(base)
	cleanup := sync.OnceFunc(cancel)
	t.Cleanup(cleanup)
	if err := server.Routes.Provision(ctx); err != nil {
		cleanup()
		return nil, err
	}
	return &config{ctx, &caddyhttp.Subroute{Routes: server.Routes}, cleanup}, nil
}

// next is the handler behind the front door.
type next func(w http.ResponseWriter, r *http.Request) error

func (n next) ServeHTTP(w http.ResponseWriter, r *http.Request) error { return n(w, r) }

// handler answers requests as Caddy's server does: by the routes, and by behind
// if they hand a request on.
func (c *config) handler(behind next) http.Handler {
	return c.handlerAfter(func(*caddy.Replacer) {}, behind)
}

// handlerAfter is handler after something else has set placeholders.
func (c *config) handlerAfter(before func(*caddy.Replacer), behind next) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repl := caddy.NewReplacer()
		before(repl)
		r = caddyhttp.PrepareRequest(r, repl, w, new(caddyhttp.Server))
		err := c.routes.ServeHTTP(w, r, behind)
		var status caddyhttp.HandlerError
		switch {
		case errors.As(err, &status):
			w.WriteHeader(status.StatusCode)
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
}

// site is a running site.
type site struct {
	*config
	*httptest.Server
}

// serve starts a site whose body is written as in a Caddyfile. Requests that its
// routes hand on get to behind; nil answers 200 and "served".
func serve(t testing.TB, body string, behind next) *site {
	t.Helper()
	routes, err := adapt(body)
	if err != nil {
		t.Fatalf("adapting: %v", err)
	}
	c, err := provision(t, routes)
	if err != nil {
		t.Fatalf("provisioning: %v", err)
	}
	if behind == nil {
		behind = func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, "served")
			return err
		}
	}
	server := httptest.NewServer(c.handler(behind))
	t.Cleanup(server.Close)
	return &site{c, server}
}

// frontDoor is a site with the test resource and one issuer, on all paths.
func frontDoor(issuer, options string) string {
	return "mcp_auth " + testResource + " {\n\tissuer " + issuer + "\n" + options + "\n}"
}

// answer is a response that has been read.
type answer struct {
	*http.Response
	body string
}

// client follows nothing and sends nothing that it isn't told to.
var client = &http.Client{
	Transport:     &http.Transport{DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       testPatience,
}

// do sends a request. The headers are name and value in turn; a name that is
// given twice is sent twice. The name Host sets the host.
func (s *site) do(t testing.TB, method, path string, headers ...string) answer {
	t.Helper()
	return s.send(t, method, path, nil, headers...)
}

// send is do with a body.
func (s *site) send(t testing.TB, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	// The path goes out as it stands, not as net/url would have it.
	r.URL.Opaque, r.URL.RawQuery, _ = strings.Cut(path, "?")
	if strings.HasPrefix(path, "//") {
		r.URL.Opaque = s.URL + r.URL.Opaque
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", method, path, err)
	}
	return answer{resp, string(b)}
}

// ask sends a request without a network. The headers are name and value in turn.
func (c *config) ask(method, path string, headers ...string) answer {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.handler(func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "served")
		return err
	}).ServeHTTP(w, r)
	response := w.Result()
	response.Request = r
	return answer{response, w.Body.String()}
}

// bearer returns the header that carries token.
func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// newIssuer starts an authorization server.
func newIssuer(t testing.TB) *oauthtest.Server {
	t.Helper()
	return oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
}

// bubble runs f on a fake clock, with an issuer that is asked without a network, as
// an authorization server in the same Caddy is.
func bubble(t *testing.T, f func(t *testing.T, issuer *oauthtest.Server)) {
	t.Helper()
	oauthtest.Bubble(t, oauthtest.Options{Algorithm: "ES256"}, func(t *testing.T, issuer *oauthtest.Server, _ *testkit.Network) {
		t.Cleanup(inprocess.Register(issuer.Issuer(), besideUs{issuer}))
		f(t, issuer)
	})
}

// besideUs is an authorization server in the same process.
type besideUs struct{ *oauthtest.Server }

func (besideUs) ServesPath(string) bool { return true }

func (s besideUs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
	}()
	s.Server.ServeHTTP(w, r)
}

// challengeParams parses a WWW-Authenticate value by the grammar of RFC 9110,
// section 11.6.1, for a single Bearer challenge.
func challengeParams(t testing.TB, header http.Header) map[string]string {
	t.Helper()
	values := header.Values("WWW-Authenticate")
	if len(values) == 0 {
		return nil
	}
	rest, ok := strings.CutPrefix(values[0], "Bearer ")
	if len(values) != 1 || !ok {
		t.Fatalf("WWW-Authenticate: got %q, want one Bearer challenge", values)
	}
	params := make(map[string]string)
	for rest != "" {
		name, after, ok := strings.Cut(rest, `="`)
		if !ok || strings.ContainsAny(name, ` ",=`) {
			t.Fatalf("WWW-Authenticate %q: no quoted parameter at %q", values[0], rest)
		}
		value, after, ok := strings.Cut(after, `"`)
		if !ok || strings.Contains(value, `\`) {
			t.Fatalf("WWW-Authenticate %q: parameter %s isn't closed or has an escape", values[0], name)
		}
		if _, twice := params[name]; twice {
			t.Fatalf("WWW-Authenticate %q: parameter %s twice", values[0], name)
		}
		params[name] = value
		if rest, ok = strings.CutPrefix(after, ", "); !ok && after != "" {
			t.Fatalf("WWW-Authenticate %q: garbage at %q", values[0], after)
		}
	}
	return params
}

// serveHTTP starts a server that has nothing to do with Caddy.
func serveHTTP(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}
