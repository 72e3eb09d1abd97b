package caddymcpauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// slowly is a body that arrives when it is told to.
type slowly struct {
	text chan string
}

func (b slowly) Read(p []byte) (int, error) {
	text, ok := <-b.text
	if !ok {
		return 0, io.EOF
	}
	return copy(p, text), nil
}

func (slowly) Close() error { return nil }

// deadlines records the deadlines for reading.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// from sends a request without a token from an address.
func (c *config) from(address string, w http.ResponseWriter, body io.Reader) {
	r := httptest.NewRequest("POST", "/mcp", body)
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, repl, w, new(caddyhttp.Server))
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, address)
	_ = c.routes.ServeHTTP(w, r, next(func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "served")
		return err
	}))
}

// A network that sends slowly holds up itself: another one is next, as soon as there
// is a turn, and messages that would wait too long are refused.
func TestAnonymousTurns(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
		routes, err := adapt(frontDoor(issuer.Issuer(), "anonymous"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := provision(t, routes)
		if err != nil {
			t.Fatal(err)
		}
		message := rpc("ping", "{}")
		var held []slowly
		results := make(chan int, 500)
		slow := func() {
			b := slowly{make(chan string)}
			held = append(held, b)
			go func() {
				w := httptest.NewRecorder()
				c.from("198.51.100.1", w, b)
				results <- w.Code
			}()
		}
		// All that may be read at once, and then a full queue.
		for range 64 {
			slow()
		}
		synctest.Wait()
		for range 256 {
			slow()
		}
		synctest.Wait()
		// One more of the same.
		w := httptest.NewRecorder()
		c.from("198.51.100.1", w, strings.NewReader(message))
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Errorf("one more of the network that asks for most: got %d %v, want 429", w.Code, w.Header())
		}
		// Another network waits for one turn only.
		other := make(chan int)
		go func() {
			w := httptest.NewRecorder()
			c.from("203.0.113.1", w, strings.NewReader(message))
			other <- w.Code
		}()
		synctest.Wait()
		close(held[0].text)
		if code := <-other; code != http.StatusOK {
			t.Errorf("another network: got %d, want 200", code)
		}
		// The rest waits as long as a message may, and no longer.
		time.Sleep(10 * time.Second)
		synctest.Wait()
		got := make(map[int]int)
		for range len(results) {
			got[<-results]++
		}
		// One has lost its place to the other network, and one got the turn after that.
		if got[http.StatusTooManyRequests] != 1 || got[http.StatusServiceUnavailable] != 254 {
			t.Errorf("of 256 that waited, got %v, want 429 once, and 254 times 503", got)
		}
		for _, b := range held[1:] {
			close(b.text)
		}
		synctest.Wait()
	})
}

// A message without a token has to arrive in time. What comes after it on the
// connection doesn't.
func TestAnonymousDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
		routes, err := adapt(frontDoor(issuer.Issuer(), "anonymous"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := provision(t, routes)
		if err != nil {
			t.Fatal(err)
		}
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		c.from("198.51.100.1", w, strings.NewReader(rpc("ping", "{}")))
		if w.Code != http.StatusOK || len(w.set) != 2 || !w.set[0].Equal(time.Now().Add(10*time.Second)) || !w.set[1].IsZero() {
			t.Errorf("got %d and the deadlines %v, want one 10s from now and then none", w.Code, w.set)
		}
	})
}
