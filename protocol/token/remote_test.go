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

// soon is more than an answer takes, and less than a test may.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	t.Cleanup(cancel)
	return ctx
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
