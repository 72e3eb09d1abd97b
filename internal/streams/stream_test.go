package streams

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

var errExpired = errors.New("expired")

// watcher is what a test ends a stream by.
type watcher struct {
	mu      sync.Mutex
	ends    func(error)
	stopped int
}

func (w *watcher) watch(end func(error)) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = end
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stopped++
	}
}

func (w *watcher) end() {
	w.mu.Lock()
	end := w.ends
	w.mu.Unlock()
	end(errExpired)
}

// recorder is a response that knows whether it was ended or cut off.
type recorder struct {
	*httptest.ResponseRecorder
	aborted bool
	err     error
}

// serve answers a request as a server would.
func serve(c *Closer, w *watcher, r *http.Request, next caddyhttp.HandlerFunc) *recorder {
	rec := &recorder{ResponseRecorder: httptest.NewRecorder()}
	func() {
		defer func() {
			if p := recover(); p != nil {
				if p != http.ErrAbortHandler {
					panic(p)
				}
				rec.aborted = true
			}
		}()
		rec.err = c.Serve(rec, r, nil, w.watch, next)
	}()
	return rec
}

func newRunning() (c *Closer, stop func()) {
	c = new(Closer)
	c.running, c.stop = context.WithCancelCause(context.Background())
	return c, func() { c.stop(errStopping) }
}

// write sends parts a second apart, each as an upstream would, and goes on until the
// request ends. It aborts as reverse_proxy does.
func write(contentType string, parts ...string) caddyhttp.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		name, value, _ := strings.Cut(contentType, "; encoded as ")
		w.Header().Set("Content-Type", name)
		if value != "" {
			w.Header().Set("Content-Encoding", value)
		}
		control := http.NewResponseController(w)
		_ = control.Flush()
		for _, part := range parts {
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
			if _, err := io.WriteString(w, part); err != nil {
				panic(http.ErrAbortHandler)
			}
			_ = control.Flush()
		}
		if contentType == "application/json" {
			return nil
		}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// A stream ends between two events, and as if it had come to its end; an answer that
// ends by itself is left alone.
func TestServe(t *testing.T) {
	t.Parallel()
	const sse = "text/event-stream; charset=utf-8"
	for _, tc := range []struct {
		name        string
		method, mcp string
		contentType string
		parts       []string
		after       time.Duration // when it is told to end
		stop        bool          // by the end of the configuration
		want        string
		took        time.Duration
		aborted     bool
	}{
		{"between two events", "GET", "", sse, []string{"data: 1\n\n", "data: 2\n\n"}, 1500 * time.Millisecond, false, "data: 1\n\n", 1500 * time.Millisecond, false},
		{"listen", "POST", "subscriptions/listen", sse, []string{"data: 1\n\n", "data: 2\n\n"}, 1500 * time.Millisecond, false, "data: 1\n\n", 1500 * time.Millisecond, false},
		{"before the first event", "GET", "", sse, []string{"data: 1\n\n"}, 500 * time.Millisecond, false, "", 500 * time.Millisecond, false},
		{"after the last event", "GET", "", sse, []string{"data: 1\n\n"}, time.Hour, false, "data: 1\n\n", time.Hour, false},
		{"within an event", "GET", "", sse, []string{"data: 1\n\n", "data", ": 2\n", "\ndata: 3\n\n"}, 2500 * time.Millisecond, false, "data: 1\n\ndata: 2\n\n", 4 * time.Second, false},
		{"within a line break", "GET", "", sse, []string{"data: 1\r\n\r", "\ndata: 2\r\n\r\n"}, 1500 * time.Millisecond, false, "data: 1\r\n\r", 1500 * time.Millisecond, false},
		{"after a comment", "GET", "", sse, []string{": ping\n"}, 1500 * time.Millisecond, false, ": ping\n", 1500 * time.Millisecond, false},
		{"an event that isn't completed", "GET", "", sse, []string{"data: 1\n\n", "data"}, 2500 * time.Millisecond, false, "data: 1\n\ndata", 7500 * time.Millisecond, true},
		{"an event that is completed late", "GET", "", sse, []string{"data", "", "", "", "", "", "", "\n\n"}, 1500 * time.Millisecond, false, "data", 6500 * time.Millisecond, true},
		{"compressed", "GET", "", "text/event-stream; encoded as gzip", []string{"\x1f\x8b", "x"}, 1500 * time.Millisecond, false, "\x1f\x8b", 1500 * time.Millisecond, false},
		{"the configuration stops", "GET", "", sse, []string{"data: 1\n\n", "data: 2\n\n"}, 1500 * time.Millisecond, true, "data: 1\n\n", 1500 * time.Millisecond, false},
		{"the configuration stops within an event", "GET", "", sse, []string{"data", "\n\nx"}, 1500 * time.Millisecond, true, "data\n\n", 2 * time.Second, false},

		{"a download", "GET", "", "application/json", []string{"1", "2", "3"}, 1500 * time.Millisecond, false, "123", 3 * time.Second, false},
		{"a download, the configuration stops", "GET", "", "application/json", []string{"1", "2", "3"}, 1500 * time.Millisecond, true, "1", 1500 * time.Millisecond, true},
		{"listen, refused", "POST", "subscriptions/listen", "application/json", []string{"1", "2", "3"}, 1500 * time.Millisecond, false, "123", 3 * time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, stop := newRunning()
				w := new(watcher)
				end := w.end
				if tc.stop {
					end = stop
				}
				time.AfterFunc(tc.after, end)
				start := time.Now()
				rec := serve(c, w, newRequest(t.Context(), tc.method, tc.mcp), write(tc.contentType, tc.parts...))
				if got := rec.Body.String(); got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
				if took := time.Since(start); took != tc.took {
					t.Errorf("took %s, want %s", took, tc.took)
				}
				if rec.aborted != tc.aborted || rec.err != nil {
					t.Errorf("got aborted %t, error %v, want %t", rec.aborted, rec.err, tc.aborted)
				}
				if w.stopped != 1 {
					t.Errorf("the watching was ended %d times, want once", w.stopped)
				}
				time.Sleep(tc.after)
				w.end() // too late, and harmless
			})
		})
	}
}

