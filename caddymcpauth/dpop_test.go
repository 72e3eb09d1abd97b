package caddymcpauth_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
)

// proofOf returns the headers of a request with a bound token and the proof.
func proofOf(token, proof string) []string {
	return []string{"Authorization", "DPoP " + token, "Dpop", proof}
}

// challenges are the parameters of a WWW-Authenticate header with a Bearer and a DPoP
// challenge.
type challenges struct{ bearer, dpop map[string]string }

// twoChallenges parses the header.
func twoChallenges(t testing.TB, header http.Header) challenges {
	t.Helper()
	values := header.Values("WWW-Authenticate")
	if len(values) != 1 || !strings.Contains(values[0], ", DPoP ") {
		t.Fatalf("WWW-Authenticate: got %q, want one value with two challenges, Bearer first", values)
	}
	bearer, proof, _ := strings.Cut(values[0], ", DPoP ")
	parse := func(value string) map[string]string {
		return challengeParams(t, http.Header{"Www-Authenticate": {"Bearer " + value}})
	}
	return challenges{parse(strings.TrimPrefix(bearer, "Bearer ")), parse(proof)}
}

// Which tokens are accepted how, by the mode.
func TestDPoPModes(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	p := issuer.NewProver("ES256")
	key := "mcpk_test"
	keys := "static {\nkey ci " + hashOf(key) + "\n}"
	bound, plain := issuer.Mint(p.Bound()), issuer.Mint(nil)
	opaque := issuer.Opaque(map[string]any{"cnf": map[string]any{"jkt": p.Thumbprint()}, "token_type": "DPoP"})
	unknown := issuer.Mint(map[string]any{"cnf": map[string]any{"kid": "1"}})
	prove := func(token string) string { return p.Prove("POST", testResource, token, nil) }
	for _, tc := range []struct {
		name    string
		headers func() []string
		// want is the outcome by the mode: off, accepted, required.
		want [3]string
	}{
		{"plain, Bearer", func() []string { return bearer(plain) }, [3]string{"200", "200", "401 invalid_token"}},
		{"plain, Bearer, with a proof", func() []string { return append(bearer(plain), "Dpop", prove(plain)) }, [3]string{"200", "200", "401 invalid_token"}},
		{"plain, DPoP", func() []string { return proofOf(plain, prove(plain)) }, [3]string{"401 ", "401 invalid_token", "401 invalid_token"}},
		{"bound, Bearer", func() []string { return bearer(bound) }, [3]string{"401 invalid_token", "401 invalid_token", "401 invalid_token"}},
		{"bound, Bearer, with a proof", func() []string { return append(bearer(bound), "Dpop", prove(bound)) }, [3]string{"401 invalid_token", "401 invalid_token", "401 invalid_token"}},
		{"bound, DPoP", func() []string { return proofOf(bound, prove(bound)) }, [3]string{"401 ", "200", "200"}},
		{"bound, dpop", func() []string { return []string{"Authorization", "dpop  " + bound, "Dpop", prove(bound)} }, [3]string{"401 ", "200", "200"}},
		{"bound, without a proof", func() []string { return []string{"Authorization", "DPoP " + bound} }, [3]string{"401 ", "401 invalid_dpop_proof", "401 invalid_dpop_proof"}},
		{"opaque and bound", func() []string { return proofOf(opaque, prove(opaque)) }, [3]string{"401 ", "200", "200"}},
		{"opaque and bound, Bearer", func() []string { return bearer(opaque) }, [3]string{"401 invalid_token", "401 invalid_token", "401 invalid_token"}},
		{"bound to something else", func() []string { return proofOf(unknown, prove(unknown)) }, [3]string{"401 ", "401 invalid_token", "401 invalid_token"}},
		{"API key", func() []string { return bearer(key) }, [3]string{"200", "200", "200"}},
		{"API key, DPoP", func() []string { return proofOf(key, prove(key)) }, [3]string{"401 ", "401 invalid_token", "401 invalid_token"}},
	} {
		for i, mode := range []string{"off", "accepted", "required"} {
			s := mustProvision(t, frontDoor(issuer.Issuer()+" {\njwt\n"+introspection("")+"\n"+keys+"\n}", "dpop "+mode))
			got := s.ask("POST", "/mcp", tc.headers()...)
			if code := outcomeOf(t, got); code != tc.want[i] {
				t.Errorf("%s, %s: got %s, want %s", tc.name, mode, code, tc.want[i])
			}
			s.cleanup()
		}
	}
}

