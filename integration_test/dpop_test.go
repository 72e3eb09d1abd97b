package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// dpopCheck is a line that dpop.mjs prints.
type dpopCheck struct {
	Name, Challenge, Nonce string
	Status                 int
}

// dpopChecks are the answers to the requests of dpop.mjs, in words: the status, and the
// error in the DPoP challenge.
var dpopChecks = map[string]string{
	"no token":             "401 ",
	"valid":                "200",
	"used again":           "401 invalid_dpop_proof",
	"another valid":        "200",
	"four minutes old":     "200",
	"plain, Bearer":        "200",
	"plain, DPoP":          "401 invalid_token",
	"bound, Bearer":        "401 ", // the error is in the Bearer challenge
	"tampered signature":   "401 invalid_dpop_proof",
	"missing jti":          "401 invalid_dpop_proof",
	"missing htm":          "401 invalid_dpop_proof",
	"missing htu":          "401 invalid_dpop_proof",
	"missing iat":          "401 invalid_dpop_proof",
	"missing jwk":          "401 invalid_dpop_proof",
	"missing ath":          "401 invalid_dpop_proof",
	"wrong typ":            "401 invalid_dpop_proof",
	"wrong htu":            "401 invalid_dpop_proof",
	"wrong htm":            "401 invalid_dpop_proof",
	"wrong ath":            "401 invalid_dpop_proof",
	"ath of another token": "401 invalid_dpop_proof",
	"private key in jwk":   "401 invalid_dpop_proof",
	"two headers":          "401 invalid_dpop_proof",
	"no header":            "401 invalid_dpop_proof",
	"malformed":            "401 invalid_dpop_proof",
	"another key":          "401 invalid_token",
	"iat 303 s old":        "401 invalid_dpop_proof",
	"iat 303 s ahead":      "401 invalid_dpop_proof",
	"alg none":             "401 invalid_dpop_proof",
	"alg symmetric":        "401 invalid_dpop_proof",
	"wrong audience":       "401 invalid_token",
	"nonce: none":          "200",
	"nonce: the server's":  "200",
	"nonce: another":       "200",
}

// The checks of the conformance suite's scenario for servers (SEP-1932), with proofs
// that another implementation has made.
func TestDPoPConformance(t *testing.T) {
	t.Parallel()
	needNode(t)
	issuer := startFakeIssuer(t)
	p, other := issuer.NewProver("ES256"), issuer.NewProver("ES256")
	c := startCaddy(t, issuer.fill("mcp_auth /mcp* SITE/mcp {\n\tissuer ISSUER\n\tdpop accepted\n}\nhandle /mcp* {\n\tmcp_whoami\n}"))
	for _, tc := range []struct {
		options string
		differs map[string]string
	}{
		{"dpop accepted", nil},
		{"dpop required", map[string]string{"plain, Bearer": "401 "}},
	} {
		c.reload(issuer.fill("mcp_auth /mcp* SITE/mcp {\n\tissuer ISSUER\n\t" + tc.options + "\n}\nhandle /mcp* {\n\tmcp_whoami\n}"))
		key := p.Key.PrivateJWK()
		delete(key, "use")
		lines := c.dpop(t, map[string]any{
			"url":       c.URL + "/mcp",
			"key":       key,
			"token":     issuer.token(c, p.Bound()),
			"foreign":   issuer.token(c, other.Bound()),
			"elsewhere": issuer.token(c, map[string]any{"cnf": p.Bound()["cnf"], "aud": "https://not-this-server.example.com/mcp"}),
			"plain":     issuer.token(c, nil),
		})
		if len(lines) != len(dpopChecks) {
			t.Errorf("%s: got %d checks, want %d", tc.options, len(lines), len(dpopChecks))
		}
		for _, line := range lines {
			want, differs := tc.differs[line.Name]
			if !differs {
				want = dpopChecks[line.Name]
			}
			if got := line.outcome(t); got != want {
				t.Errorf("%s: %s: got %s, want %s; %q", tc.options, line.Name, got, want, line.Challenge)
			}
		}
	}
	c.logs("dpop_proof")
}

// With nonce, nothing passes without the server's.
func TestDPoPNonce(t *testing.T) {
	t.Parallel()
	needNode(t)
	issuer := startFakeIssuer(t)
	p := issuer.NewProver("ES256")
	c := startCaddy(t, issuer.fill("mcp_auth /mcp* SITE/mcp {\n\tissuer ISSUER\n\tdpop accepted {\n\t\tnonce\n\t}\n}\nhandle /mcp* {\n\tmcp_whoami\n}"))
	bound := issuer.token(c, p.Bound())
	lines := c.dpop(t, map[string]any{"url": c.URL + "/mcp", "key": p.Key.PrivateJWK(), "token": bound, "foreign": bound, "elsewhere": bound, "plain": issuer.token(c, nil)})
	want := map[string]string{
		"valid": "401 use_dpop_nonce", "another valid": "401 use_dpop_nonce", "plain, Bearer": "200", "malformed": "401 invalid_dpop_proof",
		"nonce: none": "401 use_dpop_nonce", "nonce: the server's": "200", "nonce: another": "401 use_dpop_nonce",
	}
	for _, line := range lines {
		if want, ok := want[line.Name]; ok && line.outcome(t) != want {
			t.Errorf("%s: got %s, want %s; %q", line.Name, line.outcome(t), want, line.Challenge)
		}
		if asked := strings.Contains(line.Challenge, "use_dpop_nonce"); asked != (line.Nonce != "") {
			t.Errorf("%s: got the nonce %q with %q", line.Name, line.Nonce, line.Challenge)
		}
	}
}