// Calls aren't even watched.
func TestServeCalls(t *testing.T) {
	t.Parallel()
	c, _ := newRunning()
	for _, test := range requests {
		if test.stream {
			continue
		}
		rec := httptest.NewRecorder()
		err := c.Serve(rec, newRequest(t.Context(), test.method, test.mcpMethod), nil, func(func(error)) func() {
			t.Errorf("%s is watched", test.name)
			return func() {}
		}, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			if w != rec {
				t.Errorf("%s: the writer is wrapped", test.name)
			}
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
	}
}

// What isn't ours goes on: a handler's own error, its panic, its abort.
func TestServeKeepsFailures(t *testing.T) {
	t.Parallel()
	c, _ := newRunning()
	oops := errors.New("oops")
	rec := serve(c, new(watcher), newRequest(t.Context(), "GET", ""), func(http.ResponseWriter, *http.Request) error { return oops })
	if !errors.Is(rec.err, oops) {
		t.Errorf("got %v, want the handler's error", rec.err)
	}
	rec = serve(c, new(watcher), newRequest(t.Context(), "GET", ""), func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) })
	if !rec.aborted {
		t.Error("the abort was swallowed")
	}
	defer func() {
		if p := recover(); p != "oops" {
			t.Errorf("got panic %v", p)
		}
	}()
	serve(c, new(watcher), newRequest(t.Context(), "GET", ""), func(http.ResponseWriter, *http.Request) error { panic("oops") })
}

// Over real connections: the client sees an end, not an error, of an event stream,
// and can use the connection again; a tunnel is closed.
func TestServeOverTheWire(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			c, _ := newRunning()
			w := new(watcher)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				_ = c.Serve(rw, r, nil, w.watch, caddyhttp.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) error {
					rw.Header().Set("Content-Type", "text/event-stream")
					fmt.Fprint(rw, "data: 1\n\n")
					_ = http.NewResponseController(rw).Flush()
					<-r.Context().Done()
					panic(http.ErrAbortHandler)
				}))
			}))
			srv.EnableHTTP2 = proto == "HTTP/2.0"
			srv.StartTLS()
			defer srv.Close()
			for range 2 {
				resp, err := srv.Client().Get(srv.URL)
				if err != nil {
					t.Fatal(err)
				}
				if resp.Proto != proto {
					t.Fatalf("got %s", resp.Proto)
				}
				body := bufio.NewReader(resp.Body)
				if line, err := body.ReadString('\n'); line != "data: 1\n" || err != nil {
					t.Fatalf("got %q, %v", line, err)
				}
				w.end()
				if rest, err := io.ReadAll(body); string(rest) != "\n" || err != nil {
					t.Errorf("got %q, %v; want a clean end", rest, err)
				}
				resp.Body.Close()
			}
		})
	}
	t.Run("tunnel", func(t *testing.T) {
		t.Parallel()
		c, _ := newRunning()
		w := new(watcher)
		done := make(chan error, 1)
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			done <- c.Serve(rw, r, nil, w.watch, caddyhttp.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) error {
				rw.Header().Set("Connection", "Upgrade")
				rw.Header().Set("Upgrade", "websocket")
				rw.WriteHeader(http.StatusSwitchingProtocols)
				conn, _, err := http.NewResponseController(rw).Hijack()
				if err != nil {
					return err
				}
				defer conn.Close()
				<-r.Context().Done()
				return nil
			}))
		}))
		defer srv.Close()
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("got %v, %v", resp, err)
		}
		w.end()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the tunnel is still open")
		}
	})
}
