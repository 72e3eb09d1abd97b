package judge_test

import (
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// A token that is forgotten by one of its spellings is forgotten in all.
func TestForgetEverySpelling(t *testing.T) {
	t.Parallel()
	for name, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := oauthtest.New(t, oauthtest.Options{Algorithm: name})
			raw := srv.Mint(nil)
			other := otherForm(t, raw, curve)
			for what, presented := range map[string][]string{"itself": {raw}, "the other": {other}, "both": {raw, other}} {
				v := &countedJWT{JWT: newJWT(t, srv, nil, nil)}
				c := newCache(t, judge.CacheConfig{})
				for range 2 {
					for _, spelling := range presented {
						checkOutcome(t, what, c.Cached(v.Source()), spelling, "verified")
					}
				}
				checkCalls(t, what, &v.calls, int64(len(presented)))
				if n := c.ForgetToken(sha256.Sum256([]byte(raw))); n != len(presented) {
					t.Errorf("presented as %s: %d verdicts were forgotten, want %d", what, n, len(presented))
				}
				if n := c.Forget(); n != 0 {
					t.Errorf("presented as %s: %d verdicts are left", what, n)
				}
			}
			// Another token's verdict stays.
			c := newCache(t, judge.CacheConfig{})
			checkOutcome(t, "another", c.Cached(newJWT(t, srv, nil, nil).Source()), srv.Mint(nil), "verified")
			if n := c.ForgetToken(sha256.Sum256([]byte(raw))); n != 0 {
				t.Errorf("%d verdicts on another token were forgotten", n)
			}
		})
	}
	t.Run("opaque", func(t *testing.T) {
		t.Parallel()
		all := []string{"b3BhcXVl", "b3BhcXVl=", "b3BhcXVl=="}
		for _, presented := range all {
			for _, known := range all {
				c := newCache(t, judge.CacheConfig{})
				_, _ = verify(t.Context(), c.Cached(failing(&token.InvalidError{Reason: token.Inactive}).Source()), "b3BhcXVm")
				_, _ = verify(t.Context(), c.Cached(vouching(testkit.NewClock().Now().AddDate(100, 0, 0)).Source()), presented)
				if n := c.ForgetToken(sha256.Sum256([]byte(known))); n != 1 {
					t.Errorf("presented as %q, forgotten as %q: %d verdicts, want one", presented, known, n)
				}
			}
		}
	})
}

// Every way to write a token differently is another token, whose signature is
// checked again, or refused. None is accepted because of the first.
func TestOtherSpellings(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"ES256", "RS256", "PS256", "EdDSA"} {
		srv := oauthtest.New(t, oauthtest.Options{Algorithm: algorithm})
		v := newCache(t, judge.CacheConfig{}).Cached(newJWT(t, srv, nil, nil).Source())
		raw := srv.Mint(nil)
		checkOutcome(t, algorithm, v, raw, "verified")
		header, rest, _ := strings.Cut(raw, ".")
		payload, signature, _ := strings.Cut(rest, ".")
		last := func(s string) string { // the same bytes, other bits after them
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])|1])
		}
		standard := strings.NewReplacer("-", "+", "_", "/").Replace
		for name, spelling := range map[string]string{
			"padding":                   raw + "=",
			"padding of two":            raw + "==",
			"padding of three":          raw + "===",
			"padded header":             header + "=." + payload + "." + signature,
			"padded payload":            header + "." + payload + "=." + signature,
			"line break":                raw + "\n",
			"line break in a part":      raw[:len(raw)-4] + "\n" + raw[len(raw)-4:],
			"carriage return":           raw + "\r",
			"blank":                     raw + " ",
			"blank before":              " " + raw,
			"stray bits of a signature": header + "." + payload + "." + last(signature),
			"the standard alphabet":     header + "." + payload + "." + standard(signature),
			"no signature":              header + "." + payload + ".",
			"a dot more":                raw + ".",
			"a part more":               raw + ".x",
		} {
			if spelling == raw || spelling == header+"."+payload+"."+signature {
				continue // where there are no stray bits, or no such letters
			}
			if tok, err := verify(t.Context(), v, spelling); tok != nil || outcome(tok, err) == "verified" {
				t.Errorf("%s, %s: verified", algorithm, name)
			}
		}
	}
}

// otherForm returns the JWT with the other form of its ECDSA signature.
func otherForm(t *testing.T, raw string, curve elliptic.Curve) string {
	t.Helper()
	dot := strings.LastIndexByte(raw, '.')
	signature, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	half := len(signature) / 2
	s := new(big.Int).SetBytes(signature[half:])
	s.Sub(curve.Params().N, s).FillBytes(signature[half:])
	return raw[:dot+1] + base64.RawURLEncoding.EncodeToString(signature)
}