// dpop runs dpop.mjs.
func (c *caddyServer) dpop(t *testing.T, config map[string]any) []dpopCheck {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	out := output(t, node(ctx, c.CA, "dpop.mjs", mustJSON(t, config)))
	var lines []dpopCheck
	for line := range bytes.Lines(out) {
		var check dpopCheck
		if err := json.Unmarshal(line, &check); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, check)
	}
	return lines
}

// outcome returns the status, and the error in the DPoP challenge, which must be there
// after a Bearer challenge.
func (check dpopCheck) outcome(t *testing.T) string {
	t.Helper()
	if check.Status == 200 {
		return "200"
	}
	bearer, proof, ok := strings.Cut(check.Challenge, ", DPoP ")
	if !ok || !strings.HasPrefix(bearer, "Bearer ") || !strings.Contains(proof, `algs="`) {
		t.Errorf("%s: got the challenge %q, want Bearer's and DPoP's", check.Name, check.Challenge)
	}
	_, code, _ := strings.Cut(proof, `error="`)
	code, _, _ = strings.Cut(code, `"`)
	return fmt.Sprintf("%d %s", check.Status, code)
}

// The authorization server in the same Caddy binds tokens, and the front door takes
// them: with a proof, and with nothing else. Both ask for nonces of their own.
func TestEmbeddedServerBindsTokens(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startEmbedded(t, embedded)
	for _, options := range []string{"dpop accepted", "dpop required", "dpop required {\n\t\t\tnonce\n\t\t}"} {
		site := strings.Replace(embedded, "\t\tclients {", "\t\t"+options+"\n\t\tclients {", 1)
		site = strings.Replace(site, "\t\tissuer SITE\n", "\t\tissuer SITE\n\t\t"+options+"\n", 1)
		c.reload(strings.ReplaceAll(site, "CAFILE", c.CA))
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		defer cancel()
		for args, tokenType := range map[string]string{"--dpop": "DPoP", "": "Bearer"} {
			if args == "" && options != "dpop accepted" {
				continue
			}
			cmd := node(ctx, c.CA, "client-v2.mjs", append(strings.Fields(args), c.URL+"/mcp")...)
			cmd.Env = append(cmd.Env, "BROWSER_USER=demo")
			var line clientLine
			if err := json.Unmarshal(output(t, cmd), &line); err != nil {
				t.Fatal(err)
			}
			who := toolText(t, line.Result)
			if who["sub"] != "demo" || line.TokenType != tokenType || (who["cnf"] != nil) != (tokenType == "DPoP") {
				t.Errorf("%s, %q: whoami says %v with a token of type %q, want demo and %s", options, args, who, line.TokenType, tokenType)
			}
		}
	}
	machine := url.Values{"grant_type": {"client_credentials"}, "client_id": {"machine"}, "client_secret": {"machine-secret-0123"}, "resource": {c.URL + "/mcp"}}
	got := c.do("POST", "/oauth/token", machine.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if got.status != 400 || !strings.Contains(got.body, "invalid_dpop_proof") {
		t.Errorf("a machine without a proof: got %d %s", got.status, got.body)
	}
}

// Version 2 of the TypeScript SDK signs in at oidc-provider, which binds its tokens,
// signed or opaque, and calls with a proof.
func TestDPoPClientsSignIn(t *testing.T) {
	t.Parallel()
	needNode(t)
	for _, tc := range []struct{ format, verifier string }{
		{"jwt", "jwt"},
		{"opaque", "introspection {\n\t\t\tclient_id front-door\n\t\t\tclient_secret secret\n\t\t}"},
	} {
		t.Run(tc.format, func(t *testing.T) {
			c := startCaddy(t, "respond 503")
			resource := c.URL + "/mcp"
			as := startAuthServer(t, c.CA, map[string]any{
				"resources": map[string]any{resource: map[string]any{"scopes": []string{"mcp:tools"}, "format": tc.format}},
				"clients":   []any{map[string]any{"client_id": "front-door", "client_secret": "secret"}},
			})
			for _, options := range []string{"dpop accepted", "dpop required", "dpop required {\n\t\tnonce\n\t}"} {
				c.reload(withIssuer("mcp_auth /mcp* SITE/mcp {\n\tissuer ISSUER {\n\t\t"+tc.verifier+"\n\t}\n\tscopes mcp:tools\n\t"+options+"\n}\nhandle /mcp* {\n\tmcp_whoami\n}", as))
				ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
				defer cancel()
				cmd := node(ctx, c.CA, "client-v2.mjs", resource, "--dpop")
				cmd.Env = append(cmd.Env, "BROWSER_USER=ada")
				var line clientLine
				if err := json.Unmarshal(output(t, cmd), &line); err != nil {
					t.Fatal(err)
				}
				who := toolText(t, line.Result)
				if who["sub"] != "ada" || line.TokenType != "DPoP" || line.Authorizations != 1 {
					t.Errorf("%s: whoami says %v with a token of type %q after %d questions, want ada, DPoP and one", options, who, line.TokenType, line.Authorizations)
				}
			}
		})
	}
}
