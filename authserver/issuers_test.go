package authserver

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
)

// issuerServer is one of several authorization servers with one secret on one
// storage.
type issuerServer struct {
	*Handler
	t       *testing.T
	records *storage.Records
}

const issuersRedirect, issuersVerifier = "https://client.example/callback", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func newIssuerServer(t *testing.T, s certmagic.Storage, issuer, secret string) *issuerServer {
	t.Helper()
	h := &Handler{Issuer: issuer, secure: true, now: time.Now, users: map[string]*User{"ada": {Username: "ada"}}}
	records := storage.New(s, "mcp_auth_server", issuer)
	var err error
	h.server, err = oauth.New(oauth.Config{
		Issuer: issuer,
		// All issue tokens for one resource, so that only the issuer differs.
		Resources: []string{"https://mcp.example/mcp"}, Scopes: []oauth.Scope{{Name: "read"}},
		Clients: []oauth.Client{
			{ID: "app", RedirectURIs: []string{issuersRedirect}},
			{ID: "resource", Secret: "a-secret-of-the-resource", Introspection: true, ClientCredentials: true},
		},
		Store: records, Secret: storage.NewSecret(records, secret),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.browsers = h.newSite()
	return &issuerServer{h, t, records}
}

// post asks an endpoint.
func (s *issuerServer) post(endpoint, contentType, body string) (int, map[string]any) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), "POST", s.Issuer+endpoint, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	var answer map[string]any
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			s.t.Fatal(err)
		}
	}
	return w.Code, answer
}

func (s *issuerServer) form(endpoint string, fields url.Values) (int, map[string]any) {
	s.t.Helper()
	return s.post(endpoint, "application/x-www-form-urlencoded", fields.Encode())
}

func (s *issuerServer) code() string {
	s.t.Helper()
	sum := sha256.Sum256([]byte(issuersVerifier))
	a, _, err := s.server.Authorize(s.t.Context(), url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {issuersRedirect},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	to, err := s.server.Approve(s.t.Context(), oauth.User{Subject: "ada", SignedIn: s.now()}, a)
	if err != nil {
		s.t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		s.t.Fatal(err)
	}
	return u.Query().Get("code")
}

func (s *issuerServer) redeem(code string) (int, map[string]any) {
	s.t.Helper()
	return s.form(oauth.TokenPath, url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"app"}, "code": {code}, "code_verifier": {issuersVerifier}, "redirect_uri": {issuersRedirect},
	})
}

func (s *issuerServer) refresh(token string) (int, map[string]any) {
	s.t.Helper()
	return s.form(oauth.TokenPath, url.Values{"grant_type": {"refresh_token"}, "client_id": {"app"}, "refresh_token": {token}})
}

func (s *issuerServer) active(token string) any {
	s.t.Helper()
	status, answer := s.form(oauth.IntrospectPath, url.Values{"client_id": {"resource"}, "client_secret": {"a-secret-of-the-resource"}, "token": {token}})
	if status != http.StatusOK {
		s.t.Fatalf("introspection: %d %v", status, answer)
	}
	return answer["active"]
}

// Two servers share a secret and a storage, and their issuers differ in what
// file systems and storage modules fold. What is one's is nothing to the other.
func TestIssuersApart(t *testing.T) {
	t.Parallel()
	for _, issuers := range [][2]string{
		{"https://as.example/test/1", "https://as.example/test1"},
		{"https://as.example/a", "https://as.example/A"},
		{"https://as.example/a-b", "https://as.example/a_b"},
		{"https://as.example", "https://as.example:8443"},
		{"https://as.example", "https://as.example/a"},
	} {
		for _, secret := range []string{"", "one secret of both, of 32 characters"} {
			dir := t.TempDir()
			fileStorage := &certmagic.FileStorage{Path: dir}
			a, b := newIssuerServer(t, fileStorage, issuers[0], secret), newIssuerServer(t, fileStorage, issuers[1], secret)
			testApart(t, a, b)
			testApart(t, b, a)
			testRecordsApart(t, dir, a, b)
		}
	}
}

