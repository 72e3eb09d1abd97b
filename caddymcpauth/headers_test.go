package caddymcpauth_test

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// echoHeaders answers with the headers and trailers it sees whose names, folded,
// contain user, and with Connection.
func echoHeaders(w http.ResponseWriter, r *http.Request) error {
	_, _ = io.Copy(io.Discard, r.Body)
	seen := make(map[string][]string)
	for name, values := range r.Header {
		if strings.Contains(strings.ToLower(name), "user") && name != "User-Agent" || name == "Connection" {
			seen[name] = values
		}
	}
	for name, values := range r.Trailer {
		seen["trailer "+name] = values
	}
	return json.NewEncoder(w).Encode(seen)
}

func headersSeen(t *testing.T, got answer) map[string][]string {
	t.Helper()
	var seen map[string][]string
	if err := json.Unmarshal([]byte(got.body), &seen); err != nil {
		t.Fatalf("%d %q: %v", got.StatusCode, got.body, err)
	}
	return seen
}

func TestIdentityHeaderValues(t *testing.T) {
	t.Setenv("FRONT_DOOR_SECRET", "must not appear")
	s := serve(t, guestDoor(`
		header X-User {http.auth.user.id}
		header X-User-Name "{http.auth.user.name}"
		header X-User-Fixed "by front door"
	`), echoHeaders)
	for _, test := range []struct {
		name, claims string
		want         map[string]string
	}{
		{"all", `{"sub":"u1","name":"Zoë"}`, map[string]string{"X-User": "u1", "X-User-Name": "Zoë"}},
		{"claim missing", `{"sub":"u1"}`, map[string]string{"X-User": "u1"}},
		{"claim empty", `{"sub":"u1","name":""}`, map[string]string{"X-User": "u1"}},
		{"list", `{"sub":"u1","name":["a","b"]}`, map[string]string{"X-User": "u1", "X-User-Name": "a,b"}},
		{"never expanded", `{"sub":"{env.FRONT_DOOR_SECRET}","name":"{http.request.host}"}`, map[string]string{"X-User": "{env.FRONT_DOOR_SECRET}", "X-User-Name": "{http.request.host}"}},
		{"CR LF", `{"sub":"u1","name":"a\r\nX-User: admin"}`, map[string]string{"X-User": "u1"}},
		{"LF", `{"sub":"u1","name":"a\nX-User: admin"}`, map[string]string{"X-User": "u1"}},
		{"NUL", `{"sub":"u1","name":"a\u0000"}`, map[string]string{"X-User": "u1"}},
		{"DEL", `{"sub":"u1","name":"a\u007f"}`, map[string]string{"X-User": "u1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			// What the client sends never fills a gap.
			got := headersSeen(t, s.do(t, "POST", "/mcp", append(bearer(guestToken(test.claims)), "X-User", "admin", "X-User-Name", "admin")...))
			want := map[string][]string{"X-User-Fixed": {"by front door"}}
			for name, value := range test.want {
				want[name] = []string{value}
			}
			if !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// What a client sends under the name of an identity header, or a name that some
// server takes for it, gets through nowhere on the site.
func TestSpoofedHeaders(t *testing.T) {
	t.Parallel()
	matched := serve(t, strings.Replace(guestDoor("header X-User {http.auth.user.id}"), "mcp_auth ", "mcp_auth /mcp* ", 1), echoHeaders)
	all := serve(t, guestDoor("header x-user {http.auth.user.id}"), echoHeaders)
	for _, test := range []struct{ name, header string }{
		{"same", "X-User: admin"},
		{"twice", "X-User: admin\r\nX-User: root"},
		{"lowercase", "x-user: admin"},
		{"uppercase", "X-USER: admin"},
		{"underscore", "X_User: admin"},
		{"underscore, upper case", "X_USER: admin"},
		{"dot", "x.user: admin"},
		{"nothing between", "XUser: admin"},
		{"two hyphens", "X--User: admin"},
		{"at the end", "X-User-: admin"},
		{"tilde", "X~User: admin"},
		{"in Connection", "Connection: X-User"},
		{"in Connection among others", "Connection: keep-alive, x_user , X-User,close"},
		{"in a second Connection", "Connection: keep-alive\r\nConnection: x-user"},
		{"trailer", "Trailer: X-User"},
		{"trailer, underscore", "Trailer: X_User"},
		{"trailer beside an honest one", "Trailer: X-Sum, X-User"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, at := range []struct {
				site *site
				path string
				want []string
			}{
				{all, "/mcp", []string{"u1"}},
				{matched, "/mcp", []string{"u1"}},
				{matched, "/other", nil},
			} {
				got := headersSeen(t, at.site.raw(t, "POST "+at.path+" HTTP/1.1\r\n"+
					"Host: x\r\nAuthorization: Bearer "+guestToken(`{"sub":"u1"}`)+"\r\nTransfer-Encoding: chunked\r\n"+
					test.header+"\r\n\r\n1\r\nx\r\n0\r\nX-User: admin\r\nX_User: admin\r\n\r\n"))
				if !slices.Equal(got["X-User"], at.want) {
					t.Errorf("%s: X-User: got %q, want %q", at.path, got["X-User"], at.want)
				}
				delete(got, "X-User")
				for _, option := range got["Connection"] {
					if strings.Contains(strings.ToLower(option), "user") {
						t.Errorf("%s: Connection: got %q", at.path, got["Connection"])
					}
				}
				delete(got, "Connection")
				if len(got) > 0 {
					t.Errorf("%s: got through: %q", at.path, got)
				}
			}
		})
	}
}

// Other headers, and options of Connection, stay.
func TestOtherHeadersStay(t *testing.T) {
	t.Parallel()
	s := serve(t, guestDoor("header X-User {http.auth.user.id}"), echoHeaders)
	got := headersSeen(t, s.raw(t, "POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+guestToken(`{"sub":"u1"}`)+"\r\n"+
		"X-User-Id: 7\r\nMy-X-User: 8\r\nConnection: keep-alive, X-Hop, X-User\r\nContent-Length: 0\r\n\r\n"))
	want := map[string][]string{"X-User": {"u1"}, "X-User-Id": {"7"}, "My-X-User": {"8"}, "Connection": {"keep-alive, X-Hop"}}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Two front doors with different headers on one site: each request has those of
// the door it came through, and of no other.
func TestTwoFrontDoors(t *testing.T) {
	t.Parallel()
	door := func(path, header string) string {
		return "mcp_auth " + path + "* https://mcp.example.com" + path + " {\nissuer https://as.example.com {\nguest\n}\nheader " + header + " {http.auth.user.id}\n}\n"
	}
	s := serve(t, door("/one", "X-User-One")+door("/two", "X-User-Two"), echoHeaders)
	for path, want := range map[string]map[string][]string{
		"/one":   {"X-User-One": {"u1"}},
		"/two":   {"X-User-Two": {"u1"}},
		"/other": {},
	} {
		t.Run(path, func(t *testing.T) {
			got := headersSeen(t, s.do(t, "POST", path, append(bearer(guestToken(`{"sub":"u1"}`)),
				"X-User-One", "admin", "X-User-Two", "admin", "X_user_one", "admin", "X.user.two", "admin")...))
			if !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// The values are those of the request, with a token that was seen before as with a new
// one: of its user, through the door that it came, and whatever later handlers have
// made of those of the request before.
func TestIdentityHeadersAgain(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	door := func(path, options string) string {
		return "mcp_auth " + path + "* https://mcp.example.com/mcp {\nissuer " + issuer.Issuer() + "\n" + options + "}\n"
	}
	s := serve(t, door("/mail", "header X-User {http.auth.user.email}\n")+
		door("/named", "header X-User {http.auth.user.name}\nheader X-User-Path \"{http.auth.user.email} {http.request.uri.path}\"\n"),
		func(w http.ResponseWriter, r *http.Request) error {
			err := echoHeaders(w, r)
			r.Header["X-User"][0] = "changed"
			return err
		})
	users := []struct{ name, token string }{
		{"Ada", issuer.Mint(map[string]any{"email": "ada@example.com", "name": "Ada"})},
		{"Bob", issuer.Mint(map[string]any{"email": "bob@example.com", "name": "Bob"})},
	}
	for range 3 {
		for _, user := range users {
			mail := strings.ToLower(user.name) + "@example.com"
			for path, want := range map[string]map[string][]string{
				"/mail":    {"X-User": {mail}},
				"/named":   {"X-User": {user.name}, "X-User-Path": {mail + " /named"}},
				"/named/x": {"X-User": {user.name}, "X-User-Path": {mail + " /named/x"}},
			} {
				got := headersSeen(t, s.do(t, "POST", path, bearer(user.token)...))
				if !maps.EqualFunc(got, want, slices.Equal) {
					t.Errorf("%s, %s: got %q, want %q", user.name, path, got, want)
				}
			}
		}
	}
}

// The identity reaches a server behind reverse_proxy whatever the client writes
// into Connection, and the token doesn't.
func TestBehindReverseProxy(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	upstream := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	u, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, strings.Replace(guestDoor("header X-User {http.auth.user.id}"), "mcp_auth ", "mcp_auth /mcp* ", 1)+"\nreverse_proxy "+u.Host, nil)
	token := guestToken(`{"sub":"u1"}`)
	for path, want := range map[string]string{"/mcp": "u1", "/other": ""} {
		t.Run(path, func(t *testing.T) {
			s.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\nX_User: admin\r\nX-User: admin\r\nConnection: close, X-User, x_user\r\n\r\n")
			header := <-seen
			if got := header.Get("X-User"); got != want {
				t.Errorf("X-User: got %q, want %q", got, want)
			}
			if header["X_user"] != nil {
				t.Errorf("X_User: got %q", header["X_user"])
			}
			if path == "/mcp" && header["Authorization"] != nil {
				t.Error("the token got through")
			}
		})
	}
}

// raw sends a request as it stands on the wire.
func (s *site) raw(t *testing.T, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testPatience))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(body)}
}
