package token_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// checkQuiet fails the test if the token, or something of a foreign answer, is
// where it gets into logs or on to others.
func checkQuiet(t *testing.T, raw string, tok *token.Token, err error) {
	t.Helper()
	if err != nil {
		for _, secret := range []string{raw, "upstream-secret-error-text", "s3cr3t"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q is in the error %q", secret, err)
			}
		}
	}
	if tok == nil {
		return
	}
	claims, jsonErr := json.Marshal(tok.Claims())
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	if strings.Contains(string(claims), raw) {
		t.Errorf("the token is in the claims %s", claims)
	}
}

// checkCause fails the test unless want is in err's text.
func checkCause(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "":
	case err == nil:
		t.Errorf("got no error, want %q", want)
	case !strings.Contains(err.Error(), want):
		t.Errorf("got the error %q, want %q in it", err, want)
	}
}

// retryAfter returns what err says about when to try again.
func retryAfter(err error) time.Duration {
	var unavailable *token.UnavailableError
	if errors.As(err, &unavailable) {
		return unavailable.RetryAfter
	}
	return 0
}

// checkGivesUp checks that the verifier that make returns, asked about raw, gives up
// with its context while an endpoint takes its time, on a fake clock.
func checkGivesUp(t *testing.T, opts oauthtest.Options, endpoint oauthtest.Endpoint, make func(t *testing.T, srv *oauthtest.Server, client *http.Client) (v token.Verifier, raw string)) {
	t.Helper()
	for name, fault := range map[string]oauthtest.Fault{
		"hangs": oauthtest.Hang(), "hangs in the body": oauthtest.HangBody(), "drips": oauthtest.Drip(time.Second / 2),
	} {
		t.Run(string(endpoint)+" "+name, func(t *testing.T) {
			t.Parallel()
			oauthtest.Bubble(t, opts, func(t *testing.T, srv *oauthtest.Server, network *testkit.Network) {
				srv.SetFault(endpoint, fault)
				v, raw := make(t, srv, network.Through(t, outbound.NewClient()))
				const limit = 2300 * time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				began := time.Now()
				tok, err := judge(ctx, v, raw)
				if got := outcome(tok, err); got != "unavailable" {
					t.Errorf("got %s (%v), want unavailable", got, err)
				}
				if got := time.Since(began); got != limit {
					t.Errorf("gave up after %v, want %v", got, limit)
				}
				checkQuiet(t, raw, tok, err)
			})
		})
	}
}

// roundTrip is an [http.RoundTripper] made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// answering returns a client that gets a 200 with one of bodies, by path.
func answering(bodies map[string][]byte) *http.Client {
	return &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK,
			Header:     http.Header{"Content-Type": {"application/json"}},
			Body:       io.NopCloser(strings.NewReader(string(bodies[req.URL.Path]))),
			Request:    req,
		}, nil
	})}
}
