package streams

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

const (
	listenBody = `{"jsonrpc":"2.0","id":"a1","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}`
	// What a server says on such a stream, and what ends it.
	acknowledged = `data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{}}` + "\n\n"
	changed      = "event: message\r\n" + `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` + "\r\n\r\n"
	resultOfA1   = `data: {"jsonrpc":"2.0","id":"a1","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"a1"}}}` + "\n\n"
)

// newListen returns a request whose body comes in small parts, of a length that isn't
// known.
func newListen(ctx context.Context, method, body string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, "/mcp", io.MultiReader(strings.NewReader(body[:len(body)/2]), strings.NewReader(body[len(body)/2:])))
	r.Header.Set("Mcp-Method", "subscriptions/listen")
	return r
}

// reading is next behind a reading of the body, of at most n bytes if n isn't 0.
func reading(n int64, next caddyhttp.HandlerFunc) caddyhttp.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		body := io.Reader(r.Body)
		if n > 0 {
			body = io.LimitReader(body, n)
		}
		_, _ = io.Copy(io.Discard, body)
		return next(w, r)
	}
}

// A subscription ends with its result, once, after the acknowledgment and between two
// events; or without one, where it can't be said to which request it belongs, or that
// it is the only one.
func TestListenEndsWithItsResult(t *testing.T) {
	t.Parallel()
	const sse = "text/event-stream"
	const with, without = true, false
	large := strings.Repeat("x", maxListen)
	for _, tc := range []struct {
		name        string
		method      string
		body        string
		contentType string
		parts       []string
		result      bool
	}{
		{"acknowledged", "POST", listenBody, sse, []string{acknowledged}, with},
		{"with a charset", "POST", listenBody, sse + "; charset=utf-8", []string{acknowledged}, with},
		{"after a notification", "POST", listenBody, sse, []string{acknowledged, changed}, with},
		{"in small parts", "POST", listenBody, sse, strings.SplitAfter(acknowledged+changed, "o"), with},
		{"after a comment", "POST", listenBody, sse, []string{acknowledged, ": ping\n"}, with},
		{"within a line break", "POST", listenBody, sse, []string{strings.ReplaceAll(acknowledged, "\n", "\r")}, with},
		{"after a priming event", "POST", listenBody, sse, []string{"id: 1\ndata:\n\n", acknowledged}, with},
		{"after another event", "POST", listenBody, sse, []string{acknowledged, "event: ping\ndata: x\n\n"}, with},

		{"nothing said", "POST", listenBody, sse, nil, without},
		{"not acknowledged", "POST", listenBody, sse, []string{": ping\n", "id: 1\ndata:\n\n"}, without},
		{"answered", "POST", listenBody, sse, []string{acknowledged, resultOfA1}, without},
		{"answered, and a notification", "POST", listenBody, sse, []string{acknowledged, resultOfA1, changed}, without},
		{"an error", "POST", listenBody, sse, []string{acknowledged, `data: {"jsonrpc":"2.0","id":"a1","error":{"code":1,"message":"no"}}` + "\n\n"}, without},
		{"what can't be read", "POST", listenBody, sse, []string{acknowledged, "data: {}\n\n"}, without},
		{"a large event", "POST", listenBody, sse, []string{acknowledged, `data: {"jsonrpc":"2.0","method":"notifications/x","params":{"x":"` + large + "\"}}\n\n"}, without},
		{"compressed", "POST", listenBody, sse + "; encoded as gzip", []string{acknowledged}, without},
		{"JSON", "POST", listenBody, "application/json", []string{acknowledged}, without},
		{"GET", "GET", listenBody, sse, []string{acknowledged}, without},

		{"another method", "POST", strings.Replace(listenBody, "/listen", "/other", 1), sse, []string{acknowledged}, without},
		{"a notification", "POST", `{"jsonrpc":"2.0","method":"notifications/listen"}`, sse, []string{acknowledged}, without},
		{"a response", "POST", `{"jsonrpc":"2.0","id":"a1","result":{}}`, sse, []string{acknowledged}, without},
		{"a batch", "POST", "[" + listenBody + "]", sse, []string{acknowledged}, without},
		{"two ids", "POST", strings.Replace(listenBody, "{", `{"id":"a2",`, 1), sse, []string{acknowledged}, without},
		{"no id", "POST", strings.Replace(listenBody, `"id":"a1",`, "", 1), sse, []string{acknowledged}, without},
		{"an id that is null", "POST", strings.Replace(listenBody, `"a1"`, "null", 1), sse, []string{acknowledged}, without},
		{"an id that is an object", "POST", strings.Replace(listenBody, `"a1"`, "{}", 1), sse, []string{acknowledged}, without},
		{"more after the message", "POST", listenBody + "{}", sse, []string{acknowledged}, without},
		{"cut off", "POST", listenBody[:len(listenBody)-1], sse, []string{acknowledged}, without},
		{"a large body", "POST", strings.Replace(listenBody, "{", `{"x":"`+large+`",`, 1), sse, []string{acknowledged}, without},
		{"no body", "POST", "", sse, []string{acknowledged}, without},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, stopping := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					c, stop := newRunning()
					w := new(watcher)
					end := w.end
					if stopping {
						end = stop
					}
					if tc.contentType != "application/json" {
						time.AfterFunc(time.Hour, end)
					}
					rec := serve(c, w, newListen(t.Context(), tc.method, tc.body), reading(0, write(tc.contentType, tc.parts...)))
					want := strings.Join(tc.parts, "")
					if tc.result {
						want += resultOfA1
					}
					if got := rec.Body.String(); got != want || rec.aborted || rec.err != nil {
						t.Errorf("got %.200q (aborted %t, %v), want %.200q", got, rec.aborted, rec.err, want)
					}
				})
			}
		})
	}
}

