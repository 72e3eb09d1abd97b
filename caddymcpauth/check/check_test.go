package check_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/check"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// world is an MCP server and its authorization server, on one origin, where
// as it should be except for what a test changes.
type world struct {
	*httptest.Server
	override map[string]http.HandlerFunc // by method and path, else path
}

const wellKnownPath = "/.well-known/oauth-protected-resource/mcp"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{override: make(map[string]http.HandlerFunc)}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	for _, key := range []string{r.Method + " " + r.URL.Path, r.URL.Path} {
		if h := w.override[key]; h != nil {
			h(rw, r)
			return
		}
	}
	w.honest(rw, r)
}

func (w *world) honest(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Access-Control-Allow-Origin", "*")
	if r.Method == http.MethodOptions {
		rw.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, MCP-Protocol-Version")
		rw.WriteHeader(http.StatusNoContent)
		return
	}
	switch r.URL.Path {
	case "/mcp":
		rw.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, Mcp-Session-Id")
		rw.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+w.URL+wellKnownPath+`", scope="read"`)
		rw.WriteHeader(http.StatusUnauthorized)
	case wellKnownPath:
		writeJSON(rw, w.resourceMetadata())
	case "/.well-known/oauth-authorization-server/as":
		writeJSON(rw, w.serverMetadata())
	default:
		http.NotFound(rw, r)
	}
}

func (w *world) resourceMetadata() map[string]any {
	return map[string]any{"resource": w.URL + "/mcp", "authorization_servers": []string{w.URL + "/as"}, "scopes_supported": []string{"read"}}
}

func (w *world) serverMetadata() map[string]any {
	return map[string]any{
		"issuer":                                         w.URL + "/as",
		"authorization_endpoint":                         w.URL + "/as/authorize",
		"token_endpoint":                                 w.URL + "/as/token",
		"registration_endpoint":                          w.URL + "/as/register",
		"response_types_supported":                       []string{"code"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v)
}

// run checks target and returns what isn't as it should be.
func run(t *testing.T, target string) (*check.Report, []string) {
	t.Helper()
	report, err := check.Run(t.Context(), target, check.Config{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	for _, f := range report.Findings {
		if f.Level != discovery.OK {
			bad = append(bad, string(f.Level)+" "+f.Code)
			if f.Cure == "" {
				t.Errorf("%s has no cure", f.Code)
			}
		}
		if f.About == "" || f.Step == "" || f.Code == "" || f.Message == "" {
			t.Errorf("incomplete: %+v", f)
		}
		if strings.ContainsAny(f.Message+f.Cure, "\n\x1b") {
			t.Errorf("control characters in %q", f.Message)
		}
	}
	return report, bad
}

// status answers with a status and these headers, name and value in turn.
func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
	}
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte("<!DOCTYPE html>\x1b[2J<title>Welcome</title>"))
}

// Where the metadata of a server was found is said.
func TestDiscoveryOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.override["/.well-known/oauth-authorization-server/as"] = http.NotFound
	w.override["/as/.well-known/openid-configuration"] = func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, w.serverMetadata()) }
	report, bad := run(t, w.URL+"/as")
	if len(bad) != 0 || report.Kind != check.Issuer {
		t.Errorf("got %q and kind %s, want nothing and issuer", bad, report.Kind)
	}
	want := `at "` + w.URL + `/as/.well-known/openid-configuration", after "` + w.URL + `/.well-known/oauth-authorization-server/as": 404, "`
	if got := report.Findings[0].Message; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
}

// An issuer's URL is told from a resource's.
func TestKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for target, want := range map[string]check.Kind{
		w.URL + "/mcp": check.Resource,
		w.URL + "/as":  check.Issuer,
		w.URL + "/as/": check.Issuer, // with a mismatch
		w.URL + "/x":   check.Resource,
		w.URL:          check.Resource,
	} {
		if report, _ := run(t, target); report.Kind != want {
			t.Errorf("%s: got %s, want %s", target, report.Kind, want)
		}
	}
	// The same host as a resource with a path of its own, and as an issuer.
	w.override["/.well-known/oauth-authorization-server"] = func(rw http.ResponseWriter, _ *http.Request) {
		doc := w.serverMetadata()
		doc["issuer"] = w.URL
		writeJSON(rw, doc)
	}
	w.override["/.well-known/oauth-protected-resource"] = func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, w.resourceMetadata()) }
	if report, bad := run(t, w.URL); report.Kind != check.Issuer || len(bad) != 0 {
		t.Errorf("got %s and %q, want issuer and nothing", report.Kind, bad)
	}
	// One that has no metadata just now, and says so.
	w.override["/.well-known/oauth-authorization-server/ill"] = func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusServiceUnavailable)
		writeJSON(rw, map[string]any{"error": "temporarily_unavailable", "error_description": "mend me"})
	}
	if report, bad := run(t, w.URL+"/ill"); report.Kind != check.Issuer || !slices.Equal(bad, []string{"error server_metadata_unreachable"}) {
		t.Errorf("got %s and %q, want an issuer that can't be reached", report.Kind, bad)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	untrusted := httptest.NewTLSServer(nil)
	t.Cleanup(untrusted.Close)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server doesn't notice that the client leaves
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	for name, tc := range map[string]struct{ target, cure string }{
		"closed":    {closed.URL, "check that the server is running"},
		"untrusted": {untrusted.URL, "--ca"},
		"hanging":   {hanging.URL, "--timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := check.Run(t.Context(), tc.target, check.Config{Timeout: time.Second})
			if err != nil || len(report.Findings) != 1 {
				t.Fatalf("got %+v (%v), want one finding", report, err)
			}
			if f := report.Findings[0]; f.Code != "unreachable" || !strings.Contains(f.Cure, tc.cure) {
				t.Errorf("got %+v, want a cure with %q", f, tc.cure)
			}
		})
	}
}

// A server elsewhere sends nobody to this machine; and nothing is read without
// end.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.override[wellKnownPath] = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"resource":"`))
		chunk := []byte(strings.Repeat("a", 1<<16))
		for r.Context().Err() == nil {
			if _, err := rw.Write(chunk); err != nil {
				return
			}
		}
	}
	w.override["GET /mcp"] = func(rw http.ResponseWriter, r *http.Request) {
		status(401)(rw, r)
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done() // a stream
	}
	if _, got := run(t, w.URL+"/mcp"); !slices.Equal(got, []string{"error resource_metadata_not_found"}) {
		t.Errorf("got %q", got)
	}
}

func TestTargetErrors(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"", "mcp.example.com", "http://mcp.example.com/mcp", "ftp://x/", "https://u:p@x/", "https://x/#a"} {
		if report, err := check.Run(t.Context(), target, check.Config{}); err == nil {
			t.Errorf("%q: got %+v, want an error", target, report)
		}
	}
}
