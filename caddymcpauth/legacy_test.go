package caddymcpauth_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

const legacyPath = "/.well-known/oauth-authorization-server"

// A client of revision 2025-03-26 finds the authorization server's metadata, all
// of it, at the MCP server's origin.
func TestLegacyMetadata(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "legacy_metadata"), nil)
	got := s.do(t, http.MethodGet, legacyPath, "Origin", "https://anywhere.example")
	var document map[string]any
	if err := json.Unmarshal([]byte(got.body), &document); got.StatusCode != http.StatusOK || err != nil {
		t.Fatalf("got %d %q", got.StatusCode, got.body)
	}
	b, err := json.Marshal(issuer.MetadataDocument())
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(document, want) {
		t.Errorf("got %v, want %v", document, want)
	}
	if origin := got.Header.Get("Access-Control-Allow-Origin"); origin != "*" {
		t.Errorf("Access-Control-Allow-Origin %q, want *", origin)
	}

	for _, test := range []struct {
		method, path string
		status       int
	}{
		{http.MethodHead, legacyPath, http.StatusOK},
		{http.MethodOptions, legacyPath, http.StatusNoContent},
		{http.MethodPost, legacyPath, http.StatusMethodNotAllowed},
		{http.MethodGet, legacyPath + "/mcp", http.StatusUnauthorized},
		{http.MethodGet, "/.well-known//oauth-authorization-server", http.StatusUnauthorized},
	} {
		if got := s.do(t, test.method, test.path); got.StatusCode != test.status {
			t.Errorf("%s %s: got %d, want %d", test.method, test.path, got.StatusCode, test.status)
		}
	}
}

// Fields that are set by hand have the types that clients expect (RFC 8414): the
// TypeScript SDK of the time refuses a text where a list belongs.
func TestLegacyMetadataTypes(t *testing.T) {
	t.Parallel()
	s := serve(t, frontDoor("https://auth.example.com {"+`
		discovery off
		metadata jwks_uri https://auth.example.com/jwks
		metadata authorization_endpoint https://auth.example.com/authorize
		metadata code_challenge_methods_supported S256
		metadata scopes_supported read write
		metadata authorization_response_iss_parameter_supported true
		metadata client_id_metadata_document_supported false
	}`, "legacy_metadata"), nil)
	got := s.do(t, http.MethodGet, legacyPath)
	const want = `{"authorization_endpoint":"https://auth.example.com/authorize","authorization_response_iss_parameter_supported":true,` +
		`"client_id_metadata_document_supported":false,"code_challenge_methods_supported":["S256"],"issuer":"https://auth.example.com",` +
		`"jwks_uri":"https://auth.example.com/jwks","scopes_supported":["read","write"]}`
	if got.StatusCode != http.StatusOK || got.body != want {
		t.Errorf("got %d %s, want %s", got.StatusCode, got.body, want)
	}
}

// It is there only if it is asked for, and while the authorization server has
// not been reached yet, the client is told to come back.
func TestLegacyMetadataAway(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	without := serve(t, frontDoor(issuer.Issuer(), ""), nil)
	if got := without.do(t, http.MethodGet, legacyPath); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("without legacy_metadata: got %d, want 401", got.StatusCode)
	}
	issuer.SetFault(oauthtest.Metadata, oauthtest.Status(http.StatusInternalServerError))
	s := serve(t, frontDoor(issuer.Issuer(), "legacy_metadata"), nil)
	got := s.do(t, http.MethodGet, legacyPath)
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || got.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("got %d, Retry-After %q, want 503 and some time", got.StatusCode, got.Header.Get("Retry-After"))
	}
}
