package oauthtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// ask sends a request straight to the handler.
func ask(srv *Server, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	return w
}

// basic is the Authorization header for client_secret_basic.
func basic(id, secret string) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	return r.Header.Get("Authorization")
}

func TestMetadataLocations(t *testing.T) {
	t.Parallel()
	paths := map[Location]string{
		RFC8414Insert: "/.well-known/oauth-authorization-server/a/b",
		OIDCInsert:    "/.well-known/openid-configuration/a/b",
		OIDCAppend:    "/a/b/.well-known/openid-configuration",
	}
	for _, at := range []Location{RFC8414Insert, OIDCInsert, OIDCAppend, OIDCInsert | OIDCAppend, Nowhere} {
		srv := New(t, Options{Path: "/a/b", MetadataAt: at, Algorithm: "ES256"})
		for location, path := range paths {
			want := http.StatusNotFound
			if at&location != 0 {
				want = http.StatusOK
			}
			if got := ask(srv, http.MethodGet, path, "").Code; got != want {
				t.Errorf("MetadataAt %b: got %d at %s, want %d", at, got, path, want)
			}
		}
		if n := srv.Count(Metadata); n != 3 {
			t.Errorf("MetadataAt %b: got %d requests counted, want 3", at, n)
		}
	}
}

func TestMetadataOverrides(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{Algorithm: "ES256", Metadata: map[string]any{"jwks_uri": Absent, "issuer": "https://x.example"}})
	var document map[string]any
	answer := ask(srv, http.MethodGet, "/.well-known/oauth-authorization-server", "")
	if err := json.Unmarshal(answer.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if _, ok := document["jwks_uri"]; ok || document["issuer"] != "https://x.example" {
		t.Errorf("got jwks_uri %v and issuer %v, want none and https://x.example", document["jwks_uri"], document["issuer"])
	}
}

func TestIntrospectionAndUserinfo(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	tests := []struct {
		name        string
		personality Personality
		path        string
		bearer      bool
		token       func(*Server) string
		secret      string // instead of the right one
		status      int
		body        []string
		without     []string
	}{
		{"generic, opaque", Generic, "/introspect", false, opaqueToken, "", 200, []string{`"active":true`, `"sub":"user-1"`, `"aud":`}, nil},
		{"generic, JWT", Generic, "/introspect", false, jwtToken, "", 200, []string{`"active":true`}, nil},
		{"generic, unknown", Generic, "/introspect", false, unknownToken, "", 200, []string{`{"active":false}`}, nil},
		{"generic, revoked", Generic, "/introspect", false, revokedToken, "", 200, []string{`{"active":false}`}, nil},
		{"generic, expired", Generic, "/introspect", false, expiredToken, "", 200, []string{`{"active":false}`}, nil},
		{"generic, wrong secret", Generic, "/introspect", false, opaqueToken, "wrong", 401, []string{"invalid_client"}, nil},
		{"generic, userinfo", Generic, "/userinfo", true, opaqueToken, "", 200, []string{`"sub":"user-1"`, `"email"`}, []string{`"exp"`, `"aud"`}},
		{"generic, userinfo, revoked", Generic, "/userinfo", true, revokedToken, "", 401, nil, nil},
		{"Logto, opaque", Logto, "/oidc/token/introspection", false, opaqueToken, "", 200, []string{`"sub"`, `"iss"`}, []string{`"aud"`, `"username"`}},
		{"Logto, JWT", Logto, "/oidc/token/introspection", false, jwtToken, "", 400, []string{"unsupported_token_type"}, nil},
		{"Logto, userinfo", Logto, "/oidc/me", true, opaqueToken, "", 200, []string{`"sub"`}, nil},
		{"Logto, userinfo of a JWT", Logto, "/oidc/me", true, jwtToken, "", 401, nil, nil},
		{"Django", DjangoOAuthToolkit, "/o/introspect/", false, opaqueToken, "", 200, []string{`"username":"demo"`, `"exp"`}, []string{`"sub"`, `"iss"`, `"aud"`}},
		{"Django, no slash", DjangoOAuthToolkit, "/o/introspect", false, opaqueToken, "", 301, nil, nil},
		{"Django, wrong secret", DjangoOAuthToolkit, "/o/introspect/", false, opaqueToken, "wrong", 403, nil, []string{"e"}},
		{"GitHub", GitHub, "/user", true, opaqueToken, "", 200, []string{`"login":"user-1"`}, nil},
		{"GitHub, unknown", GitHub, "/user", true, unknownToken, "", 401, []string{"Bad credentials"}, nil},
		{"oidc-provider, opaque", OIDCProvider, "/token/introspection", false, opaqueToken, "", 200, []string{`"aud"`, `"jti"`}, []string{`"username"`}},
		{"oidc-provider, JWT", OIDCProvider, "/token/introspection", false, jwtToken, "", 400, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := New(t, Options{Personality: tt.personality})
			token, secret := tt.token(srv), srv.opts.ClientSecret
			if tt.secret != "" {
				secret = tt.secret
			}
			var answer *httptest.ResponseRecorder
			if tt.bearer {
				answer = ask(srv, http.MethodGet, tt.path, "", "Authorization", "Bearer "+token)
			} else {
				answer = ask(srv, http.MethodPost, tt.path, "token="+url.QueryEscape(token),
					"Content-Type", form, "Authorization", basic(srv.opts.ClientID, secret))
			}
			body := answer.Body.String()
			if answer.Code != tt.status {
				t.Errorf("got %d %s, want %d", answer.Code, body, tt.status)
			}
			for _, part := range tt.body {
				if !strings.Contains(body, part) {
					t.Errorf("got %s, want %s in it", body, part)
				}
			}
			for _, part := range tt.without {
				if strings.Contains(body, part) {
					t.Errorf("got %s, want no %s in it", body, part)
				}
			}
		})
	}
}

