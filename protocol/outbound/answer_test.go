package outbound_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "3600": time.Hour, "86400": time.Hour,
		"-5": 0, "+7": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0, "Wed, 21 Oct 2026 07:28:00 GMT": 0,
	} {
		if got := outbound.RetryAfter(http.Header{"Retry-After": {value}}); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	if b, err := outbound.ReadBody(strings.NewReader("1234"), 4); err != nil || string(b) != "1234" {
		t.Errorf("at the limit: got %q, %v", b, err)
	}
	b, err := outbound.ReadBody(strings.NewReader("12345"), 4)
	if _, ok := errors.AsType[*outbound.TooLargeError](err); !ok || b != nil {
		t.Errorf("beyond it: got %q, %v, want nothing and a TooLargeError", b, err)
	}
	broken := io.MultiReader(strings.NewReader("12"), failing{})
	if b, err := outbound.ReadBody(broken, 4); !errors.Is(err, io.ErrUnexpectedEOF) || b != nil {
		t.Errorf("cut off: got %q, %v", b, err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