// An event that has begun is completed first; one that isn't completed leaves no place
// for a result.
func TestListenEndsWithinAnEvent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		parts []string
		want  string
		cut   bool
	}{
		{"completed", []string{acknowledged, changed[:20], changed[20:] + changed}, acknowledged + changed + resultOfA1, false},
		{"completed by the result", []string{acknowledged, resultOfA1[:20], resultOfA1[20:]}, acknowledged + resultOfA1, false},
		{"not completed", []string{acknowledged, changed[:20]}, acknowledged + changed[:20], true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, _ := newRunning()
				w := new(watcher)
				time.AfterFunc(2500*time.Millisecond, w.end)
				rec := serve(c, w, newListen(t.Context(), "POST", listenBody), reading(0, write("text/event-stream", tc.parts...)))
				if got := rec.Body.String(); got != tc.want || rec.aborted != tc.cut {
					t.Errorf("got %q (aborted %t), want %q", got, rec.aborted, tc.want)
				}
			})
		})
	}
}

// A stream that the server ends is its own affair, whatever it lacks.
func TestListenEndedByTheServer(t *testing.T) {
	t.Parallel()
	c, _ := newRunning()
	rec := serve(c, new(watcher), newListen(t.Context(), "POST", listenBody), reading(0, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "text/event-stream")
		_, err := io.WriteString(w, acknowledged)
		return err
	}))
	if got := rec.Body.String(); got != acknowledged || rec.err != nil {
		t.Errorf("got %q, %v", got, rec.err)
	}
}

// The id is known as soon as the whole message has been read, though nobody has seen
// its end; not before. A message that has been read already is not read again.
func TestListenReadsAlong(t *testing.T) {
	t.Parallel()
	judged := func(body string) *mcp.Message {
		m, err := mcp.Read([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, tc := range []struct {
		name   string
		length int64
		read   int64
		judged *mcp.Message
		want   string
	}{
		{"as long as it says", int64(len(listenBody)), int64(len(listenBody)), nil, acknowledged + resultOfA1},
		{"a part", int64(len(listenBody)), int64(len(listenBody) - 1), nil, acknowledged},
		{"of unknown length, without its end", -1, int64(len(listenBody)), nil, acknowledged},
		{"of unknown length, to its end", -1, 0, nil, acknowledged + resultOfA1},
		{"judged before", -1, 1, judged(listenBody), acknowledged + resultOfA1},
		{"another was judged before", -1, 0, judged(strings.Replace(listenBody, "/listen", "/other", 1)), acknowledged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, stop := newRunning()
				time.AfterFunc(time.Minute, stop)
				r := newListen(t.Context(), "POST", listenBody)
				r.ContentLength = tc.length
				rec := httptest.NewRecorder()
				next := reading(tc.read, write("text/event-stream", acknowledged))
				if err := c.Serve(rec, r, tc.judged, nil, next); err != nil {
					t.Fatal(err)
				}
				if got := rec.Body.String(); got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		})
	}
}

// The next handler gets the body as it arrives, and nothing of it is kept once the id
// is known.
func TestListenDelaysNothing(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/mcp", in)
	s := newSubscription(r, nil)
	go func() {
		for i := range len(listenBody) {
			_, _ = out.Write([]byte{listenBody[i]})
		}
		out.Close()
	}()
	buf := make([]byte, 100)
	for i := range len(listenBody) {
		if n, err := r.Body.Read(buf); n != 1 || buf[0] != listenBody[i] || err != nil {
			t.Fatalf("byte %d: got %q, %v", i, buf[:n], err)
		}
	}
	if _, err := r.Body.Read(buf); err != io.EOF {
		t.Errorf("got %v at the end", err)
	}
	if string(s.id) != `"a1"` || cap(s.id) > 100 || s.body != nil {
		t.Errorf("got the id %s, and %d bytes are kept", s.id, len(s.body))
	}
}

// Over real connections the result is the last that a client sees, and no error.
func TestListenOverTheWire(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			c, _ := newRunning()
			w := new(watcher)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				_ = c.Serve(rw, r, nil, w.watch, reading(0, write("text/event-stream", acknowledged)))
			}))
			srv.EnableHTTP2 = proto == "HTTP/2.0"
			srv.StartTLS()
			defer srv.Close()
			for i := range 2 { // the connection can be used again
				body := strings.Replace(listenBody, `"a1"`, fmt.Sprint(i), 1)
				r, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Mcp-Method", "subscriptions/listen")
				resp, err := srv.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				events := bufio.NewReader(resp.Body)
				if line, err := events.ReadString('\n'); line+"\n" != acknowledged || err != nil {
					t.Fatalf("got %q, %v", line, err)
				}
				w.end()
				want := "\n" + string(mcp.ListenResult(json.RawMessage(fmt.Sprint(i))))
				if rest, err := io.ReadAll(events); string(rest) != want || err != nil || resp.Proto != proto {
					t.Errorf("got %q, %v over %s; want %q", rest, err, resp.Proto, want)
				}
				resp.Body.Close()
			}
		})
	}
}