// outcomeOf returns the status, and the error of a refusal, as in the challenge of the
// scheme that the request used.
func outcomeOf(t testing.TB, got answer) string {
	t.Helper()
	if got.StatusCode == http.StatusOK {
		return "200"
	}
	header := got.Header.Get("WWW-Authenticate")
	if !strings.Contains(header, ", DPoP ") {
		return fmt.Sprintf("%d %s", got.StatusCode, challengeParams(t, got.Header)["error"])
	}
	c := twoChallenges(t, got.Header)
	params := c.bearer
	if scheme := got.Request.Header.Get("Authorization"); len(scheme) > 4 && strings.EqualFold(scheme[:5], "DPoP ") {
		params = c.dpop
	}
	return fmt.Sprintf("%d %s", got.StatusCode, params["error"])
}

// Both challenges say what is accepted, and an error stands where it belongs.
func TestDPoPChallenges(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := mustProvision(t, frontDoor(issuer.Issuer(), "dpop accepted\nscopes read"))
	p, other := issuer.NewProver("ES256"), issuer.NewProver("ES256")
	bound := issuer.Mint(p.Bound())
	narrow := issuer.Mint(map[string]any{"cnf": p.Bound()["cnf"], "scope": ""})
	used := p.Prove("POST", testResource, bound, nil)
	if got := s.ask("POST", "/mcp", proofOf(bound, used)...); got.StatusCode != http.StatusOK {
		t.Fatalf("got %d", got.StatusCode)
	}
	for _, tc := range []struct {
		name         string
		headers      []string
		status       int
		bearer, dpop string
	}{
		{"no token", nil, 401, "", ""},
		{"another scheme", []string{"Authorization", "Basic dTpw"}, 401, "", ""},
		{"a bad token", bearer("x.y.z"), 401, "invalid_token", ""},
		{"a bad token, DPoP", proofOf("x.y.z", "x"), 401, "invalid_token", "invalid_token"},
		{"a bound token, Bearer", bearer(bound), 401, "invalid_token", ""},
		{"a bad proof", proofOf(bound, "x"), 401, "", "invalid_dpop_proof"},
		{"a proof that was used", proofOf(bound, used), 401, "", "invalid_dpop_proof"},
		{"another key", proofOf(bound, other.Prove("POST", testResource, bound, nil)), 401, "invalid_token", "invalid_token"},
		{"a scope is missing", proofOf(narrow, p.Prove("POST", testResource, narrow, nil)), 403, "insufficient_scope", "insufficient_scope"},
		{"malformed", []string{"Authorization", "DPoP a b"}, 400, "invalid_request", "invalid_request"},
	} {
		got := s.ask("POST", "/mcp", tc.headers...)
		c := twoChallenges(t, got.Header)
		if got.StatusCode != tc.status || c.bearer["error"] != tc.bearer || c.dpop["error"] != tc.dpop {
			t.Errorf("%s: got %d %q, want %d, %q in Bearer's and %q in DPoP's", tc.name, got.StatusCode, got.Header.Get("WWW-Authenticate"), tc.status, tc.bearer, tc.dpop)
		}
		if got, want := c.dpop["algs"], strings.Join(dpop.Algorithms(), " "); got != want {
			t.Errorf("%s: got algs %q, want %q", tc.name, got, want)
		}
		if c.bearer["resource_metadata"] != testMetadataURL || c.bearer["scope"] != "read" {
			t.Errorf("%s: got %v, want metadata and scope in Bearer's", tc.name, c.bearer)
		}
	}
}

// The metadata says what is enforced.
func TestDPoPMetadata(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	for options, want := range map[string]string{
		"":                                   "<nil> <nil> <nil>",
		"dpop off":                           "<nil> <nil> <nil>",
		"dpop accepted":                      fmt.Sprint(dpop.Algorithms()) + " <nil> <nil>",
		"dpop required":                      fmt.Sprint(dpop.Algorithms()) + " true <nil>",
		"client_certificates":                "<nil> <nil> true",
		"dpop required\nclient_certificates": fmt.Sprint(dpop.Algorithms()) + " true true",
	} {
		s := mustProvision(t, frontDoor(issuer.Issuer(), options))
		var doc map[string]any
		if err := json.Unmarshal([]byte(s.ask("GET", "/.well-known/oauth-protected-resource/mcp").body), &doc); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(doc["dpop_signing_alg_values_supported"], " ", doc["dpop_bound_access_tokens_required"], " ", doc["tls_client_certificate_bound_access_tokens"])
		if got != want {
			t.Errorf("%s: got %s, want %s", options, got, want)
		}
	}
}

