package whoami

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// When the configuration stops, streams end, while a call that is under way
// gets its answer.
func TestStop(t *testing.T) {
	t.Parallel()
	h, stop := provision(t, `{"sse":"/sse"}`)
	address := serve(t, frontDoor(h))
	client := bearer("alice").client()
	events, postURL := open(t, client, address+"/sse")

	// The call is under way for as long as its body is.
	body, rest := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	answer := make(chan string, 1)
	go func() {
		response, err := client.Do(r)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		answer <- fmt.Sprint(response.StatusCode, string(b), err)
	}()
	if _, err := io.WriteString(rest, call[:20]); err != nil {
		t.Fatal(err)
	}

	stop()
	// What was sent before may still be read; then the stream ends.
	for n := 0; events.events.Scan(); n++ {
		if n > 1 {
			t.Fatalf("got %q, want the end of the stream", events.events.Text())
		}
	}
	if err := events.events.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("stream: %v", err)
	}
	if status, _ := post(t, client, postURL, call); status != http.StatusNotFound {
		t.Errorf("a message to the ended session got %d, want 404", status)
	}

	if _, err := io.WriteString(rest, call[20:]); err != nil {
		t.Fatal(err)
	}
	rest.Close()
	if got := <-answer; !strings.HasPrefix(got, "200") || !strings.Contains(got, `"sub":"alice"`) {
		t.Errorf("the call under way got %s, want its answer", got)
	}

	// A request that was still on its way to the old configuration.
	response, err := client.Get(address + "/sse")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Errorf("late stream: %v", err)
	}
}

// count returns how many sessions h holds.
func (h *sseHandler) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions)
}

// waitForNone waits until h holds no session.
func waitForNone(t *testing.T, h *sseHandler) {
	t.Helper()
	testkit.Eventually(t, "the end of all sessions", func() bool { return h.count() == 0 })
}

// A session leaves nothing behind.
func TestSSESessionsEnd(t *testing.T) {
	t.Parallel()
	h := newSSEHandler(newServer("test"))
	address := serve(t, identify(h))
	for range 10 {
		connect(t, &mcp.SSEClientTransport{Endpoint: address}, "").Close()
	}
	waitForNone(t, h)
}

// A client that stops reading loses its session, rather than to hold answers
// in memory and up a shutdown.
func TestSSEStalledClient(t *testing.T) {
	t.Parallel()
	h := newSSEHandler(newServer("test"))
	h.writeTimeout = 50 * time.Millisecond
	large := user("https://as.example", "large", `{"sub":"`+strings.Repeat("x", maxBody)+`"}`)
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identify(h).ServeHTTP(w, r.WithContext(token.NewContext(r.Context(), large)))
	}))
	events, postURL := open(t, http.DefaultClient, address)
	post(t, http.DefaultClient, postURL, initialize)
	events.next(t, "message")
	for range 100 {
		if status, _ := post(t, http.DefaultClient, postURL, call); status == http.StatusNotFound {
			waitForNone(t, h)
			return
		}
	}
	waitForNone(t, h)
}
