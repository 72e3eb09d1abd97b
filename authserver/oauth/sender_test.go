package oauth

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
)

const testTokenURL = testIssuer + TokenPath

// withProofs accepts proofs.
func withProofs(c *Config) {
	c.DPoP = &DPoP{Replay: dpop.NewReplay(dpop.ReplayConfig{})}
	c.Clients[1].ClientCredentials = true
}

// proving is a client with a key of its own.
type proving struct {
	*oauthtest.Prover
	f *fixture
}

func (f *fixture) proving() proving {
	return proving{oauthtest.New(f.t, oauthtest.Options{Now: f.clock.Now, Algorithm: "ES256"}).NewProver("ES256"), f}
}

// proof makes a good one for the token endpoint.
func (p proving) proof() string { return p.Prove("POST", testTokenURL, "", nil) }

// sent is a request for tokens, with proofs and on a connection.
type sent struct {
	form        url.Values
	proofs      []string
	certificate []byte
}

func (f *fixture) send(s sent) answer {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), http.MethodPost, testTokenURL, strings.NewReader(s.form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, proof := range s.proofs {
		r.Header.Add("DPoP", proof)
	}
	r.TLS = &tls.ConnectionState{}
	if s.certificate != nil {
		r.TLS.PeerCertificates = []*x509.Certificate{{Raw: s.certificate}}
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), body: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		f.t.Fatalf("answered %d %q", w.Code, w.Body)
	}
	return a
}

