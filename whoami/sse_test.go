package whoami

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// stream is an open event stream.
type stream struct {
	*http.Response
	events *bufio.Scanner
}

// open opens an event stream and returns the URL to POST to as well.
func open(t *testing.T, client *http.Client, address string) (_ stream, postURL string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("got %d, %s, want 200, text/event-stream", response.StatusCode, got)
	}
	s := stream{response, bufio.NewScanner(response.Body)}
	reference, err := url.Parse(s.next(t, "endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	return s, response.Request.URL.ResolveReference(reference).String()
}

// next returns the data of the next event, which must have the name.
func (s stream) next(t *testing.T, name string) string {
	t.Helper()
	var got string
	for s.events.Scan() {
		line := s.events.Text()
		if event, ok := strings.CutPrefix(line, "event: "); ok {
			got = event
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if got != name {
				t.Fatalf("got event %q, want %q", got, name)
			}
			return data
		}
	}
	t.Fatalf("the stream ended: %v", s.events.Err())
	return ""
}

func TestSSEBelongsToItsUser(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{"sse":"/sse"}`)
	address := serve(t, frontDoor(h)) + "/sse"

	for _, tc := range []struct {
		owner, poster bearer
		status        int
	}{
		{"alice", "alice", 202},
		{"alice", "alice-2", 202}, // with a newer token
		{"alice", "bob", 404},
		{"alice", "mallory", 404}, // same subject, other issuer
		{"alice", "", 404},
		{"alice", "forged", 404},
		{"", "alice", 404},
		{"", "", 202},
	} {
		t.Run(fmt.Sprintf("%s/%s", tc.owner, tc.poster), func(t *testing.T) {
			t.Parallel()
			events, postURL := open(t, tc.owner.client(), address)
			status, refusal := post(t, tc.poster.client(), postURL, initialize)
			if status != tc.status {
				t.Fatalf("got %d %s, want %d", status, refusal, tc.status)
			}
			if tc.status == http.StatusNotFound {
				_, absent := post(t, tc.poster.client(), address+"?sessionid=absent", initialize)
				if refusal != absent {
					t.Errorf("got %q, want what an absent session gets: %q", refusal, absent)
				}
				return
			}
			events.next(t, "message")
			post(t, tc.poster.client(), postURL, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
			post(t, tc.poster.client(), postURL, call)
			got := events.next(t, "message")
			want := map[bearer]string{"alice": `"scope":"read write"`, "alice-2": `"scope":"read write admin"`, "": "Not authenticated"}[tc.poster]
			if !strings.Contains(got, want) {
				t.Errorf("got %s, want %s of the one who asked", got, want)
			}
		})
	}
}

func TestSSERefusals(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{"sse":"/sse"}`)
	address := serve(t, frontDoor(h)) + "/sse"
	client := bearer("alice").client()
	_, postURL := open(t, client, address)

	for _, tc := range []struct {
		name, url, body, contentType string
		status                       int
	}{
		{"no session", address, initialize, "application/json", 400},
		{"unknown session", address + "?sessionid=x", initialize, "application/json", 404},
		{"form", postURL, initialize, "text/plain", 415},
		{"no content type", postURL, initialize, "", 415},
		{"not JSON", postURL, "x", "application/json", 400},
		{"empty", postURL, "", "application/json", 400},
		{"batch", postURL, batch, "application/json", 400},
		{"too large", postURL, strings.Repeat(" ", maxBody) + initialize, "application/json; charset=utf-8", 413},
		{"good after all", postURL, initialize, "application/json", 202},
	} {
		if status, body := post(t, client, tc.url, tc.body, "Content-Type", tc.contentType); status != tc.status {
			t.Errorf("%s: got %d %s, want %d", tc.name, status, body, tc.status)
		}
	}
}

// The URL to POST to is where the client is, not where Caddy has rewritten its
// request to, and never another host.
func TestSSEEndpoint(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ dialed, want string }{
		{"/sse", "/sse?sessionid=ID"},
		{"/tools/a%2Fb/sse?tenant=x", "/tools/a%2Fb/sse?sessionid=ID"},
		{"//evil.example/sse", "/evil.example/sse?sessionid=ID"},
		{"/%2Fevil.example/sse", "/%2Fevil.example/sse?sessionid=ID"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://host/sse", nil)
		dialed, err := url.ParseRequestURI(tc.dialed)
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, http.Request{URL: dialed}))
		if got := endpoint(r, "ID"); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.dialed, got, tc.want)
		}
	}
}

// The path that is compared is the one as routed; the client POSTs to the one
// it dialed.
func TestSSEBehindHandlePath(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{"sse":"/sse"}`)
	inner := frontDoor(h)
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		original := http.Request{URL: r.URL}
		stripped := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, original)), nil)
		})
		if strings.HasPrefix(r.URL.Path, "/tools/") {
			http.StripPrefix("/tools", stripped).ServeHTTP(w, r)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	session := connect(t, &mcp.SSEClientTransport{Endpoint: address + "/tools/sse"}, "")
	if got, want := ask(t, session), `{"error":"Not authenticated"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSSEIsOffByDefault(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{}`)
	client := mcp.NewClient(&mcp.Implementation{Name: "test"}, nil)
	session, err := client.Connect(t.Context(), &mcp.SSEClientTransport{Endpoint: serve(t, frontDoor(h)) + "/sse"}, nil)
	if err == nil {
		session.Close()
		t.Fatal("connected, want a refusal")
	}
}

// FuzzSSE checks that no message makes a session fail or panic. A panic would
// happen in a goroutine of the SDK, where nothing recovers it.
func FuzzSSE(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body))
	}
	h, _ := provision(f, `{"sse":"/sse"}`)
	server := httptest.NewServer(frontDoor(h))
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, body []byte) {
		client := bearer("alice").client()
		events, postURL := open(t, client, server.URL+"/sse")
		for _, message := range []string{string(body), initialize, string(body)} {
			if status, got := post(t, client, postURL, message); status >= http.StatusInternalServerError {
				t.Errorf("got %d %s", status, got)
			}
		}
		events.Body.Close()
	})
}
