package integration_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// trickle is a body that comes byte by byte and never ends, so that no limit on
// stalled bodies stops it.
type trickle struct {
	text string
	stop <-chan struct{}
}

func (b *trickle) Read(p []byte) (int, error) {
	if b.text == "" {
		<-b.stop
		return 0, io.ErrUnexpectedEOF
	}
	select {
	case <-b.stop:
		return 0, io.ErrUnexpectedEOF
	case <-time.After(200 * time.Millisecond):
	}
	n := copy(p, b.text[:1])
	b.text = b.text[n:]
	return n, nil
}

// A message of a stranger that never ends is given up, in every version of HTTP: at a
// front door that is open without a token, and by a matcher that comes before one. What
// comes in time gets through on the same connection.
func TestStrangersThatNeverEnd(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	t.Cleanup(behind.Close)
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(strings.ReplaceAll(`
	handle /matched {
		@ping mcp_method ping
		header @ping X-Ping yes
		reverse_proxy BEHIND
	}
	handle {
		mcp_auth /mcp* SITE/mcp {
			issuer ISSUER
			anonymous
		}
		reverse_proxy BEHIND
	}
	mcp_auth_guard
`, "BEHIND", behind.Listener.Addr().String())))
	// An answer within the patience of the test is one that the sender didn't bring
	// about: it goes on for hours.
	endless := `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"` + strings.Repeat("x", 50_000)
	for version, client := range c.versions(t) {
		for _, test := range []struct {
			path   string
			status int
		}{
			{"/mcp", 401},
			{"/matched", 400},
		} {
			t.Run(version+test.path, func(t *testing.T) {
				t.Parallel()
				stop := make(chan struct{})
				defer close(stop)
				send := func(body io.Reader) *http.Response {
					t.Helper()
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+test.path, body)
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Content-Type", "application/json")
					req.Header.Set("Accept", "application/json, text/event-stream")
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { resp.Body.Close() })
					if resp.Proto != version {
						t.Fatalf("spoke %s", resp.Proto)
					}
					return resp
				}
				if got := send(&trickle{endless, stop}); got.StatusCode != test.status {
					t.Errorf("without an end: got %d, want %d", got.StatusCode, test.status)
				}
				if got := send(strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)); got.StatusCode != 200 {
					t.Errorf("a message: got %d, want 200", got.StatusCode)
				}
			})
		}
	}
}

// Matchers work in handle_errors for messages that were read before: by a front door
// with rules, or by another matcher. Otherwise the server behind has had the body, and
// what it was about can't be known.
func TestMatchersInErrorRoutes(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(silent.Close)
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(strings.ReplaceAll(`
	mcp_auth /rules* SITE/rules {
		issuer ISSUER
		tools *
	}
	mcp_auth /matched* SITE/matched {
		issuer ISSUER
	}
	mcp_auth /unread* SITE/unread {
		issuer ISSUER
	}
	handle /matched {
		@any mcp_method *
		reverse_proxy @any BEHIND
	}
	reverse_proxy BEHIND
	handle_errors {
		@delete mcp_tool delete_*
		respond @delete "{http.mcp.name} failed" 502
		respond "another call failed" 502
	}
`, "BEHIND", silent.Listener.Addr().String())))
	for _, test := range []struct{ path, tool, want string }{
		{"/rules", "delete_x", "delete_x failed"},
		{"/rules", "get_x", "another call failed"},
		{"/matched", "delete_x", "delete_x failed"},
		{"/matched", "get_x", "another call failed"},
		{"/unread", "delete_x", ""},
	} {
		got := c.do("POST", test.path, toolCall(test.tool), "Content-Type", "application/json", "Authorization", "Bearer "+f.token(c, map[string]any{"aud": c.URL + test.path}))
		if got.status != 502 || got.body != test.want {
			t.Errorf("%s at %s: got %d %q, want 502 %q", test.tool, test.path, got.status, got.body, test.want)
		}
	}
	// A refusal is the door's own answer, and no error of the site.
	if got := c.do("POST", "/rules", toolCall("delete_x"), "Content-Type", "application/json"); got.status != 401 || strings.Contains(got.body, "failed") {
		t.Errorf("without a token: got %d %q", got.status, got.body)
	}
}
