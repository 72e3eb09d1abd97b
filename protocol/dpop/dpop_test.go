package dpop_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
)

const (
	method   = "POST"
	resource = "https://mcp.example.com/mcp"
	token    = "an-access-token"
)

// The proofs are those of RFC 9449, sections 5 and 7.1.
func TestExamplesOfTheRFC(t *testing.T) {
	t.Parallel()
	const header = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
	const key = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	p, err := dpop.Check(
		header+".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg",
		dpop.Request{Method: "POST", URL: "https://server.example.com/token"}, time.Unix(1562262616, 0))
	if err != nil {
		t.Fatalf("token request: %v", err)
	}
	if got := p.Thumbprint(); got != key {
		t.Errorf("got the thumbprint %s, want %s", got, key)
	}
	_, err = dpop.Check(
		header+".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA",
		dpop.Request{
			Method: "GET", URL: "https://resource.example.org/protectedresource",
			Token: "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", Thumbprint: key,
		}, time.Unix(1562262618, 0))
	if err != nil {
		t.Errorf("resource request: %v", err)
	}
}

// newProver returns a client with a key for alg, and its clock.
func newProver(t testing.TB, alg string) (*oauthtest.Server, *oauthtest.Prover, *testkit.Clock) {
	t.Helper()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now, Algorithm: "ES256"})
	return srv, srv.NewProver(alg), c
}

func request(p *oauthtest.Prover) dpop.Request {
	return dpop.Request{Method: method, URL: resource, Token: token, Thumbprint: p.Thumbprint()}
}

func TestHostileProofsRefused(t *testing.T) {
	t.Parallel()
	srv, p, c := newProver(t, "ES256")
	cases := oauthtest.HostileProofs(srv, p, method, resource, token)
	if len(cases) < 200 {
		t.Errorf("got %d hostile proofs, want hundreds", len(cases))
	}
	for _, tc := range cases {
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			got, err := dpop.Check(tc.Token, request(p), c.Now())
			refused, ok := errors.AsType[*dpop.Error](err)
			if got != nil || !ok {
				t.Fatalf("got %v (%v), want an *Error: %s", got, err, tc.Want)
			}
			if signature := strings.HasPrefix(tc.Name, "signature"); signature && refused.Rule != dpop.RuleSignature {
				t.Errorf("got %v, want the signature refused", err)
			}
			for part := range strings.SplitSeq(tc.Token, ".") {
				if len(part) >= 8 && strings.Contains(err.Error(), part) {
					t.Errorf("error %q contains a part of the proof", err)
				}
			}
		})
	}
	if _, err := dpop.Check(p.Prove(method, resource, token, nil), request(p), c.Now()); err != nil {
		t.Errorf("a good proof after all the hostile ones: %v", err)
	}
}

// Each proof breaks one rule, and is refused for that one.
func TestRules(t *testing.T) {
	t.Parallel()
	srv, p, c := newProver(t, "ES256")
	other := srv.NewProver("ES256")
	prove := func(claims map[string]any, opts ...oauthtest.MintOption) string {
		return p.Prove(method, resource, token, claims, opts...)
	}
	for _, tc := range []struct {
		name, proof string
		want        dpop.Rule
	}{
		{"form", "x", dpop.RuleForm},
		{"typ", prove(nil, oauthtest.WithHeader("typ", "jwt")), dpop.RuleType},
		{"alg", prove(nil, oauthtest.WithHeader("alg", "none")), dpop.RuleAlgorithm},
		{"no key", prove(nil, oauthtest.WithHeader("jwk", oauthtest.Absent)), dpop.RuleKey},
		{"private key", prove(nil, oauthtest.WithHeader("jwk", p.Key.PrivateJWK())), dpop.RuleKey},
		{"htm", prove(map[string]any{"htm": "GET"}), dpop.RuleMethod},
		{"no htm", prove(map[string]any{"htm": oauthtest.Absent}), dpop.RuleMethod},
		{"htu", prove(map[string]any{"htu": "https://other.example.com/mcp"}), dpop.RuleURL},
		{"no htu", prove(map[string]any{"htu": oauthtest.Absent}), dpop.RuleURL},
		{"old", prove(map[string]any{"iat": c.Now().Add(-303 * time.Second).Unix()}), dpop.RuleTime},
		{"ahead", prove(map[string]any{"iat": c.Now().Add(303 * time.Second).Unix()}), dpop.RuleTime},
		{"no iat", prove(map[string]any{"iat": oauthtest.Absent}), dpop.RuleTime},
		{"ath", prove(map[string]any{"ath": "x"}), dpop.RuleToken},
		{"no ath", prove(map[string]any{"ath": oauthtest.Absent}), dpop.RuleToken},
		{"no jti", prove(map[string]any{"jti": oauthtest.Absent}), dpop.RuleOnce},
		{"another key", other.Prove(method, resource, token, nil), dpop.RuleBinding},
		{"signature", prove(nil, oauthtest.WithSignature(func(s []byte) []byte { s[0] ^= 1; return s })), dpop.RuleSignature},
	} {
		_, err := dpop.Check(tc.proof, request(p), c.Now())
		if refused, ok := errors.AsType[*dpop.Error](err); !ok || refused.Rule != tc.want {
			t.Errorf("%s: got %v, want %s", tc.name, err, tc.want)
		}
	}
}