func TestHostileProofsAtTheDoor(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	p := issuer.NewProver("ES256")
	s := mustProvision(t, frontDoor(issuer.Issuer(), "dpop accepted"))
	bound := issuer.Mint(p.Bound())
	for _, tc := range oauthtest.HostileProofs(issuer, p, "POST", testResource, bound) {
		got := s.ask("POST", "/mcp", proofOf(bound, tc.Token)...)
		if c := outcomeOf(t, got); c != "401 invalid_dpop_proof" && (c != "401 invalid_token" || !strings.Contains(tc.Name, "another client's")) {
			t.Errorf("%s: got %s, want it refused: %s", tc.Name, c, tc.Want)
		}
	}
	good := func() []string { return proofOf(bound, p.Prove("POST", testResource, bound, nil)) }
	if got := s.ask("POST", "/mcp", good()...); got.StatusCode != http.StatusOK {
		t.Errorf("a good proof after all the hostile ones: got %d", got.StatusCode)
	}
	two := good()
	r := serve(t, frontDoor(issuer.Issuer(), "dpop accepted"), nil)
	if got := outcomeOf(t, r.do(t, "POST", "/mcp", append(two, "Dpop", p.Prove("POST", testResource, bound, nil))...)); got != "401 invalid_dpop_proof" {
		t.Errorf("two proofs: got %s", got)
	}
}

// A proof is for the address that the client sees, whatever handlers do to it.
func TestProofIsForTheAddressAsSent(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	p := issuer.NewProver("ES256")
	bound := issuer.Mint(p.Bound())
	s := mustProvision(t, "handle_path /api/* {\n"+frontDoor(issuer.Issuer(), "dpop required")+"\n}")
	for _, tc := range []struct {
		path, htu string
		want      int
	}{
		{"/api/mcp", "https://mcp.example.com/api/mcp", 200},
		{"/api/mcp?x=y", "https://mcp.example.com/api/mcp", 200},
		{"/api/mcp?x=y", "https://mcp.example.com/api/mcp?x=z", 200},
		{"/api/mcp", "https://MCP.example.com:443/api/mcp", 200},
		{"/api/m%63p", "https://mcp.example.com/api/mcp", 200},
		{"/api/mcp", "https://mcp.example.com/mcp", 401},
		{"/api/mcp", "http://example.com/api/mcp", 401}, // where the request really went
		{"/api/other", "https://mcp.example.com/api/mcp", 401},
		{"/api/mcp/", "https://mcp.example.com/api/mcp", 401},
	} {
		got := s.ask("POST", tc.path, append(proofOf(bound, p.Prove("POST", tc.htu, bound, nil)), "Host", "example.com")...)
		if got.StatusCode != tc.want {
			t.Errorf("%s with the proof for %s: got %d, want %d", tc.path, tc.htu, got.StatusCode, tc.want)
		}
	}
}

// A proof counts once, also over a reload; its token counts as long as it is good.
func TestProofOnceOverReload(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	p := issuer.NewProver("ES256")
	bound := issuer.Mint(p.Bound())
	old := mustProvision(t, frontDoor(issuer.Issuer(), "dpop accepted"))
	proof := p.Prove("POST", testResource, bound, nil)
	try := func(c *config, proof string) int { return c.ask("POST", "/mcp", proofOf(bound, proof)...).StatusCode }
	if got := try(old, proof); got != 200 {
		t.Fatalf("first use: got %d", got)
	}
	if got := try(old, proof); got != 401 {
		t.Errorf("second use: got %d, want 401", got)
	}
	reloaded := mustProvision(t, frontDoor(issuer.Issuer(), "dpop required"))
	old.cleanup()
	if got := try(reloaded, proof); got != 401 {
		t.Errorf("after a reload: got %d, want 401", got)
	}
	if got := try(reloaded, p.Prove("POST", testResource, bound, nil)); got != 200 {
		t.Errorf("another proof: got %d, want 200", got)
	}
}

// A proof is judged on every request, although the verdict on the token is cached.
func TestCachedTokenStaysBound(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	p := issuer.NewProver("ES256")
	for name, token := range map[string]string{
		"JWT":    issuer.Mint(p.Bound()),
		"opaque": issuer.Opaque(map[string]any{"cnf": map[string]any{"jkt": p.Thumbprint()}}),
	} {
		s := mustProvision(t, frontDoor(issuer.Issuer()+" {\njwt\n"+introspection("")+"\n}", "dpop accepted"))
		for i := range 3 {
			if got := s.ask("POST", "/mcp", proofOf(token, p.Prove("POST", testResource, token, nil))...); got.StatusCode != 200 {
				t.Errorf("%s: %d: got %d, want 200", name, i, got.StatusCode)
			}
			if got := s.try(token); got != 401 {
				t.Errorf("%s: %d, as a plain token: got %d, want 401", name, i, got)
			}
		}
	}
}

