package oauthtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// get makes a request that follows no redirect, and reads the whole answer.
func get(ctx context.Context, transport http.RoundTripper, url string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, string(body), err
}

// through returns a transport that dials in network.
func through(t *testing.T, network *testkit.Network) http.RoundTripper {
	t.Helper()
	return network.Through(t, &http.Client{Transport: &http.Transport{}}).Transport
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const honest = "the key set"
	tests := []struct {
		name   string
		fault  Fault
		status int
		body   string // wanted as a part
		err    bool
		slow   bool // gives no complete answer within an hour
	}{
		{name: "none", status: 200, body: honest},
		{name: "status", fault: Status(500), status: 500, body: "upstream-secret"},
		{name: "retry after", fault: RetryAfter(7), status: 429},
		{name: "garbage", fault: Garbage(), status: 200, body: "<!DOCTYPE"},
		{name: "empty", fault: Empty(), status: 200, body: "{}"},
		{name: "empty keys", fault: EmptyKeys(), status: 200, body: `{"keys":[]}`},
		{name: "redirect", fault: Redirect(307, "https://other.example"), status: 307},
		{name: "close", fault: Close(), err: true},
		{name: "truncate", fault: Truncate(), err: true},
		{name: "hang", fault: Hang(), slow: true},
		{name: "hang in the body", fault: HangBody(), slow: true},
		{name: "hold", fault: Hold(nil), slow: true},
		{name: "drip", fault: Drip(time.Minute), slow: true},
		{name: "drip, fast", fault: Drip(time.Second), status: 200, body: honest},
		{name: "delay", fault: Delay(time.Minute), status: 200, body: honest},
		{name: "rewrite", fault: Rewrite(map[string]any{"keys": Absent, "a": 1}), status: 200, body: `{"a":1}`},
		{name: "no more times", fault: Times(0, Close()), status: 200, body: honest},
		{name: "once", fault: Times(1, Close()), err: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			Bubble(t, Options{Algorithm: "ES256"}, func(t *testing.T, srv *Server, network *testkit.Network) {
				srv.SetFault(JWKS, tt.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				answer, body, err := get(ctx, through(t, network), srv.Endpoint(JWKS))
				switch {
				case tt.slow != errors.Is(err, context.DeadlineExceeded), (tt.err || tt.slow) != (err != nil):
					t.Fatalf("got error %v, want slow: %v, failed: %v", err, tt.slow, tt.err)
				case err != nil:
				case tt.body == honest && body != string(srv.JWKSDocument()):
					t.Errorf("got %q, want the key set", body)
				case answer.StatusCode != tt.status, tt.body != honest && !strings.Contains(body, tt.body):
					t.Errorf("got %d %q, want %d %q", answer.StatusCode, body, tt.status, tt.body)
				}
				if n := srv.Count(JWKS); n != 1 {
					t.Errorf("got %d requests counted, want 1", n)
				}
			})
		})
	}
}

func TestHugeIsGood(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{})
	srv.SetFault(Any, Huge(3))
	_, body, err := get(t.Context(), http.DefaultTransport, srv.Endpoint(JWKS))
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err != nil || json.Unmarshal([]byte(body), &set) != nil || len(set.Keys) != 1 {
		t.Errorf("got %d keys and error %v, want a good key set behind the padding", len(set.Keys), err)
	}
	if len(body) < 3<<20 {
		t.Errorf("got %d bytes, want more than 3 MiB", len(body))
	}
}

func TestWrongIssuer(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{})
	srv.SetFault(Metadata, WrongIssuer("https://evil.example"))
	_, body, err := get(t.Context(), http.DefaultTransport, srv.Issuer()+"/.well-known/openid-configuration")
	if err != nil || !strings.Contains(body, `"issuer":"https://evil.example"`) {
		t.Errorf("got %s, %v, want the wrong issuer", body, err)
	}
}

func TestHoldReleases(t *testing.T) {
	t.Parallel()
	Bubble(t, Options{Algorithm: "ES256"}, func(t *testing.T, srv *Server, network *testkit.Network) {
		release := make(chan struct{})
		srv.SetFault(JWKS, Hold(release))
		time.AfterFunc(time.Hour, func() { close(release) })
		began := time.Now()
		if answer, _, err := get(t.Context(), through(t, network), srv.Endpoint(JWKS)); err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("got error %v, want the honest answer", err)
		}
		if got := time.Since(began); got != time.Hour {
			t.Errorf("got the answer after %v, want an hour", got)
		}
	})
}

// TestHangEndsWithTheTest would time out if a hanging handler outlived its test.
func TestHangEndsWithTheTest(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]Fault{"hang": Hang(), "hang in the body": HangBody(), "drip": Drip(time.Hour)} {
		failed := make(chan error, 1)
		t.Run(name, func(t *testing.T) {
			srv := New(t, Options{})
			srv.SetFault(Any, fault)
			go func() {
				_, _, err := get(context.Background(), http.DefaultTransport, srv.Endpoint(JWKS))
				failed <- err
			}()
			testkit.Eventually(t, "the request", func() bool { return srv.Count(JWKS) > 0 })
		})
		if err := testkit.Receive(t, name+": the client's error", failed); err == nil {
			t.Errorf("%s: got a complete answer", name)
		}
	}
}
