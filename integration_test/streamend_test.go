package integration_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// eventServer answers everything with an endless stream of events of two writes
// each; calls, which are below /call/, until the test lets them finish.
type eventServer struct {
	address string
	mu      sync.Mutex
	calls   map[string]chan struct{} // by the name behind /call/
}

func startEventServer(t *testing.T) *eventServer {
	s := &eventServer{calls: make(map[string]chan struct{})}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	s.address = srv.Listener.Addr().String()
	return s
}

// call returns the channel whose end lets the call of that name finish.
func (s *eventServer) call(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[name] == nil {
		s.calls[name] = make(chan struct{})
	}
	return s.calls[name]
}

func (s *eventServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var finish <-chan struct{}
	if _, name, ok := strings.Cut(r.URL.Path, "/call/"); ok {
		finish = s.call(name)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for i := 0; ; i++ {
		for _, part := range []string{fmt.Sprintf("id: %d\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/n\",\"params\":{\"n\"", i), fmt.Sprintf(":%d}}\n\n", i)} {
			if _, err := io.WriteString(w, part); err != nil {
				return
			}
			_ = control.Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		select {
		case <-finish:
			_, _ = io.WriteString(w, "data: {\"finished\":true}\n\n")
			return
		default:
		}
	}
}

// streaming is a stream under way.
type streaming struct {
	first chan struct{} // closed when it has begun
	done  chan struct{}
	body  string
	err   error
}

func (d door) stream(t *testing.T, client *http.Client, method, path, token string, headers ...string) *streaming {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.URL+d.path+path, strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen"}`))
	if method == http.MethodGet {
		req, err = http.NewRequestWithContext(t.Context(), method, d.URL+d.path+path, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	s := &streaming{first: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		resp, err := client.Do(req)
		if err != nil {
			s.err = err
			close(s.first)
			return
		}
		defer resp.Body.Close()
		in := bufio.NewReader(resp.Body)
		line, err := in.ReadString('\n')
		close(s.first)
		rest, restErr := io.ReadAll(in)
		s.body, s.err = line+string(rest), err
		if restErr != nil {
			s.err = restErr
		}
		if resp.StatusCode != 200 {
			s.err = fmt.Errorf("got %d", resp.StatusCode)
		}
	}()
	testkit.Receive(t, "a stream to begin", s.first)
	return s
}

// ends waits for the stream to end, which it must between two events and without an
// error.
func (s *streaming) ends(t *testing.T, what string) {
	t.Helper()
	testkit.Receive(t, what, s.done)
	if s.err != nil || !strings.HasSuffix(s.body, "}\n\n") {
		t.Errorf("%s: ended with %v after %q, want an end between two events", what, s.err, s.body[max(0, len(s.body)-30):])
	}
}

func (s *streaming) goesOn(t *testing.T, what string) {
	t.Helper()
	select {
	case <-s.done:
		t.Errorf("%s: ended (%v) after %q", what, s.err, s.body[max(0, len(s.body)-30):])
	default:
	}
}

// startStreamDoors is startDoors before a server of events, with verdicts kept for a
// second.
func startStreamDoors(t *testing.T, kinds ...kind) (*caddyServer, *eventServer, []door) {
	t.Helper()
	behind := startEventServer(t)
	c := newCaddy(t)
	var doors []door
	var site strings.Builder
	for i, k := range kinds {
		k.options += "\ncache {\nttl 1s\n}"
		d := newDoor(c, k, fmt.Sprintf("/door%02d", i))
		doors = append(doors, d)
		site.WriteString(d.directive())
	}
	c.start(c.caddyfile(site.String() + "reverse_proxy " + behind.address + "\n"))
	return c, behind, doors
}

var listening = []string{"Mcp-Method", "subscriptions/listen"}

// Streams end when their token is forgotten, over every version of HTTP; calls, and
// other users' streams, go on.
func TestStreamsEndWhenForgotten(t *testing.T) {
	t.Parallel()
	c, behind, doors := startStreamDoors(t, jwtKind, introspectionKind)
	h1 := &http.Transport{TLSClientConfig: c.tls()}
	t.Cleanup(h1.CloseIdleConnections)
	h3 := &http3.Transport{TLSClientConfig: c.tls()}
	t.Cleanup(func() { h3.Close() })
	for proto, transport := range map[string]http.RoundTripper{"HTTP/1.1": h1, "HTTP/2": c.client().Transport, "HTTP/3": h3} {
		client := &http.Client{Transport: transport}
		for i, d := range doors {
			name := fmt.Sprintf("%s-%d", strings.ReplaceAll(proto, "/", ""), i)
			ada, bob := d.token(map[string]any{"sub": "ada"}), d.token(map[string]any{"sub": "bob"})
			get := d.stream(t, client, "GET", "/", ada)
			listen := d.stream(t, client, "POST", "/", ada, listening...)
			call := d.stream(t, client, "POST", "/call/"+name, ada)
			other := d.stream(t, client, "GET", "/", bob)
			what := proto + ", " + d.name
			if status, body := c.askAdmin("POST", "/mcp_auth/forget", `{"issuer":"`+d.issuer.Issuer()+`","subject":"ada"}`); status != 200 {
				t.Fatalf("%s: forgetting: got %d %s", what, status, body)
			}
			get.ends(t, what+": GET")
			listen.ends(t, what+": listen")
			if result := string(mcp.ListenResult(json.RawMessage("7"))); !strings.HasSuffix(listen.body, "\n\n"+result) {
				t.Errorf("%s: listen: ended with %q, want %q", what, listen.body[max(0, len(listen.body)-len(result)):], result)
			}
			if strings.Contains(get.body, "resultType") {
				t.Errorf("%s: GET: ended with a result", what)
			}
			call.goesOn(t, what+": a call")
			other.goesOn(t, what+": another user's")
			close(behind.call(name))
			call.ends(t, what+": a call, by itself")
			if !strings.HasSuffix(call.body, "data: {\"finished\":true}\n\n") {
				t.Errorf("%s: the call was cut short", what)
			}
			c.askAdmin("POST", "/mcp_auth/forget", `{"issuer":"`+d.issuer.Issuer()+`"}`)
			other.ends(t, what+": all")
		}
	}
}

// Streams end when the issuer says at the next look that the token is no longer
// active; not because the issuer is away. (For their end at the token's expiry see
// TestStreamEndsWithItsToken in caddymcpauth.)
func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	_, _, doors := startStreamDoors(t, introspectionKind, userinfoKind)
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			client := &http.Client{Transport: d.client().Transport}
			long := d.stream(t, client, "GET", "/", d.token(nil))
			revoked := d.token(nil)
			s := d.stream(t, client, "POST", "/", revoked, listening...)
			d.issuer.SetFault(d.asks, oauthtest.Status(503))
			asked := d.issuer.Count(d.asks)
			d.waitFor("the token to be looked at again", func() bool { return d.issuer.Count(d.asks) > asked })
			s.goesOn(t, "while the issuer is away")
			d.issuer.Revoke(revoked)
			d.issuer.SetFault(d.asks, nil)
			s.ends(t, "revoked")
			long.goesOn(t, "another token's")
		})
	}
}