func TestNonceAtTheDoor(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
		// The memory of proofs belongs to the resource. On this clock, those of other
		// tests lie far in the future, and would be forgotten.
		resource := ownResource()
		site := func(options string) string {
			return strings.Replace(frontDoor(issuer.Issuer(), options), testResource, resource, 1)
		}
		path := strings.TrimPrefix(resource, "https://metrics.example.com")
		p := issuer.NewProver("ES256")
		bound := issuer.Mint(map[string]any{"aud": resource, "cnf": p.Bound()["cnf"], "exp": time.Now().Add(time.Hour).Unix()})
		s := mustProvision(t, site("dpop required {\nnonce\n}"))
		ask := func(nonce any) answer {
			return s.ask("POST", path, proofOf(bound, p.Prove("POST", resource, bound, map[string]any{"nonce": nonce}))...)
		}
		first := ask(oauthtest.Absent)
		nonce := first.Header.Get("DPoP-Nonce")
		if got := outcomeOf(t, first); got != "401 use_dpop_nonce" || nonce == "" {
			t.Fatalf("without nonce: got %s and the nonce %q", got, nonce)
		}
		if got := ask(nonce); got.StatusCode != 200 || got.Header.Get("DPoP-Nonce") != "" {
			t.Errorf("with it: got %d and another nonce %q", got.StatusCode, got.Header.Get("DPoP-Nonce"))
		}
		if got := outcomeOf(t, ask("definitely-not-the-server-nonce")); got != "401 use_dpop_nonce" {
			t.Errorf("with another: got %s", got)
		}
		// A bad proof is a bad proof, whatever its nonce.
		if got := outcomeOf(t, s.ask("POST", path, proofOf(bound, p.Prove("GET", resource, bound, nil))...)); got != "401 invalid_dpop_proof" {
			t.Errorf("a bad proof: got %s", got)
		}
		reloaded := mustProvision(t, site("dpop accepted {\nnonce\n}"))
		s.cleanup()
		s = reloaded
		time.Sleep(3 * time.Minute)
		renewed := ask(nonce)
		if got := renewed.Header.Get("DPoP-Nonce"); renewed.StatusCode != 200 || got == "" || got == nonce {
			t.Errorf("after three minutes and a reload: got %d and the nonce %q, want 200 and a new one", renewed.StatusCode, got)
		}
		time.Sleep(3 * time.Minute)
		if got := outcomeOf(t, ask(nonce)); got != "401 use_dpop_nonce" {
			t.Errorf("after six minutes: got %s", got)
		}
		synctest.Wait()
	})
}

// The next handler gets neither the token nor the proof, under whatever name.
func TestProofIsRemoved(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	p := issuer.NewProver("ES256")
	bound := issuer.Mint(p.Bound())
	for options, want := range map[string][]string{"": nil, "forward_token": {"Authorization", "Dpop"}} {
		var seen http.Header
		s := serve(t, frontDoor(issuer.Issuer(), "dpop accepted\n"+options), func(w http.ResponseWriter, r *http.Request) error {
			seen = r.Header.Clone()
			return nil
		})
		headers := proofOf(bound, p.Prove("POST", testResource, bound, nil))
		if options == "" {
			headers = append(headers, "D_pop", "x", "D.Pop", "x", "D-Pop", "x")
		}
		if got := s.do(t, "POST", "/mcp", headers...); got.StatusCode != 200 {
			t.Fatalf("%q: got %d", options, got.StatusCode)
		}
		var got []string
		for name := range seen {
			if name == "Authorization" || strings.EqualFold(strings.NewReplacer("-", "", "_", "", ".", "").Replace(name), "dpop") {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q: the next handler got %q, want %q", options, got, want)
		}
	}
}

// Pages may send the proof and read the nonce.
func TestDPoPForBrowsers(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := mustProvision(t, frontDoor(issuer.Issuer(), "dpop accepted {\nnonce\n}"))
	const origin = "https://mcp.example.com"
	preflight := s.ask("OPTIONS", "/mcp", "Origin", origin, "Access-Control-Request-Method", "POST")
	if got := preflight.Header.Get("Access-Control-Allow-Headers"); !strings.Contains(got, "dpop") {
		t.Errorf("allowed headers: got %q", got)
	}
	p := issuer.NewProver("ES256")
	bound := issuer.Mint(p.Bound())
	got := s.ask("POST", "/mcp", append(proofOf(bound, p.Prove("POST", testResource, bound, nil)), "Origin", origin)...)
	for _, name := range []string{"DPoP-Nonce", "WWW-Authenticate"} {
		if exposed := got.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, name) || got.Header.Get(name) == "" {
			t.Errorf("%s: got %q, exposed %q", name, got.Header.Get(name), exposed)
		}
	}
}
