package identity_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/identity"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// inCaddy returns the context of a request in Caddy.
func inCaddy(ctx context.Context) context.Context {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server)).Context()
}

func TestFromContext(t *testing.T) {
	t.Parallel()
	ada, bob := &token.Token{Issuer: "https://as.example.com", Subject: "ada"}, &token.Token{Issuer: "https://as.example.com", Subject: "bob"}
	for name, tt := range map[string]struct {
		ctx  func() context.Context
		want string // empty for none
	}{
		"let in": {func() context.Context {
			ctx := inCaddy(t.Context())
			identity.Set(ctx, token.NewReader(ada))
			return ctx
		}, "ada"},
		"outside Caddy": {func() context.Context { return token.NewContext(t.Context(), bob) }, "bob"},
		"by the last door": {func() context.Context {
			ctx := inCaddy(t.Context())
			identity.Set(ctx, token.NewReader(bob))
			identity.Set(ctx, token.NewReader(ada))
			return ctx
		}, "ada"},
		"by the door, not by another handler": {func() context.Context {
			ctx := inCaddy(token.NewContext(t.Context(), bob))
			identity.Set(ctx, token.NewReader(ada))
			return ctx
		}, "ada"},

		"not let in": {func() context.Context { return inCaddy(t.Context()) }, ""},
		"no request": {t.Context, ""},
		"a text of that name": {func() context.Context {
			ctx := inCaddy(t.Context())
			caddyhttp.SetVar(ctx, "mcp_auth_token", "ada")
			return ctx
		}, ""},
		"another request": {func() context.Context {
			identity.Set(inCaddy(t.Context()), token.NewReader(ada))
			return inCaddy(t.Context())
		}, ""},
	} {
		got, ok := identity.FromContext(tt.ctx())
		if ok != (tt.want != "") || ok && got.Subject != tt.want {
			t.Errorf("%s: got %+v, %t, want %q", name, got, ok, tt.want)
		}
	}
}
