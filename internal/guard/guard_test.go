package guard

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
)

const (
	key     = "Sec-Websocket-Key"
	version = "Sec-Websocket-Version"
	nonce   = "dGhlIHNhbXBsZSBub25jZQ=="
)

// pass returns r as the handler after the guard gets it; nil if the guard
// answered, and its answer.
func pass(t *testing.T, g *Handler, r *http.Request) (*http.Request, *http.Response) {
	t.Helper()
	return passTo(t, g, httptest.NewRecorder(), r)
}

// passTo is pass for an answer that goes to w.
func passTo(t *testing.T, g *Handler, w *httptest.ResponseRecorder, r *http.Request) (*http.Request, *http.Response) {
	t.Helper()
	var got *http.Request
	if r.Context().Value(caddy.ReplacerCtxKey) == nil {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	}
	err := g.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		got = r
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return got, w.Result()
}

func TestUpgrades(t *testing.T) {
	t.Parallel()
	handshake := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, key: {nonce}, version: {"13"}}
	with := func(edit ...string) http.Header {
		h := handshake.Clone()
		for i := 0; i < len(edit); i += 2 {
			delete(h, edit[i])
			if edit[i+1] != "" {
				h[edit[i]] = strings.Split(edit[i+1], "|")
			}
		}
		return h
	}
	settings := []string{"AAMAAABkAAQAAP__"}
	for _, tt := range []struct {
		name, method, proto string
		length              int64
		sent                http.Header
		// kept are the headers that are left of Connection, Upgrade and their like.
		kept http.Header
	}{
		{"a WebSocket", "GET", "HTTP/1.1", 0, with(), http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}},
		{"a WebSocket in capitals", "GET", "HTTP/1.1", 0, with("Upgrade", "WebSocket", "Connection", "keep-alive, upgrade"), http.Header{"Connection": {"Upgrade"}, "Upgrade": {"WebSocket"}}},
		{"a WebSocket, Connection twice", "GET", "HTTP/1.1", 0, with("Connection", "keep-alive|Upgrade"), http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}},
		{"a WebSocket that would lose its key", "GET", "HTTP/1.1", 0, with("Connection", "Upgrade, Sec-WebSocket-Key"), http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}},
		{"a WebSocket with the settings of h2c", "GET", "HTTP/1.1", 0, with("Http2-Settings", settings[0], "Connection", "Upgrade, HTTP2-Settings"), http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}},
		{"a WebSocket with an alias", "GET", "HTTP/1.1", 0, with("Up-Grade", "h2c", "Http2_settings", settings[0]), http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}},
		{"nothing", "POST", "HTTP/1.1", 5, http.Header{"Connection": {"keep-alive"}, "Upgrade-Insecure-Requests": {"1"}}, http.Header{"Connection": {"keep-alive"}}},

		{"h2c", "GET", "HTTP/1.1", 0, http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"h2c"}, "Http2-Settings": settings}, nil},
		{"h2c as curl has it", "POST", "HTTP/1.1", 5, http.Header{"Connection": {"keep-alive, Upgrade, HTTP2-Settings"}, "Upgrade": {"h2c"}, "Http2-Settings": settings}, http.Header{"Connection": {"keep-alive"}}},
		{"h2c, several lines", "GET", "HTTP/1.1", 0, http.Header{"Connection": {"close", "upgrade", "http2-settings"}, "Upgrade": {"h2c"}, "Http2-Settings": settings}, http.Header{"Connection": {"close"}}},
		{"h2c, odd options", "GET", "HTTP/1.1", 0, http.Header{"Connection": {"UPGRADE ,, http2_settings"}, "Upgrade": {"H2C"}, "Http2-Settings": settings}, nil},
		{"h2c, folded", "GET", "HTTP/1.1", 0, http.Header{"Connection": {"Upgrade"}, "Up_grade": {"h2c"}, "Http2_settings": settings, "Http2.Settings": settings, "UPGRADE": {"h2c"}}, nil},
		{"TLS", "OPTIONS", "HTTP/1.1", 0, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"TLS/1.2"}}, nil},
		{"anything", "GET", "HTTP/1.1", 0, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"x"}}, nil},
		{"Upgrade without Connection", "GET", "HTTP/1.1", 0, http.Header{"Upgrade": {"h2c"}}, nil},
		{"Connection without Upgrade", "GET", "HTTP/1.1", 0, http.Header{"Connection": {"Upgrade"}}, nil},
		{"settings alone", "GET", "HTTP/1.1", 0, http.Header{"Http2-Settings": settings}, nil},
		{"a list", "GET", "HTTP/1.1", 0, with("Upgrade", "websocket, h2c"), nil},
		{"a list the other way", "GET", "HTTP/1.1", 0, with("Upgrade", "h2c, websocket"), nil},
		{"two lines", "GET", "HTTP/1.1", 0, with("Upgrade", "websocket|h2c"), nil},
		{"the same twice", "GET", "HTTP/1.1", 0, with("Upgrade", "websocket|websocket"), nil},
		{"a version", "GET", "HTTP/1.1", 0, with("Upgrade", "websocket/13"), nil},
		{"a blank", "GET", "HTTP/1.1", 0, with("Upgrade", "websocket "), nil},
		{"a letter that folds", "GET", "HTTP/1.1", 0, with("Upgrade", "web\u017focket"), nil},
		{"a WebSocket by POST", "POST", "HTTP/1.1", 0, with(), nil},
		{"a WebSocket with a body", "GET", "HTTP/1.1", 5, with(), nil},
		{"a WebSocket with a body of unknown length", "GET", "HTTP/1.1", -1, with(), nil},
		{"a WebSocket in HTTP/1.0", "GET", "HTTP/1.0", 0, with(), nil},
		{"a WebSocket in HTTP/2", "GET", "HTTP/2.0", 0, with(), nil},
		{"a WebSocket in HTTP/3", "GET", "HTTP/3.0", 0, with(), nil},
		{"a WebSocket without Connection", "GET", "HTTP/1.1", 0, with("Connection", ""), nil},
		{"a WebSocket without a key", "GET", "HTTP/1.1", 0, with(key, ""), nil},
		{"a WebSocket with two keys", "GET", "HTTP/1.1", 0, with(key, nonce+"|"+nonce), nil},
		{"a WebSocket with a short key", "GET", "HTTP/1.1", 0, with(key, "c2hvcnQ="), nil},
		{"a WebSocket with a key in no base64", "GET", "HTTP/1.1", 0, with(key, "????????????????????????"), nil},
		{"a WebSocket without a version", "GET", "HTTP/1.1", 0, with(version, ""), nil},
		{"a WebSocket of another version", "GET", "HTTP/1.1", 0, with(version, "8"), nil},
		{"a WebSocket of two versions", "GET", "HTTP/1.1", 0, with(version, "13|8"), nil},
		{"a protocol without CONNECT", "GET", "HTTP/2.0", 0, http.Header{":protocol": {"websocket"}, version: {"13"}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, "/other", nil)
			r.Proto = tt.proto
			r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(tt.proto)
			r.Header, r.ContentLength = tt.sent, tt.length
			got, _ := pass(t, new(Handler), r)
			if got == nil {
				t.Fatal("the request did not go on")
			}
			left := http.Header{}
			for name, values := range got.Header {
				if folded := fold(name); folded == "connection" || folded == "upgrade" || folded == "http2settings" || name == ":protocol" {
					left[name] = values
				}
			}
			if tt.kept == nil {
				tt.kept = http.Header{}
			}
			if !reflect.DeepEqual(left, tt.kept) {
				t.Errorf("got %v, want %v", left, tt.kept)
			}
		})
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	ws := http.Header{":protocol": {"websocket"}, version: {"13"}}
	for _, tt := range []struct {
		name, method, target, proto string
		header                      http.Header
		want                        int
	}{
		{"HTTP/2 WebSocket", "CONNECT", "/ws", "HTTP/2.0", ws, 200},
		{"HTTP/3 WebSocket", "CONNECT", "/ws", "websocket", http.Header{version: {"13"}}, 200},

		{"to a host", "CONNECT", "", "HTTP/1.1", nil, 405},
		{"to a path", "CONNECT", "/mcp", "HTTP/1.1", nil, 405},
		{"lowercase letters", "connect", "/mcp", "HTTP/1.1", nil, 405},
		{"HTTP/1.0", "CONNECT", "", "HTTP/1.0", nil, 405},
		{"HTTP/1.1 with a handshake", "CONNECT", "/mcp", "HTTP/1.1", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, key: {nonce}, version: {"13"}}, 405},
		{"HTTP/1.1 with a protocol", "CONNECT", "/mcp", "HTTP/1.1", ws, 405},
		{"HTTP/2", "CONNECT", "", "HTTP/2.0", nil, 405},
		{"HTTP/2 to h2c", "CONNECT", "/mcp", "HTTP/2.0", http.Header{":protocol": {"h2c"}, version: {"13"}}, 405},
		{"HTTP/2 to UDP", "CONNECT", "/mcp", "HTTP/2.0", http.Header{":protocol": {"connect-udp"}}, 405},
		{"HTTP/2 to two protocols", "CONNECT", "/mcp", "HTTP/2.0", http.Header{":protocol": {"websocket", "h2c"}, version: {"13"}}, 405},
		{"HTTP/2 in capitals", "CONNECT", "/mcp", "HTTP/2.0", http.Header{":protocol": {"WebSocket"}, version: {"13"}}, 405},
		{"HTTP/2 WebSocket without a version", "CONNECT", "/mcp", "HTTP/2.0", http.Header{":protocol": {"websocket"}}, 405},
		{"HTTP/3", "CONNECT", "", "HTTP/3.0", nil, 405},
		{"HTTP/3 to a WebTransport", "CONNECT", "/mcp", "webtransport", http.Header{version: {"13"}}, 405},
		{"HTTP/3 with a header", "CONNECT", "/mcp", "HTTP/3.0", ws, 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/", nil)
			r.Method, r.URL.Path, r.Proto = tt.method, tt.target, tt.proto
			if tt.header != nil {
				r.Header = tt.header.Clone()
			}
			if r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(tt.proto); r.ProtoMajor == 0 {
				r.ProtoMajor = 3 // as quic-go has it
			}
			got, answer := pass(t, new(Handler), r)
			if answer.StatusCode != tt.want || (got == nil) != (tt.want != 200) {
				t.Fatalf("got %d, passed on: %v, want %d", answer.StatusCode, got != nil, tt.want)
			}
			if got != nil && len(tt.header[":protocol"]) == 1 && got.Header.Get(":protocol") != "websocket" && got.Header[":protocol"] == nil {
				t.Error("the protocol was taken from it")
			}
			if got == nil && answer.Header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

// Identity headers are those of every front door of the server; cookies are ours.
func TestHeadersAndCookies(t *testing.T) {
	t.Parallel()
	g := &Handler{headers: NewHeaders("X-User", "X-Email")}
	r := httptest.NewRequest("POST", "/other", strings.NewReader("x"))
	r.Header = http.Header{
		"X-User": {"admin"}, "X_email": {"a"}, "X.User": {"admin"}, "X-Users": {"kept"},
		"Connection": {"x-user, keep-alive", "X-Email"}, "Cookie": {"a=1; mcp_auth_session=s"},
	}
	r.Trailer = http.Header{"X-User": nil}
	got, _ := pass(t, g, r)
	want := http.Header{"X-Users": {"kept"}, "Connection": {"keep-alive"}, "Cookie": {"a=1"}}
	if !reflect.DeepEqual(got.Header, want) || got.Trailer != nil {
		t.Errorf("got %v and trailers %v, want %v", got.Header, got.Trailer, want)
	}
	if c := browser.Cookies(got, "mcp_auth_session"); len(c) != 1 {
		t.Error("the server doesn't see its cookie")
	}

	// What a door has set stays when the request meets another guard, in an error
	// route for example; what no door has set goes.
	got.Header.Set("X-User", "ada")
	got.Header.Set("X-Email", "forged")
	NewHeaders("X-User").MarkSet(got)
	got, _ = pass(t, g, got)
	if got.Header.Get("X-User") != "ada" || got.Header["X-Email"] != nil {
		t.Errorf("after a door: got %v, want X-User of the door alone", got.Header)
	}
}

// The guard stands before every request of a site, so it costs those nothing that
// have nothing for it to do.
func TestCleanRequestAllocatesNothing(t *testing.T) { // not parallel: it counts allocations
	g := &Handler{headers: NewHeaders("X-User", "X-Email", "X-Name")}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/mcp", nil)
	r.Header = http.Header{
		"Accept": {"application/json, text/event-stream"}, "Accept-Encoding": {"gzip"}, "Authorization": {"Bearer x"}, "Connection": {"keep-alive"},
		"Content-Type": {"application/json"}, "Cookie": {"a=1"}, "Mcp-Protocol-Version": {"2026-07-28"}, "User-Agent": {"node"}, "X-Forwarded-For": {"192.0.2.1"},
	}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	tree := new(routing.Tree)
	g.routes = func() (*routing.Tree, error) { return tree, nil }
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) error {
		if got != r || len(got.Header) != 9 {
			t.Error("the request was changed")
		}
		return nil
	})
	if n := testing.AllocsPerRun(100, func() { _ = g.ServeHTTP(w, r, next) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// provision loads a server's routes in the order in which Caddy does.
func provision(t *testing.T, config string) *caddyhttp.Server {
	t.Helper()
	server := new(caddyhttp.Server)
	if err := json.Unmarshal([]byte(config), server); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.WithValue(t.Context(), caddyhttp.ServerCtxKey, server)})
	t.Cleanup(cancel)
	if err := server.Routes.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return server
}