func opaqueToken(s *Server) string  { return s.Opaque(nil) }
func jwtToken(s *Server) string     { return s.Mint(nil) }
func unknownToken(*Server) string   { return "unknown" }
func expiredToken(s *Server) string { return s.Opaque(map[string]any{"exp": time.Now().Unix() - 60}) }

func revokedToken(s *Server) string {
	token := s.Opaque(nil)
	s.Revoke(token)
	return token
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{Algorithm: "ES256"})
	client := srv.NewKey("ES256", "")
	srv.opts.ClientKey = client.Private.Public()
	assertion := func(claims map[string]any) string {
		all := map[string]any{"iss": "front-door", "sub": "front-door", "aud": srv.Issuer()}
		return "&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=" +
			srv.Mint(set(all, claims), WithKey(client))
	}
	post := "&client_id=front-door&client_secret=" + url.QueryEscape(srv.opts.ClientSecret)
	raw := httptest.NewRequest(http.MethodGet, "/", nil)
	raw.SetBasicAuth("front-door", srv.opts.ClientSecret)
	tests := []struct {
		name, form, authorization string
		status                    int
		auth                      string
	}{
		{"basic", "", basic("front-door", srv.opts.ClientSecret), 200, "basic"},
		{"basic, not form-encoded", "", raw.Header.Get("Authorization"), 401, "basic"},
		{"basic and post", post, basic("front-door", srv.opts.ClientSecret), 401, "basic"},
		{"post", post, "", 200, "post"},
		{"assertion", assertion(nil), "", 200, "private_key_jwt"},
		{"assertion for another server", assertion(map[string]any{"aud": "https://other.example"}), "", 401, "private_key_jwt"},
		{"assertion, expired", assertion(map[string]any{"exp": 1}), "", 401, "private_key_jwt"},
		{"none", "", "", 401, "none"},
		{"bearer", "", "Bearer x", 401, "bearer"},
	}
	for _, tt := range tests {
		srv.ForgetRequests()
		header := []string{}
		if tt.authorization != "" {
			header = append(header, "Authorization", tt.authorization)
		}
		if got := ask(srv, http.MethodPost, "/introspect", "token=x"+tt.form, header...).Code; got != tt.status {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.status)
		}
		if seen := srv.Requests(); len(seen) != 1 || seen[0].Auth != tt.auth || seen[0].Endpoint != Introspection {
			t.Errorf("%s: got %+v recorded, want auth %s", tt.name, seen, tt.auth)
		}
	}
}

func TestGitHubCheck(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{Personality: GitHub})
	path := strings.TrimPrefix(srv.Endpoint(Introspection), srv.URL)
	own := srv.Opaque(map[string]any{"client_id": srv.opts.ClientID})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(srv.opts.ClientID, srv.opts.ClientSecret)
	for token, want := range map[string]int{own: 200, srv.Opaque(nil): 404, "unknown": 404, "": 422} {
		body := string(mustJSON(map[string]any{"access_token": token}))
		if got := ask(srv, http.MethodPost, path, body, "Authorization", r.Header.Get("Authorization")).Code; got != want {
			t.Errorf("token %q: got %d, want %d", token, got, want)
		}
	}
}
