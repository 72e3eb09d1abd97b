package judge_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// selecting returns a selection of one claim, which counts how often it reads a token.
func selecting(claim string, reads *int) *token.Selection {
	return token.NewSelection(func(r *token.Reader) []string {
		*reads++
		return []string{r.Text(claim)}
	})
}

// What is selected from a token is read once, for as long as its verdict stands, and
// says the same each time.
func TestSelect(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	ada, bob := map[string]any{"aud": mcpResource, "email": "ada@example.com", "name": "Ada"}, map[string]any{"aud": mcpResource, "email": "bob@example.com", "name": "Bob"}
	for name, v := range map[string]struct {
		source source
		mint   func(map[string]any) string
	}{
		"jwt":      {newJWT(t, srv, nil, nil), func(claims map[string]any) string { return srv.Mint(claims) }},
		"userinfo": {newUserinfo(t, srv, nil), srv.Opaque},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache := newCache(t, judge.CacheConfig{})
			list := judge.Issuers{{Issuer: srv.Issuer(), Verifiers: []*judge.Verifier{cache.Cached(v.source.Source())}}}
			ofAda, ofBob := v.mint(ada), v.mint(bob)
			reads := 0
			email, named := selecting("email", &reads), selecting("name", &reads)
			expect := func(what, raw string, s *token.Selection, want string, read bool) {
				t.Helper()
				tok, err := list.Judge(t.Context(), raw)
				if err != nil {
					t.Fatal(err)
				}
				before := reads
				if got := token.NewReader(tok).Select(s); !slices.Equal(got, []string{want}) {
					t.Errorf("%s: got %q, want %q", what, got, want)
				}
				if got := reads > before; got != read {
					t.Errorf("%s: got read %t, want %t", what, got, read)
				}
			}
			for range 2 { // the first time, a JWT isn't remembered yet
				if _, err := list.Judge(t.Context(), ofAda); err != nil {
					t.Fatal(err)
				}
			}
			expect("first", ofAda, email, "ada@example.com", true)
			expect("again", ofAda, email, "ada@example.com", false)
			expect("another selection", ofAda, named, "Ada", true)
			expect("another selection, again", ofAda, named, "Ada", false)
			expect("the first selection after another", ofAda, email, "ada@example.com", true)
			if _, err := list.Judge(t.Context(), ofBob); err != nil {
				t.Fatal(err)
			}
			expect("another user", ofBob, email, "bob@example.com", true)
			expect("the first user", ofAda, email, "ada@example.com", false)
			cache.Forget()
			if _, err := list.Judge(t.Context(), ofAda); err != nil {
				t.Fatal(err)
			}
			expect("forgotten", ofAda, email, "ada@example.com", true)
		})
	}
}

// A large claim isn't kept beside the verdict.
func TestSelectLarge(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	list := judge.Issuers{{Issuer: srv.Issuer(), Verifiers: []*judge.Verifier{newCache(t, judge.CacheConfig{}).Cached(newJWT(t, srv, nil, nil).Source())}}}
	for _, tc := range []struct {
		size, want int
	}{{1 << 10, 1}, {1<<10 + 1, 3}} {
		text := strings.Repeat("x", tc.size)
		raw, reads := srv.Mint(map[string]any{"aud": mcpResource, "note": text}), 0
		s := selecting("note", &reads)
		if _, err := list.Judge(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			tok, err := list.Judge(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := token.NewReader(tok).Select(s); !slices.Equal(got, []string{text}) {
				t.Errorf("%d bytes: got %d texts, of %d bytes", tc.size, len(got), len(got[0]))
			}
		}
		if reads != tc.want {
			t.Errorf("%d bytes: read %d times, want %d", tc.size, reads, tc.want)
		}
	}
}
