package token_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// keysFunc is a [keys.Source] made of a function.
type keysFunc func(ctx context.Context, since time.Time) (*keys.Set, error)

func (f keysFunc) KeySet(ctx context.Context, since time.Time) (*keys.Set, error) {
	return f(ctx, since)
}

func published(t *testing.T, srv *oauthtest.Server) *keys.Set {
	t.Helper()
	set, err := keys.ParseSet(srv.JWKSDocument())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// What happens when the keys at hand don't fit, for each answer of the issuer.
func TestSecondLook(t *testing.T) {
	t.Parallel()
	type issuer int
	const (
		unchanged issuer = iota // the same keys as at first
		rotated                 // other keys, the token's among them
		replaced                // other keys, but not the token's
		away                    // can't be asked
	)
	tests := []struct {
		name   string
		token  string // whose key signed: "kept", "other kid", "same kid", "no kid"
		issuer issuer
		want   string
		asked  int // how often the keys as of now were asked for
	}{
		{"a key at hand", "kept", away, "verified", 0},
		{"unknown kid, keys unchanged", "other kid", unchanged, "unknown_key", 1},
		{"unknown kid, rotated", "other kid", rotated, "verified", 1},
		{"unknown kid, others' keys", "other kid", replaced, "unknown_key", 1},
		{"unknown kid, issuer away", "other kid", away, "unavailable", 1},
		{"bad signature, keys unchanged", "same kid", unchanged, "bad_signature", 1},
		{"new key under the old kid", "same kid", rotated, "verified", 1},
		{"bad signature, key withdrawn", "same kid", replaced, "unknown_key", 1},
		// The key of this kid is known and it isn't the one.
		{"bad signature, issuer away", "same kid", away, "bad_signature", 1},
		{"no kid, keys unchanged", "no kid", unchanged, "bad_signature", 1},
		{"no kid, rotated", "no kid", rotated, "verified", 1},
		// Without a kid nothing says that the key is one of those at hand.
		{"no kid, issuer away", "no kid", away, "unavailable", 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
			old := srv.CurrentKey()
			first := published(t, srv)
			var raw string
			switch tc.token {
			case "kept":
				raw = srv.Mint(nil)
			case "other kid":
				raw = srv.Mint(nil, oauthtest.WithKey(srv.Rotate(false)))
			case "same kid":
				raw = srv.Mint(nil, oauthtest.WithKey(srv.ReplaceKey(old.ID)))
			case "no kid":
				raw = srv.Mint(nil, oauthtest.WithKey(srv.Rotate(false)), oauthtest.WithHeader("kid", oauthtest.Absent))
			}
			second := map[issuer]*keys.Set{unchanged: first, rotated: published(t, srv)}
			srv.Rotate(false)
			second[replaced] = published(t, srv)

			asked := 0
			before := time.Now()
			keys := keysFunc(func(_ context.Context, since time.Time) (*keys.Set, error) {
				if since.IsZero() {
					return first, nil
				}
				asked++
				if since.Before(before) || since.After(time.Now()) {
					t.Errorf("got keys asked for as of %v, want as of now", since)
				}
				if tc.issuer == away {
					return nil, &token.UnavailableError{Err: errors.New("away")}
				}
				return second[tc.issuer], nil
			})
			v, err := token.NewJWT(token.JWTConfig{Issuer: srv.Issuer(), Keys: keys, Audience: []string{mcpResource}})
			if err != nil {
				t.Fatal(err)
			}
			tok, err := judge(t.Context(), v, raw)
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
			if asked != tc.asked {
				t.Errorf("got %d looks at the keys as of now, want %d", asked, tc.asked)
			}
		})
	}
}

