package upstream_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// kind names the type of an error of Finish.
func kind(err error) string {
	switch err.(type) { // the types themselves are the contract
	case nil:
		return "none"
	case *upstream.DeniedError:
		return "denied"
	case *outbound.UnavailableError:
		return "unavailable"
	case *upstream.InvalidError:
		return "invalid"
	}
	return "other"
}

// checkRefused checks that a sign-in failed as it should have.
func checkRefused(t *testing.T, id upstream.Identity, err error, want string) {
	t.Helper()
	if got := kind(err); got != want {
		t.Fatalf("got %s (%v), want %s", got, err, want)
	}
	if id.Subject != "" || id.Claims != nil || id.Email != "" {
		t.Errorf("got the identity %+v with the error %v, want none", id, err)
	}
	checkText(t, err)
}

// checkText checks that an error says nothing that a log must not have.
func checkText(t testing.TB, err error, secrets ...string) {
	t.Helper()
	text := err.Error()
	for _, secret := range append(secrets, "sesame", url.QueryEscape(clientSecret)) {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("got the error %q, want none with %q", text, secret)
		}
	}
	if len(text) > 500 || strings.ContainsAny(text, "\n\r") {
		t.Errorf("got an error of %d bytes, %.100q, want one short line", len(text), text)
	}
}

func TestErrorsUnwrap(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for _, err := range []error{&outbound.UnavailableError{Err: cause}, &upstream.InvalidError{Err: cause}} {
		if !errors.Is(err, cause) {
			t.Errorf("got no cause in %T, want it", err)
		}
	}
	if got, want := (&upstream.DeniedError{Code: "access_denied"}).Error(), "the upstream answered access_denied"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