func TestGoodProofs(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			_, p, c := newProver(t, alg)
			for name, claims := range map[string]map[string]any{
				"as usual":                 nil,
				"five minutes old":         {"iat": c.Now().Add(-dpop.Window).Unix()},
				"five minutes ahead":       {"iat": c.Now().Add(dpop.Window).Unix()},
				"a fraction of a second":   {"iat": float64(c.Now().Unix()) + 0.25},
				"not expired":              {"exp": c.Now().Add(time.Minute).Unix()},
				"further claims":           {"x": []int{1}, "sub": "client"},
				"a nonce nobody asked for": {"nonce": "x"},
				"htu with a query":         {"htu": resource + "?a=b"},
				"htu with a fragment":      {"htu": resource + "#a"},
				"htu with the port":        {"htu": "https://mcp.example.com:443/mcp"},
				"htu in capitals":          {"htu": "HTTPS://MCP.Example.COM/mcp"},
				"htu with escapes":         {"htu": "https://mcp.example.com/%6dc%70"},
				"htu with dots":            {"htu": "https://mcp.example.com/a/./../mcp"},
			} {
				proof, err := dpop.Check(p.Prove(method, resource, token, claims), request(p), c.Now())
				if err != nil {
					t.Errorf("%s: %v", name, err)
				} else if got, want := proof.Thumbprint(), p.Thumbprint(); got != want {
					t.Errorf("%s: got the thumbprint %s, want %s", name, got, want)
				}
			}
		})
	}
}

// Addresses that only look different are the same, and only those.
func TestURLs(t *testing.T) {
	t.Parallel()
	_, p, c := newProver(t, "ES256")
	for _, tc := range []struct {
		htu, address string
		same         bool
	}{
		{"https://a.example/", "https://a.example/", true},
		{"https://a.example", "https://a.example/", true},
		{"https://a.example?x=/mcp", "https://a.example/", true},
		{"http://localhost:80/mcp", "http://localhost/mcp", true},
		{"http://[::1]:8080/mcp", "http://[::1]:8080/mcp", true},
		{"https://a.example/%7Euser/%e2%82%ac", "https://a.example/~user/%E2%82%AC", true},
		{"https://a.example/a%2fb", "https://a.example/a%2Fb", true},
		{"https://a.example/mcp/..", "https://a.example/", true},
		{"https://a.example/../mcp", "https://a.example/mcp", true},
		{"https://a.example/a/.", "https://a.example/a/", true},
		{"https://a.example/mcp", "https://a.example/mcp/", false},
		{"https://a.example/a%2Fb", "https://a.example/a/b", false},
		{"https://a.example/a//b", "https://a.example/a/b", false},
		{"https://a.example/MCP", "https://a.example/mcp", false},
		{"https://a.example:8443/mcp", "https://a.example/mcp", false},
		{"https://a.example:80/mcp", "http://a.example/mcp", false},
		{"https://a.example./mcp", "https://a.example/mcp", false},
		{"https://a.example/a%252Fb", "https://a.example/a%2Fb", false},
		{"https://a.example/.mcp", "https://a.example/mcp", false},
		{"ftp://a.example/mcp", "https://a.example/mcp", false},
	} {
		_, err := dpop.Check(p.Prove(method, tc.htu, "", nil), dpop.Request{Method: method, URL: tc.address}, c.Now())
		if got := err == nil; got != tc.same {
			t.Errorf("%s and %s: got %v, want the same %t", tc.htu, tc.address, err, tc.same)
		}
	}
}

// Without a token, as at a token endpoint, any key will do, and ath says nothing.
func TestWithoutToken(t *testing.T) {
	t.Parallel()
	_, p, c := newProver(t, "ES256")
	for name, proof := range map[string]string{
		"no ath": p.Prove(method, resource, "", nil),
		"an ath": p.Prove(method, resource, token, nil),
	} {
		if _, err := dpop.Check(proof, dpop.Request{Method: method, URL: resource}, c.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	srv, p, c := newProver(f, "ES256")
	for _, tc := range oauthtest.HostileProofs(srv, p, method, resource, token) {
		f.Add(tc.Token)
	}
	good := p.Prove(method, resource, token, nil)
	f.Add(good)
	parts := strings.Split(good, ".")
	f.Fuzz(func(t *testing.T, raw string) {
		proof, err := dpop.Check(raw, request(p), c.Now())
		if err != nil {
			if _, ok := errors.AsType[*dpop.Error](err); !ok || proof != nil {
				t.Fatalf("got %v, %v, want an *Error alone", proof, err)
			}
			return
		}
		// Only the holder of the key can make one: nothing of what is signed has changed.
		if got := strings.Split(raw, "."); got[0] != parts[0] || got[1] != parts[1] {
			t.Fatalf("accepted %q, which the key's holder didn't sign", raw)
		}
	})
}