func TestNoKeysAtAll(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	srv.SetFault(oauthtest.JWKS, oauthtest.Status(500))
	v := newJWT(t, srv, nil, nil)
	for name, raw := range map[string]string{
		"good":        srv.Mint(nil),
		"unknown kid": srv.Mint(nil, oauthtest.WithHeader("kid", "unknown")),
	} {
		tok, err := judge(t.Context(), v, raw)
		if got, want := outcome(tok, err), "unavailable"; got != want {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, want)
		}
	}
	if got, want := outcome(judge(t.Context(), v, srv.Mint(map[string]any{"exp": 1}))), "expired"; got != want {
		t.Errorf("expired: got %s, want %s, whatever the keys", got, want)
	}
}

// Over HTTP: the issuer's keys change, and the front door notices.
func TestRotation(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now, Algorithm: "ES256"})
	v := newJWT(t, srv, c.Now, nil)
	check := func(step, raw, want string) {
		t.Helper()
		tok, err := judge(t.Context(), v, raw)
		if got := outcome(tok, err); got != want {
			t.Errorf("%s: got %s (%v), want %s", step, got, err, want)
		}
	}
	check("first key", srv.Mint(nil), "verified")

	c.Advance(2 * time.Second)
	old := srv.CurrentKey()
	srv.Rotate(true)
	check("new key beside the old one", srv.Mint(nil), "verified")
	check("old key still published", srv.Mint(nil, oauthtest.WithKey(old)), "verified")

	c.Advance(2 * time.Second)
	kid := srv.CurrentKey().ID
	stolen := srv.CurrentKey()
	srv.ReplaceKey(kid)
	check("new key under the old kid", srv.Mint(nil), "verified")
	check("the key that was replaced", srv.Mint(nil, oauthtest.WithKey(stolen)), "bad_signature")

	c.Advance(2 * time.Second)
	srv.Rotate(false)
	check("new key instead of all others", srv.Mint(nil), "verified")
	check("removed key", srv.Mint(nil, oauthtest.WithKey(old)), "unknown_key")
	if got, want := srv.Count(oauthtest.JWKS), 4; got != want {
		t.Errorf("got %d fetches of the key set, want %d", got, want)
	}
}

// A kid that several keys have is tried on all of them, as far as their
// algorithm fits, but not without bound.
func TestKeySetTrials(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		before int // keys published before the one that signed
		kid    any
		want   string
	}{
		{"two keys of one kid", 1, "same", "verified"},
		{"eight keys of one kid", 7, "same", "verified"},
		{"nine keys of one kid", 8, "same", "bad_signature"},
		{"two keys, no kid", 1, oauthtest.Absent, "verified"},
		{"nine keys, no kid", 8, oauthtest.Absent, "bad_signature"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := testkit.NewClock()
			srv := oauthtest.New(t, oauthtest.Options{Now: c.Now, Algorithm: "ES256"})
			srv.RemoveKey(srv.CurrentKey().ID)
			for range 10 { // of other kinds: they don't count
				srv.AddKey("EdDSA", "same")
			}
			for range tc.before {
				srv.AddKey("ES256", "same")
			}
			raw := srv.Mint(nil, oauthtest.WithKey(srv.AddKey("ES256", "same")), oauthtest.WithHeader("kid", tc.kid))
			tok, err := judge(t.Context(), newJWT(t, srv, c.Now, nil), raw)
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
		})
	}
}

// A published key without alg serves every algorithm of its kind, one with alg
// that one only.
func TestKeySetAlgorithmOfKey(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	free, bound := srv.NewKey("RS256", "free"), srv.NewKey("RS256", "bound")
	anyAlgorithm := free.JWK()
	delete(anyAlgorithm, "alg")
	srv.AddJWK(anyAlgorithm)
	srv.AddJWK(bound.JWK())
	v := newJWT(t, srv, c.Now, nil)
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		for _, k := range []*oauthtest.Key{free, bound} {
			want := "verified"
			if k == bound && alg != k.Algorithm {
				want = "unknown_key"
			}
			raw := srv.Mint(nil, oauthtest.WithKey(k), oauthtest.WithAlgorithm(alg))
			if got := outcome(judge(t.Context(), v, raw)); got != want {
				t.Errorf("%s by the %s key: got %s, want %s", alg, k.ID, got, want)
			}
		}
	}
}