func testApart(t *testing.T, a, b *issuerServer) {
	t.Helper()
	name := a.Issuer + " at " + b.Issuer

	code := a.code()
	if status, got := b.redeem(code); status != 400 || got["error"] != "invalid_grant" {
		t.Errorf("%s: a code: %d %v", name, status, got)
	}
	// The attempt didn't spend it.
	status, tokens := a.redeem(code)
	if status != 200 {
		t.Errorf("%s: the code at its own server: %d %v", name, status, tokens)
	}
	access, _ := tokens["access_token"].(string)
	refresh, _ := tokens["refresh_token"].(string)
	for kind, token := range map[string]string{"an access token": access, "a refresh token": refresh} {
		if got := b.active(token); got != false {
			t.Errorf("%s: %s is active: %v", name, kind, got)
		}
		if status, got := b.form(oauth.RevokePath, url.Values{"client_id": {"app"}, "token": {token}}); status != 200 {
			t.Errorf("%s: revoking %s: %d %v", name, kind, status, got)
		}
	}
	if status, got := b.refresh(refresh); status != 400 || got["error"] != "invalid_grant" {
		t.Errorf("%s: refreshing: %d %v", name, status, got)
	}
	if got := a.active(access); got != true {
		t.Errorf("%s: the token was revoked by the other server: active is %v", name, got)
	}
	if status, got := a.refresh(refresh); status != 200 {
		t.Errorf("%s: the refresh token at its own server: %d %v", name, status, got)
	}

	machine := url.Values{"client_id": {"resource"}, "client_secret": {"a-secret-of-the-resource"}, "grant_type": {"client_credentials"}}
	_, tokens = a.form(oauth.TokenPath, machine)
	access, _ = tokens["access_token"].(string)
	machine.Set("token", access)
	if _, _ = b.form(oauth.RevokePath, machine); b.active(access) != false || a.active(access) != true {
		t.Errorf("%s: a machine's token is active there, or was revoked there", name)
	}
	if _, _ = a.form(oauth.RevokePath, machine); a.active(access) != false {
		t.Errorf("%s: a machine's token can't be revoked at its own server", name)
	}

	for _, method := range []string{"none", "client_secret_basic"} {
		_, client := a.post(oauth.RegisterPath, "application/json", `{"redirect_uris":["`+issuersRedirect+`"],"token_endpoint_auth_method":"`+method+`"}`)
		id, _ := client["client_id"].(string)
		_, err := b.server.Client(t.Context(), &oauth.Authorization{ClientID: id, RedirectURI: issuersRedirect})
		if refused, ok := errors.AsType[*oauth.Error](err); !ok || refused.Code != "invalid_client" {
			t.Errorf("%s: a client (%s): %v", name, method, err)
		}
	}

	for _, purpose := range sealed.Purposes() {
		text, err := a.server.Seal(t.Context(), purpose, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.server.Open(t.Context(), purpose, text); err == nil {
			t.Errorf("%s: what is sealed for %q opens", name, purpose)
		}
	}

	// The session of one, under the names that the other gives its cookies.
	visit := func(s *issuerServer, cookies ...string) (*visit, *httptest.ResponseRecorder) {
		r, w := httptest.NewRequest("GET", s.Issuer+accountPath, nil), httptest.NewRecorder()
		for i := 0; i < len(cookies); i += 2 {
			r.AddCookie(&http.Cookie{Name: browser.CookieName(cookies[i], s.Issuer, true), Value: cookies[i+1]})
		}
		return &visit{Visit: s.browsers.Visit(w, r), h: s.Handler}, w
	}
	v, w := visit(a)
	if err := v.startSession(oauth.User{Subject: "ada", Credential: a.users["ada"].credential()}); err != nil {
		t.Fatal(err)
	}
	var cookies []string
	for _, cookie := range w.Result().Cookies() {
		for _, bare := range []string{browserCookie, sessionCookie} {
			if strings.HasPrefix(cookie.Name, "__Host-"+bare+"_") {
				cookies = append(cookies, bare, cookie.Value)
			}
		}
	}
	for _, s := range []*issuerServer{a, b} {
		v, _ := visit(s, cookies...)
		user, err := v.signedIn()
		if signedIn := user != nil; err != nil || signedIn != (s == a) {
			t.Errorf("%s: signed in at %s: %t, %v", name, s.Issuer, signedIn, err)
		}
	}
}

// testRecordsApart puts each record of a where b looks for its own.
func testRecordsApart(t *testing.T, dir string, a, b *issuerServer) {
	t.Helper()
	if err := a.server.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"codes", "consents", "grants", "keys", "revoked", "sessions", "swept"}
	prefixOf := func(s *issuerServer) string {
		return path.Join("mcp_auth_server", fmt.Sprintf("%x", sha256.Sum256([]byte(s.Issuer))))
	}
	raw := &certmagic.FileStorage{Path: dir}
	kinds := make(map[string]bool)
	for _, key := range mustList(t, a.records, "") {
		kind, _, _ := strings.Cut(key, "/")
		kinds[kind] = true
		record, err := raw.Load(t.Context(), path.Join(prefixOf(a), key))
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Store(t.Context(), path.Join(prefixOf(b), key), record); err != nil {
			t.Fatal(err)
		}
		if got, err := b.records.Load(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a record of %s is one of %s: %s: %s, %v", a.Issuer, b.Issuer, kind, got, err)
		}
	}
	for _, kind := range want {
		if !kinds[kind] {
			t.Errorf("no record of the kind %q was tried, only %q", kind, slices.Sorted(maps.Keys(kinds)))
		}
	}
}

func mustList(t *testing.T, r *storage.Records, prefix string) []string {
	t.Helper()
	keys, err := r.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
