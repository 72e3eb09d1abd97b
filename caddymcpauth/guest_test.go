package caddymcpauth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func init() {
	caddy.RegisterModule(guest{})
}

// guest is a third-party verifier: it accepts any claims from
// anyone, and does everything that the contract permits.
type guest struct {
	Fail bool `json:"fail,omitempty"`
}

func (guest) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.mcp_auth.verifiers.guest",
		New: func() caddy.Module { return new(guest) },
	}
}

func (g *guest) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	g.Fail = d.NextArg()
	return nil
}

func (g *guest) TokenVerifier(info caddymcpauth.IssuerInfo) (token.Source, error) {
	if g.Fail {
		return token.Source{}, errors.New("the guest does not want to")
	}
	return token.Source{Verifier: guestVerifier(info)}, nil
}

type guestVerifier caddymcpauth.IssuerInfo

// Accepts implements [token.Verifier].
func (guestVerifier) Accepts(p *token.Presented) bool { return p.JWS == nil }

func (v guestVerifier) Verify(_ context.Context, p *token.Presented) (*token.Token, error) {
	switch p.Raw {
	case "nothing":
		return nil, nil
	case "unclassified":
		return nil, errors.New("secret-cause: upstream said 500")
	case "unavailable":
		return nil, &token.UnavailableError{Err: errors.New("secret-cause: timed out"), RetryAfter: 7200 * time.Millisecond}
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(p.Raw, "guest~"))
	if err != nil || !strings.HasPrefix(p.Raw, "guest~") {
		return nil, &token.InvalidError{Reason: token.Inactive, Detail: "secret-cause"}
	}
	var known struct {
		Sub      string `json:"sub"`
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
	}
	if err := json.Unmarshal(claims, &known); err != nil {
		return nil, &token.InvalidError{Reason: token.BadClaims}
	}
	return token.New(token.Token{
		Issuer:   v.Issuer,
		Subject:  known.Sub,
		ClientID: known.ClientID,
		Audience: v.Audience,
		Scopes:   strings.Fields(known.Scope),
	}, claims), nil
}

// guestToken is an opaque token that the guest verifier reads claims from.
func guestToken(claims string) string {
	return "guest~" + base64.RawURLEncoding.EncodeToString([]byte(claims))
}

// guestDoor is a front door whose tokens anyone can make.
func guestDoor(options string) string {
	return "mcp_auth " + testResource + " {\n\tissuer https://as.example.com {\n\t\tguest\n\t}\n" + options + "\n}"
}

// The contract of the namespace is kept from both sides.
func TestGuestVerifier(t *testing.T) {
	t.Parallel()
	s := serve(t, guestDoor(""), func(w http.ResponseWriter, r *http.Request) error {
		tok, ok := caddymcpauth.FromContext(r.Context())
		if !ok {
			t.Error("no token in the request's context")
			return nil
		}
		return json.NewEncoder(w).Encode([]any{tok.Issuer, tok.Subject, tok.Audience})
	})
	for _, test := range []struct {
		name, token string
		status      int
		retryAfter  string
		body        string
	}{
		{"verified", guestToken(`{"sub":"u1"}`), 200, "", `["https://as.example.com","u1",["https://mcp.example.com/mcp"]]`},
		{"invalid", "other", 401, "", "invalid_token"},
		{"unavailable", "unavailable", 503, "8", "temporarily_unavailable"},
		{"any other error is an outage", "unclassified", 503, "5", "temporarily_unavailable"},
		{"neither token nor error is an outage", "nothing", 503, "5", "temporarily_unavailable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := s.do(t, "POST", "/mcp", bearer(test.token)...)
			if got.StatusCode != test.status {
				t.Errorf("status: got %d, want %d", got.StatusCode, test.status)
			}
			if !strings.Contains(got.body, test.body) {
				t.Errorf("body: got %q, want %q in it", got.body, test.body)
			}
			if strings.Contains(got.body, "secret-cause") {
				t.Errorf("the cause reached the client: %q", got.body)
			}
			if got := got.Header.Get("Retry-After"); got != test.retryAfter {
				t.Errorf("Retry-After: got %q, want %q", got, test.retryAfter)
			}
		})
	}
}