// An error route that does nothing would keep errors from Caddy's log.
func TestIdleErrorRoutes(t *testing.T) {
	t.Parallel()
	const guards = `{"match":[{"path":["*"]}],"handle":[{"handler":"mcp_auth_guard"},{"handler":"mcp_auth_guard"}]}`
	for _, tt := range []struct {
		name, errors string
		want         int
	}{
		{"guards", guards, 0},
		{"guards of a site", `{"match":[{"host":["a"]}],"terminal":true,"handle":[{"handler":"subroute","routes":[` + guards + `,` + guards + `]}]}`, 0},
		{"and another handler", guards + `,{"handle":[{"handler":"vars"}]}`, 2},
		{"of two sites, one with a page", `{"match":[{"host":["a"]}],"handle":[{"handler":"subroute","routes":[` + guards + `]}]},{"handle":[{"handler":"subroute","routes":[` + guards + `,{"handle":[{"handler":"static_response"}]}]}]}`, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := provision(t, `{"routes":[{"handle":[{"handler":"mcp_auth_guard"}]}],"errors":{"routes":[`+tt.errors+`]}}`)
			if got := len(server.Errors.Routes); got != tt.want {
				t.Errorf("got %d error routes, want %d", got, tt.want)
			}
		})
	}
}

// The guard knows the headers of doors that come later, before, in error routes
// and in named routes, in every spelling once.
func TestLearnsHeaders(t *testing.T) {
	t.Parallel()
	door := func(names string) string {
		return `{"handle":[{"handler":"mcp_auth","header":{` + names + `}}]}`
	}
	asserting := func(assertion string) string {
		return `{"handle":[{"handler":"mcp_auth","assertion":` + assertion + `}]}`
	}
	raw := new(caddyhttp.Server)
	err := json.Unmarshal([]byte(`{
		"routes":[`+asserting(`{}`)+`,`+asserting(`{"authorization":true}`)+`,`+asserting(`{"header":"X-Who"}`)+`,`+asserting(`null`)+`,`+door(`"X-User":"a"`)+`,{"handle":[{"handler":"subroute","routes":[`+door(`"X-Email":"a","x_user":"b"`)+`],"errors":{"routes":[`+door(`"X-Group":"a"`)+`]}}]}],
		"errors":{"routes":[`+door(`"X-Error":"a"`)+`]},
		"named_routes":{"n":`+door(`"X-Named":"a"`)+`,"m":{"handle":[{"handler":"invoke","name":"m"},{"handler":"invoke","name":"n"}]}}}`), raw)
	if err != nil {
		t.Fatal(err)
	}
	s, err := surveyOf(caddy.Context{Context: context.WithValue(t.Context(), caddyhttp.ServerCtxKey, raw)})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"X-Mcp-Auth-Assertion", "X-Who", "X-User", "X-Email", "X-Group", "X-Error", "X-Named"}
	if !reflect.DeepEqual(s.headers, want) {
		t.Errorf("got %q, want %q", s.headers, want)
	}
	if s, err = surveyOf(caddy.Context{Context: t.Context()}); err != nil || s.headers != nil {
		t.Errorf("outside of a server: got %v, %v", s.headers, err)
	}
}
