package judge_test

import (
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// A reader says what the token itself says, of one seen for the first time as of
// one that was remembered.
func TestReader(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	claims := map[string]any{
		"aud": mcpResource, "email": "ada@example.com", "groups": []string{"a", "b"}, "azp": nil, "client_id": "ide",
		"address": map[string]any{"country": "GB"}, "scope": "read write", "name": "Ada \"é\" {env.X}",
	}
	for name, v := range map[string]struct {
		source source
		raw    string
	}{
		"jwt":      {newJWT(t, srv, nil, nil), srv.Mint(claims)},
		"userinfo": {newUserinfo(t, srv, nil), srv.Opaque(claims)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := judge.Issuers{{Issuer: srv.Issuer(), Verifiers: []*judge.Verifier{newCache(t, judge.CacheConfig{}).Cached(v.source.Source())}}}
			var first map[string]string
			for sight := range 2 {
				tok, err := list.Judge(t.Context(), v.raw)
				if err != nil {
					t.Fatal(err)
				}
				r := token.NewReader(tok)
				var wg sync.WaitGroup
				for range 4 { // a request's handlers may ask at the same time
					wg.Go(func() { r.Text("email"); r.Token() })
				}
				wg.Wait()
				got := map[string]string{"client": r.Token().ClientID, "type": r.Token().Type.String(), "subject": r.Judged().Subject}
				for _, claim := range []string{"email", "groups", "address.country", "address", "name", "azp", "missing"} {
					got[claim] = r.Text(claim)
					if want := tok.ClaimText(claim); got[claim] != want {
						t.Errorf("%s: got %q, want %q", claim, got[claim], want)
					}
				}
				if got["email"] != "ada@example.com" || got["address.country"] != "GB" || got["azp"] != "" {
					t.Errorf("got %v", got)
				}
				full := tok.Full()
				if r.Token().ClientID != full.ClientID || !slices.Equal(r.Token().Audience, full.Audience) || !r.Token().Expiry.Equal(full.Expiry) {
					t.Errorf("got %+v, want %+v", r.Token(), full)
				}
				if sight == 0 {
					first = got
				} else if !maps.Equal(got, first) {
					t.Errorf("remembered: got %v, want %v", got, first)
				}
			}
		})
	}
}

// A request's claims are read once, however many headers are made of them.
func TestReaderReadsOnce(t *testing.T) {
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	list := judge.Issuers{{Issuer: srv.Issuer(), Verifiers: []*judge.Verifier{newCache(t, judge.CacheConfig{}).Cached(newJWT(t, srv, nil, nil).Source())}}}
	raw := srv.Mint(nil)
	if _, err := list.Judge(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	measure := func(claims int) float64 {
		return testing.AllocsPerRun(100, func() {
			tok, _ := list.Judge(t.Context(), raw)
			r := token.NewReader(tok)
			for range claims {
				r.Text("iat")
				r.Token()
			}
		})
	}
	one, ten := measure(1), measure(10)
	t.Logf("%.0f allocations for one claim, %.0f for ten", one, ten)
	if perClaim := (ten - one) / 9; perClaim > 3 {
		t.Errorf("each further claim costs %.1f allocations: the token is read again", perClaim)
	}
}

// A request with a token that is known costs one allocation: the token.
func TestHitAllocates(t *testing.T) {
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	for name, v := range map[string]struct {
		source source
		raw    string
	}{
		"jwt":    {newJWT(t, srv, nil, nil), srv.Mint(nil)},
		"opaque": {newUserinfo(t, srv, nil), srv.Opaque(nil)},
	} {
		list := judge.Issuers{{Issuer: srv.Issuer(), Verifiers: []*judge.Verifier{newCache(t, judge.CacheConfig{}).Cached(v.source.Source())}}}
		ctx := t.Context()
		if _, err := list.JudgeFor(ctx, v.raw, ""); err != nil {
			t.Fatal(err)
		}
		if got := testing.AllocsPerRun(100, func() { _, _ = list.JudgeFor(ctx, v.raw, "") }); got > 1 {
			t.Errorf("%s: got %.0f allocations, want 1", name, got)
		}
	}
}
