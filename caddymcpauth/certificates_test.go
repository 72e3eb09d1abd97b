package caddymcpauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// clientCertificate makes a self-signed certificate, and its x5t#S256.
func clientCertificate(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "client"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.RawURLEncoding.EncodeToString(sum[:])
}

// Only the certificate of this very connection shows that the sender is the one that
// the token is bound to.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	mine, sum := clientCertificate(t)
	other, otherSum := clientCertificate(t)
	p := issuer.NewProver("ES256")
	cnf := func(members map[string]any) map[string]any { return map[string]any{"cnf": members} }
	bound := issuer.Mint(cnf(map[string]any{"x5t#S256": sum}))
	both := issuer.Mint(cnf(map[string]any{"x5t#S256": sum, "jkt": p.Thumbprint()}))
	opaque := issuer.Opaque(cnf(map[string]any{"x5t#S256": sum}))
	plain := issuer.Mint(nil)
	prove := func(token string) string { return p.Prove("POST", testResource, token, nil) }
	for _, tc := range []struct {
		name        string
		options     string
		certificate *tls.Certificate
		headers     []string
		want        string
	}{
		{"its certificate", "client_certificates", &mine, bearer(bound), "200"},
		{"its certificate, opaque", "client_certificates", &mine, bearer(opaque), "200"},
		{"another certificate", "client_certificates", &other, bearer(bound), "401 invalid_token"},
		{"another certificate, opaque", "client_certificates", &other, bearer(opaque), "401 invalid_token"},
		{"no certificate", "client_certificates", nil, bearer(bound), "401 invalid_token"},
		{"its certificate, but in a header", "client_certificates", nil, append(bearer(bound), "X-Client-Cert", base64.StdEncoding.EncodeToString(mine.Certificate[0]), "Client-Cert", ":"+base64.StdEncoding.EncodeToString(mine.Certificate[0])+":", "X-Forwarded-Tls-Client-Cert", sum), "401 invalid_token"},
		{"not set", "", &mine, bearer(bound), "401 invalid_token"},
		{"not set, opaque", "", &mine, bearer(opaque), "401 invalid_token"},
		{"a plain token, a certificate", "client_certificates", &mine, bearer(plain), "200"},
		{"a plain token, no certificate", "client_certificates", nil, bearer(plain), "200"},
		{"bound to another", "client_certificates", &mine, bearer(issuer.Mint(cnf(map[string]any{"x5t#S256": otherSum}))), "401 invalid_token"},

		{"both, both hold", "client_certificates\ndpop accepted", &mine, proofOf(both, prove(both)), "200"},
		{"both, no proof", "client_certificates\ndpop accepted", &mine, bearer(both), "401 invalid_token"},
		{"both, no certificate", "client_certificates\ndpop accepted", nil, proofOf(both, prove(both)), "401 invalid_token"},
		{"both, another certificate", "client_certificates\ndpop accepted", &other, proofOf(both, prove(both)), "401 invalid_token"},
		{"both, certificates not set", "dpop accepted", &mine, proofOf(both, prove(both)), "401 invalid_token"},
		{"both, dpop off", "client_certificates", &mine, bearer(both), "401 invalid_token"},
		{"a certificate where a proof is required", "client_certificates\ndpop required", &mine, bearer(bound), "401 invalid_token"},
	} {
		c := mustProvision(t, frontDoor(issuer.Issuer()+" {\njwt\n"+introspection("")+"\n}", tc.options))
		server := httptest.NewUnstartedServer(c.handler(func(http.ResponseWriter, *http.Request) error { return nil }))
		server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		server.StartTLS()
		transport := server.Client().Transport.(*http.Transport)
		if tc.certificate != nil {
			transport.TLSClientConfig.Certificates = []tls.Certificate{*tc.certificate}
		}
		got := (&site{c, server}).doBy(t, &http.Client{Transport: transport}, tc.headers)
		if outcome := outcomeOf(t, got); outcome != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, outcome, tc.want)
		}
		server.Close()
		c.cleanup()
	}
}

// doBy sends a request by a client of its own.
func (s *site) doBy(t testing.TB, by *http.Client, headers []string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/mcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := by.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return answer{Response: resp}
}
