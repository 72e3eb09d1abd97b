package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// fuzzedKey is a key that nobody has the private part of.
const fuzzedKey = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

func newFuzzed(f *testing.F) *Server {
	source, err := PublicKeys([]byte(`{"keys":[` + fuzzedKey + `]}`))
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(Config{
		Issuer: testIssuer, Resources: []string{testResource}, Scopes: []Scope{{Name: "read"}}, Store: storetest.New(), Secret: testMaster("a secret"),
		Registration: registration.Policy{PrivateSchemes: []string{"cursor"}},
		Clients:      []Client{{ID: "app", RedirectURIs: []string{testRedirect}}, {ID: "robot", Keys: source, ClientCredentials: true}},
		Providers:    []Provider{{Issuer: "https://idp.example", Keys: source, User: enterpriseUser}},
	})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// Whatever is asked for, the browser is sent to a registered redirect URI or
// nowhere.
func FuzzAuthorize(f *testing.F) {
	f.Add(testQuery().Encode())
	f.Add(testQuery("client_id", "dyn.AAAA", "prompt", "none login", "resource", "x").Encode())
	f.Add("client_id=app&client_id=app&redirect_uri=" + testRedirect)
	f.Add("client_id=app&redirect_uri=" + testRedirect + "&state=%00%0d%0a&response_type=code")
	s := newFuzzed(f)
	f.Fuzz(func(t *testing.T, query string) {
		a, _, err := s.Authorize(t.Context(), query)
		refused, isRefusal := errors.AsType[*AuthorizationError](err)
		switch {
		case err == nil && (a.RedirectURI != testRedirect || !isS256(a.Challenge) || a.Resource != testResource || len(a.Scopes) == 0):
			t.Errorf("accepted %+v", a)
		case err != nil && !isRefusal:
			t.Errorf("refused with %T", err)
		case isRefusal && refused.RedirectTo != "" && !strings.HasPrefix(refused.RedirectTo, testRedirect+"?"):
			t.Errorf("sends the browser to %s", refused.RedirectTo)
		case isRefusal && refused.Err.Status >= 500:
			t.Errorf("%v", err)
		}
	})
}

// No form makes the endpoints fail, or give a token.
func FuzzForms(f *testing.F) {
	f.Add(TokenPath, redeemForm("x").Encode(), "Basic YTpi")
	f.Add(TokenPath, refreshForm(refreshPrefix+strings.Repeat("A", refreshEncoded)).Encode(), "")
	f.Add(RevokePath, "client_id=app&token=a.b.c", "")
	f.Add(IntrospectPath, "client_id=app&token=x", "Bearer x")
	f.Add(TokenPath, "grant_type=client_credentials&client_id=dyn.AAAA", "Basic")
	unsigned := func(claims string) string {
		return oauthtest.Compact([]byte(`{"alg":"EdDSA","typ":"JWT"}`), []byte(claims), make([]byte, 64))
	}
	f.Add(TokenPath, with(machineForm, unsigned(`{"iss":"robot","sub":"robot","aud":"`+testIssuer+`","exp":4000000000,"jti":"1"}`)).Encode(), "")
	f.Add(RevokePath, with(url.Values{"token": {"x"}}, unsigned(`{"sub":"app"}`)).Encode(), "")
	f.Add(TokenPath, identityForm(unsigned(`{"iss":"https://idp.example","aud":[]}`)).Encode(), "")
	s := newFuzzed(f)
	f.Fuzz(func(t *testing.T, path, body, authorization string) {
		if path != TokenPath && path != RevokePath && path != IntrospectPath {
			return
		}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, testIssuer+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 || strings.Contains(w.Body.String(), "access_token") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// A client that registers gets what it asked for, with redirect URIs that are fit
// for a code, or an error of RFC 7591; and the identifier leads back to it.
func FuzzRegister(f *testing.F) {
	f.Add(`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"none"}`)
	f.Add(`{"redirect_uris":["cursor://x","http://[::1]:3/x"],"client_name":"\u202e","grant_types":["authorization_code"]}`)
	f.Add(`{"Redirect_URIs":["https://a.example/cb"]}`)
	f.Add(`{"redirect_uris":["javascript:x"]}`)
	f.Add(`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[` + fuzzedKey + `]}}`)
	f.Add(`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/keys","token_endpoint_auth_signing_alg":"ES256"}`)
	s := newFuzzed(f)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, testIssuer+RegisterPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var answer struct {
			Error        string   `json:"error"`
			ID           string   `json:"client_id"`
			RedirectURIs []string `json:"redirect_uris"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
		if w.Code != http.StatusCreated {
			if w.Code >= 500 || answer.Error != "invalid_redirect_uri" && answer.Error != "invalid_client_metadata" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			return
		}
		c, err := s.client(t.Context(), answer.ID)
		if err != nil {
			t.Fatalf("the identifier leads nowhere: %v", err)
		}
		for _, uri := range answer.RedirectURIs {
			if u, err := url.Parse(uri); err != nil || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "cursor" {
				t.Errorf("registered %q", uri)
			}
			if _, err := c.redirectURI(uri); err != nil {
				t.Errorf("%q is not the client's: %v", uri, err)
			}
		}
	})
}

// No identifier that this server didn't make is a client.
func FuzzClientID(f *testing.F) {
	f.Add("dyn.")
	f.Add("dyn.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("https://a.example/client.json")
	s := newFuzzed(f)
	f.Fuzz(func(t *testing.T, id string) {
		if c, err := s.client(t.Context(), id); err == nil && id != "app" && id != "robot" {
			t.Errorf("%q is %+v", id, c)
		}
	})
}