// boundTo returns the token_type of a token response and cnf of its access token.
func boundTo(t *testing.T, a answer) string {
	t.Helper()
	if a.status != http.StatusOK {
		return fmt.Sprint(a.status, " ", a.Error)
	}
	var response struct {
		Type string `json:"token_type"`
	}
	if err := json.Unmarshal([]byte(a.body), &response); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(a.Access, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Confirmation json.RawMessage `json:"cnf"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(response.Type + " " + string(claims.Confirmation))
}

// Every grant gives tokens that are bound to the key of the proof.
func TestBoundTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withProofs)
	p := f.proving()
	machine := url.Values{"grant_type": {"client_credentials"}, "client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}}
	bound := `DPoP {"jkt":"` + p.Thumbprint() + `"}`
	for _, tc := range []struct {
		name   string
		form   url.Values
		proofs []string
		want   string
	}{
		{"code", redeemForm(f.code()), []string{p.proof()}, bound},
		{"code, no proof", redeemForm(f.code()), nil, "Bearer"},
		{"code for this key", redeemForm(f.code("dpop_jkt", p.Thumbprint())), []string{p.proof()}, bound},
		{"code for this key, no proof", redeemForm(f.code("dpop_jkt", p.Thumbprint())), nil, "400 invalid_grant"},
		{"code for this key, another's proof", redeemForm(f.code("dpop_jkt", p.Thumbprint())), []string{f.proving().proof()}, "400 invalid_grant"},
		{"client credentials", machine, []string{p.proof()}, bound},
		{"client credentials, no proof", machine, nil, "Bearer"},
		{"two proofs", machine, []string{p.proof(), p.proof()}, "400 invalid_dpop_proof"},
		{"an empty proof", machine, []string{""}, "400 invalid_dpop_proof"},
	} {
		if got := boundTo(t, f.send(sent{form: tc.form, proofs: tc.proofs})); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
	var doc map[string]any
	b, err := f.metadata()
	if err != nil || json.Unmarshal(b, &doc) != nil || fmt.Sprint(doc["dpop_signing_alg_values_supported"]) != fmt.Sprint(dpop.Algorithms()) {
		t.Errorf("the metadata has %v, want the algorithms of proofs", doc["dpop_signing_alg_values_supported"])
	}
}

// A bad proof is refused before the grant is looked at, so the code is still good.
func TestHostileProofsAtTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withProofs)
	srv := oauthtest.New(t, oauthtest.Options{Now: f.clock.Now, Algorithm: "ES256"})
	p := proving{srv.NewProver("ES256"), f}
	form := redeemForm(f.code())
	for _, tc := range oauthtest.HostileProofs(srv, p.Prover, "POST", testTokenURL, "token") {
		// There is no token, so ath says nothing; and any key will do.
		if strings.HasPrefix(tc.Name, "ath: ") && tc.Name != "ath: null" && tc.Name != "ath: a list" || strings.Contains(tc.Name, "another client's") {
			continue
		}
		if got := boundTo(t, f.send(sent{form: form, proofs: []string{tc.Token}})); got != "400 invalid_dpop_proof" {
			t.Errorf("%s: got %s, want it refused: %s", tc.Name, got, tc.Want)
		}
	}
	if got := f.send(sent{form: form, proofs: []string{p.proof()}}); got.status != http.StatusOK {
		t.Errorf("a good proof after all the hostile ones: got %d %s", got.status, got.body)
	}
}

// Proofs are ignored unless they are accepted, and needed where they are required.
func TestProofsByMode(t *testing.T) {
	t.Parallel()
	off, required := newFixture(t), newFixture(t, withProofs, func(c *Config) { c.DPoP.Required = true })
	if got := boundTo(t, off.send(sent{form: redeemForm(off.code("dpop_jkt", "x")), proofs: []string{off.proving().proof()}})); got != "Bearer" {
		t.Errorf("off: got %s, want a bearer token", got)
	}
	form := redeemForm(required.code())
	if got := boundTo(t, required.send(sent{form: form})); got != "400 invalid_dpop_proof" {
		t.Errorf("required, no proof: got %s, want it refused", got)
	}
	if got := boundTo(t, required.send(sent{form: form, proofs: []string{required.proving().proof()}})); !strings.HasPrefix(got, "DPoP ") {
		t.Errorf("required: got %s, want the same code to give a bound token", got)
	}
	query := testQuery("dpop_jkt", "too-short").Encode()
	if _, _, err := required.Authorize(t.Context(), query); err == nil {
		t.Error("a dpop_jkt that is no thumbprint: got no error")
	}
}

// A proof counts once, and only a request that would succeed uses it up.
func TestProofAtTheTokenEndpointOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withProofs)
	p := f.proving()
	proof := p.proof()
	bad := redeemForm(f.code())
	bad.Set("code_verifier", strings.Repeat("a", 43))
	if got := f.send(sent{form: bad, proofs: []string{proof}}); got.Error != "invalid_grant" {
		t.Fatalf("a bad request: got %d %s", got.status, got.body)
	}
	if got := f.config.DPoP.Replay.Len(); got != 0 {
		t.Errorf("after a bad request %d proofs are remembered, want none", got)
	}
	if got := f.send(sent{form: redeemForm(f.code()), proofs: []string{proof}}); got.status != http.StatusOK {
		t.Errorf("a good request: got %d %s", got.status, got.body)
	}
	if got := f.send(sent{form: redeemForm(f.code()), proofs: []string{proof}}); got.Error != "invalid_dpop_proof" {
		t.Errorf("the same proof: got %d %s, want it refused", got.status, got.body)
	}
}

// The refresh token of a public client is of use with its key only, and a thief without
// it can't even end the grant. A confidential client may change its key.
func TestBoundRefreshTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withProofs, func(c *Config) { c.RefreshTokenGrace = -1 })
	p, other := f.proving(), f.proving()
	confidential := func(form url.Values) url.Values {
		form.Set("client_id", "backend")
		form.Set("client_secret", "a-secret-of-the-backend")
		return form
	}
	first := f.send(sent{form: redeemForm(f.code()), proofs: []string{p.proof()}})
	second := f.send(sent{form: refreshForm(first.Refresh), proofs: []string{p.proof()}})
	if got, want := boundTo(t, second), `DPoP {"jkt":"`+p.Thumbprint()+`"}`; got != want {
		t.Fatalf("refreshed: got %s, want %s", got, want)
	}
	for name, proofs := range map[string][]string{"no proof": nil, "another key": {other.proof()}} {
		for which, token := range map[string]string{"current": second.Refresh, "used": first.Refresh} {
			if got := f.send(sent{form: refreshForm(token), proofs: proofs}); got.Error != "invalid_grant" {
				t.Errorf("%s, the %s refresh token: got %d %s, want invalid_grant", name, which, got.status, got.body)
			}
		}
	}
	third := f.send(sent{form: refreshForm(second.Refresh), proofs: []string{p.proof()}})
	if third.status != http.StatusOK {
		t.Errorf("after the thief: got %d %s, want the client's grant alive", third.status, third.body)
	}

	backend := f.send(sent{form: confidential(redeemForm(f.code("client_id", "backend"))), proofs: []string{p.proof()}})
	if got := f.send(sent{form: confidential(refreshForm(backend.Refresh))}); got.Error != "invalid_grant" {
		t.Errorf("confidential, no proof: got %d %s, want invalid_grant", got.status, got.body)
	}
	changed := f.send(sent{form: confidential(refreshForm(backend.Refresh)), proofs: []string{other.proof()}})
	if got, want := boundTo(t, changed), `DPoP {"jkt":"`+other.Thumbprint()+`"}`; got != want {
		t.Errorf("confidential, another key: got %s, want %s", got, want)
	}
}

// A resource server that asks learns to what a token is bound; revoking needs no key.
func TestBoundTokenIntrospected(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withProofs)
	p := f.proving()
	tokens := f.send(sent{form: redeemForm(f.code()), proofs: []string{p.proof()}})
	got := post(t, f.Server, IntrospectPath, introspectForm(tokens.Access))
	var answer struct {
		Active       bool
		Type         string `json:"token_type"`
		Confirmation struct {
			Key string `json:"jkt"`
		} `json:"cnf"`
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		t.Fatal(err)
	}
	if !answer.Active || answer.Type != "DPoP" || answer.Confirmation.Key != p.Thumbprint() {
		t.Errorf("got %s, want an active DPoP token and its key", got.body)
	}
	post(t, f.Server, RevokePath, url.Values{"client_id": {"app"}, "token": {tokens.Access}})
	if got := post(t, f.Server, IntrospectPath, introspectForm(tokens.Access)); got.Active {
		t.Errorf("revoked, but %s", got.body)
	}
}

// A nonce is asked for before the code is used up, and servers on one store take each
// other's.
func TestNonceAtTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	nonces := func(c *Config) { withProofs(c); c.DPoP.Nonce = true }
	f := newFixture(t, nonces)
	p := f.proving()
	form := redeemForm(f.code())
	prove := func(nonce any) []string {
		return []string{p.Prove("POST", testTokenURL, "", map[string]any{"nonce": nonce})}
	}
	first := f.send(sent{form: form, proofs: prove(oauthtest.Absent)})
	nonce := first.header.Get("DPoP-Nonce")
	if first.Error != "use_dpop_nonce" || nonce == "" || !strings.Contains(first.header.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
		t.Fatalf("without nonce: got %d %s and the headers %v", first.status, first.body, first.header)
	}
	if got := f.send(sent{form: form, proofs: prove("another")}); got.Error != "use_dpop_nonce" {
		t.Errorf("another nonce: got %d %s", got.status, got.body)
	}
	f.Server = f.again(nonces)
	if got := f.send(sent{form: form, proofs: prove(nonce)}); got.status != http.StatusOK || got.header.Get("DPoP-Nonce") != "" {
		t.Errorf("with it, at another server: got %d %s", got.status, got.body)
	}
	f.clock.Advance(3 * time.Minute)
	if got := f.send(sent{form: redeemForm(f.code()), proofs: prove(nonce)}); got.status != http.StatusOK || got.header.Get("DPoP-Nonce") == "" {
		t.Errorf("three minutes later: got %d %s, want a new nonce", got.status, got.body)
	}
}

// A client that shows a certificate gets tokens that are bound to it, where that is
// configured.
func TestCertificateBoundTokens(t *testing.T) {
	t.Parallel()
	mine, other := []byte("my certificate"), []byte("another certificate")
	sum := sha256.Sum256(mine)
	x5t := base64.RawURLEncoding.EncodeToString(sum[:])
	f := newFixture(t, withProofs, func(c *Config) { c.CertificateBound = true })
	first := f.send(sent{form: redeemForm(f.code()), certificate: mine})
	if got, want := boundTo(t, first), `Bearer {"x5t#S256":"`+x5t+`"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, certificate := range map[string][]byte{"none": nil, "another": other} {
		if got := f.send(sent{form: refreshForm(first.Refresh), certificate: certificate}); got.Error != "invalid_grant" {
			t.Errorf("refreshing with the certificate %s: got %d %s, want invalid_grant", name, got.status, got.body)
		}
	}
	if got, want := boundTo(t, f.send(sent{form: refreshForm(first.Refresh), certificate: mine})), `Bearer {"x5t#S256":"`+x5t+`"}`; got != want {
		t.Errorf("refreshing: got %s, want %s", got, want)
	}
	p := f.proving()
	if got, want := boundTo(t, f.send(sent{form: redeemForm(f.code()), certificate: mine, proofs: []string{p.proof()}})), `DPoP {"jkt":"`+p.Thumbprint()+`","x5t#S256":"`+x5t+`"}`; got != want {
		t.Errorf("both: got %s, want %s", got, want)
	}
	if got := boundTo(t, f.send(sent{form: redeemForm(f.code())})); got != "Bearer" {
		t.Errorf("no certificate: got %s", got)
	}
	plain := newFixture(t)
	if got := boundTo(t, plain.send(sent{form: redeemForm(plain.code()), certificate: mine})); got != "Bearer" {
		t.Errorf("not configured: got %s, want a bearer token", got)
	}
}
