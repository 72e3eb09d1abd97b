package judge_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Strangers whose tokens name unknown keys don't shut out those whose JWTs are to
// be confirmed.
func TestConfirmedJWTAndStrangers(t *testing.T) {
	t.Parallel()
	clk := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256", Now: clk.Now, ClientSecret: "secret"})
	v, err := token.NewIntrospection(token.IntrospectionConfig{
		Issuer:   srv.Issuer(),
		Endpoint: func(context.Context) (string, error) { return srv.Endpoint(oauthtest.Introspection), nil },
		Auth:     token.ClientSecretBasic("front-door", "secret"),
		Audience: []string{mcpResource},
		JWT:      newJWT(t, srv, clk.Now, nil),
		Now:      clk.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	cached := newCache(t, judge.CacheConfig{Now: clk.Now}).Cached(v.Source())
	checkOutcome(t, "before", cached, srv.Mint(nil), "verified")
	clk.Advance(10 * time.Second)
	srv.SetFault(oauthtest.JWKS, oauthtest.Status(500))
	for i := range 10 {
		checkOutcome(t, "unknown kid", cached, srv.Mint(nil, oauthtest.WithHeader("kid", strconv.Itoa(i))), "unavailable")
	}
	checkOutcome(t, "afterwards", cached, srv.Mint(nil), "verified")
}
