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

func TestIntrospectionErrors(t *testing.T) {
	t.Parallel()
	issuer := "https://as.example.com"
	bare := func(lines string) string { return guestDoorOf(issuer, "introspection {\n"+lines+"\n}") }
	full := func(lines string) string { return guestDoorOf(issuer, introspection(lines)) }
	notAKey := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(notAKey, []byte("hush-hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, site, adapting, provisioning string }{
		{"argument", guestDoorOf(issuer, "introspection x"), "takes no value", ""},
		{"unknown option", full("endpiont https://as.example.com/i"), "unrecognized option of introspection: endpiont (known: endpoint,", ""},
		{"endpoint twice", full("endpoint https://as.example.com/i\nendpoint https://as.example.com/i"), "endpoint is given twice", ""},
		{"client_id twice", full("client_id a"), "client_id is given twice", ""},
		{"client_secret empty", bare(`client_secret ""`), "client_secret takes one value", ""},
		{"confirm_jwt twice", full("confirm_jwt\nconfirm_jwt"), "confirm_jwt is given twice", ""},
		{"confirm_jwt with an argument", full("confirm_jwt yes"), "takes no value", ""},
		{"leeway not a duration", full("leeway soon"), `leeway "soon" is not a duration such as 30s`, ""},
		{"leeway twice", full("leeway 1s\nleeway 2s"), "leeway is given twice", ""},
		{"leeway too long", full("leeway 10m"), "", "leeway 10m0s is not between 0 and 5m0s"},
		{"token_prefix twice", full("token_prefix a_\ntoken_prefix b_"), "token_prefix is given twice", ""},
		{"token_prefix of nothing", full("token_prefix"), "token_prefix needs at least one value", ""},
		{"token_prefix of API keys", full("token_prefix mcpk_"), "", `token_prefix: "mcpk_" is for API keys, which are sent to nobody`},
		{"token_prefix with a comma", full("token_prefix a_,b_"), "", `token_prefix: "a_,b_" can't begin a token: separate prefixes by spaces`},
		{"token_prefix of two issuers", "mcp_auth " + testResource + " {\nissuer https://a.example.com {\n" + introspection("token_prefix a_") + "\n}\nissuer https://b.example.com {\n" + introspection("token_prefix a_") + "\n}\n}", "", `have the same token_prefix "a_"`},
		{"nothing", guestDoorOf(issuer, "introspection"), "", "client_id is missing: the front door needs credentials of its own"},
		{"no secret", bare("client_id a"), "", "client_secret is missing or empty"},
		{"secret of an unset placeholder", bare("client_id a\nclient_secret {env.NOT_SET}"), "", "client_secret: "},
		{"unknown method", full("client_auth tls_client_auth"), "", `client_auth "tls_client_auth" is none of client_secret_basic, client_secret_post, private_key_jwt`},
		{"secret and key", bare("client_id a\nclient_secret hush-hush\nprivate_key /k.pem"), "", "client_secret is not for private_key_jwt"},
		{"key for basic", full("client_auth client_secret_basic\nprivate_key /k.pem"), "", "private_key and key_id are for private_key_jwt"},
		{"key id for basic", full("key_id k"), "", "private_key and key_id are for private_key_jwt"},
		{"no key", bare("client_id a\nclient_auth private_key_jwt"), "", "private_key is missing: name the file"},
		{"key file away", bare("client_id a\nprivate_key " + filepath.Join(t.TempDir(), "none.pem")), "", "private_key: open"},
		{"not a key", bare("client_id a\nprivate_key " + notAKey), "", "private key: no PEM block"},
		{"endpoint not https", full("endpoint http://as.example.com/i"), "", "endpoint: not https"},
		{"no discovery, no endpoint", guestDoorOf(issuer, "discovery off\n"+introspection("")), "", "discovery is off, so the endpoint must be given: endpoint <url>"},
		{"no discovery, no keys", guestDoorOf(issuer, "discovery off\n"+introspection("endpoint https://as.example.com/i\nconfirm_jwt")), "", "metadata jwks_uri <url>"},
		{"jwt beside confirm_jwt", guestDoorOf(issuer, "jwt\n"+introspection("confirm_jwt")), "", "remove jwt, introspection checks the signature itself"},
	} {
		t.Run(test.name, func(t *testing.T) { checkSiteError(t, test.site, test.adapting, test.provisioning) })
	}
}
