package caddymcpauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// introspection is the verifier with credentials and the given further lines.
func introspection(lines string) string {
	return "introspection {\nclient_id front-door\nclient_secret \"s3cr3t & more: 100%\"\n" + lines + "\n}"
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Personality: oauthtest.DjangoOAuthToolkit})
	door := guestDoorOf(srv.Issuer(), "discovery off\nmetadata introspection_endpoint "+srv.Endpoint(oauthtest.Introspection)+
		"\n"+introspection("insecure_allow_missing_audience"))
	s := serve(t, door, tellIdentity)
	good := srv.Opaque(map[string]any{"username": "ada"})
	revoked := srv.Opaque(nil)
	srv.Revoke(revoked)
	for _, test := range []struct {
		name, token string
		fault       oauthtest.Fault
		status      int
		body        string
	}{
		{"good", good, nil, 200, `"ada"`},
		{"unknown", "garbage", nil, 401, "invalid_token"},
		{"revoked", revoked, nil, 401, "invalid_token"},
		{"signed", srv.Mint(map[string]any{"aud": testResource}), nil, 401, "invalid_token"},
		{"endpoint down", srv.Opaque(nil), oauthtest.Status(500), 503, "temporarily_unavailable"},
		{"known, endpoint down", good, oauthtest.Status(500), 200, `"ada"`},
	} {
		srv.SetFault(oauthtest.Introspection, test.fault)
		got := s.do(t, "POST", "/mcp", bearer(test.token)...)
		if got.StatusCode != test.status || !strings.Contains(got.body, test.body) {
			t.Errorf("%s: got %d %s, want %d and %s", test.name, got.StatusCode, got.body, test.status, test.body)
		}
	}
}

// A revoked JWT passes where nobody is asked, and doesn't where confirm_jwt is.
func TestConfirmJWT(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Audience: testResource})
	confirmed := serve(t, guestDoorOf(srv.Issuer(), "cache off\n"+introspection("confirm_jwt")), tellIdentity)
	alone := serve(t, guestDoorOf(srv.Issuer(), "jwt"), tellIdentity)
	token := srv.Mint(nil)
	for _, s := range []*site{confirmed, alone} {
		if got := s.do(t, "POST", "/mcp", bearer(token)...); got.StatusCode != 200 {
			t.Errorf("got %d %s, want 200", got.StatusCode, got.body)
		}
	}
	srv.Revoke(token)
	if got := alone.do(t, "POST", "/mcp", bearer(token)...); got.StatusCode != 200 {
		t.Errorf("by jwt: got %d, want 200: it can't know", got.StatusCode)
	}
	if got := confirmed.do(t, "POST", "/mcp", bearer(token)...); got.StatusCode != 401 {
		t.Errorf("confirmed: got %d, want 401", got.StatusCode)
	}
}

// The private key is read from its file.
func TestIntrospectionPrivateKey(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := oauthtest.New(t, oauthtest.Options{ClientKey: key.Public(), Audience: testResource})
	s := serve(t, guestDoorOf(srv.Issuer(), "introspection {\nclient_id front-door\nprivate_key "+file+"\nkey_id 2026\n}"), tellIdentity)
	if got := s.do(t, "POST", "/mcp", bearer(srv.Opaque(nil))...); got.StatusCode != 200 {
		t.Errorf("got %d %s, want 200", got.StatusCode, got.body)
	}
}
