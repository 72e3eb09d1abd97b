package integration_test

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
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// newCertificate makes a self-signed certificate, and its x5t#S256.
func newCertificate(t *testing.T) (*tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.RawURLEncoding.EncodeToString(sum[:])
}

// A token that is bound to a certificate passes on a connection with that certificate
// only, over HTTP/1.1, 2 and 3.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	issuer := startFakeIssuer(t)
	c := startCaddy(t, issuer.fill("tls internal {\n\tclient_auth {\n\t\tmode request\n\t}\n}\nmcp_auth /mcp* SITE/mcp {\n\tissuer ISSUER\n\tclient_certificates\n}\nhandle /mcp* {\n\tmcp_whoami\n}"))
	mine, sum := newCertificate(t)
	other, _ := newCertificate(t)
	bound := issuer.token(c, map[string]any{"cnf": map[string]any{"x5t#S256": sum}})
	header := base64.StdEncoding.EncodeToString(mine.Certificate[0])
	for _, tc := range []struct {
		name        string
		certificate *tls.Certificate
		headers     []string
		want        int
	}{
		{"its certificate", mine, nil, 200},
		{"another certificate", other, nil, 401},
		{"none", nil, nil, 401},
		{"its certificate in a header", nil, []string{"Client-Cert", ":" + header + ":", "X-Client-Cert", header, "X-Forwarded-Client-Cert", "Cert=" + header}, 401},
	} {
		config := c.tls()
		if tc.certificate != nil {
			config.Certificates = []tls.Certificate{*tc.certificate}
		}
		h1, h2 := &http.Transport{TLSClientConfig: config.Clone()}, &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}
		h1.TLSClientConfig.NextProtos = []string{"http/1.1"}
		h3 := &http3.Transport{TLSClientConfig: config.Clone()}
		t.Cleanup(func() {
			h1.CloseIdleConnections()
			h2.CloseIdleConnections()
			h3.Close()
		})
		for version, transport := range map[string]http.RoundTripper{"HTTP/1.1": h1, "HTTP/2": h2, "HTTP/3": h3} {
			got := c.tell(t, &http.Client{Transport: transport}, bound, "POST", initialize, append(tc.headers, "Accept", "application/json, text/event-stream")...)
			if got.status != tc.want {
				t.Errorf("%s, %s: got %d, want %d", tc.name, version, got.status, tc.want)
			}
		}
	}
	if got, _ := c.whoami(issuer.token(c, nil)); got.status != 200 {
		t.Errorf("a plain token, without a certificate: got %d", got.status)
	}
}
