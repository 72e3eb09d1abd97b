package upstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

// Everything secret says sesame, so that one look at an error's text finds all
// of it. So do the bodies of the fakes' refusals.
const (
	clientID     = "caddy"
	clientSecret = "secret:sesame/+ 1" // not what a form or a header takes as it is
	code         = "code-sesame"
	accessToken  = "access-sesame"
	redirectURI  = "https://mcp.example.com/callback"
)

// base answers by path, as told, and counts.
type base struct {
	mu       sync.Mutex
	handlers map[string]http.HandlerFunc
	hits     map[string]int
}

func (b *base) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.hits[r.URL.Path]++
	handler := b.handlers[r.URL.Path]
	b.mu.Unlock()
	if handler == nil {
		http.Error(w, "sesame", http.StatusNotFound)
		return
	}
	handler(w, r)
}

// handle replaces the answer at path.
func (b *base) handle(path string, handler http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handlers[path] = handler
}

// count returns how often path was asked for.
func (b *base) count(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hits[path]
}

// answer returns a handler with a fixed answer.
func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// hang answers nothing until the client is gone.
func hang(_ http.ResponseWriter, r *http.Request) {
	if r.Body != nil { // only then does the server see that the client leaves
		_, _ = io.Copy(io.Discard, r.Body)
	}
	<-r.Context().Done()
}

const (
	discoveryPath = "/.well-known/openid-configuration"
	tokenPath     = "/token"
	jwksPath      = "/jwks"
	userInfoPath  = "/userinfo"
)

// fakeOP is an OpenID provider that signs with ES256.
type fakeOP struct {
	*base
	issuer string
	client *http.Client

	// What follows is guarded by base.mu, and read when an answer is made.
	key      *ecdsa.PrivateKey
	kid      string
	metadata map[string]any
	// claims are added to those of the ID token; a nil removes one.
	claims map[string]any
	// sign makes the ID token.
	sign func(t testing.TB, claims map[string]any) string
	// request is the last one at the token endpoint; nonce and challenge are
	// those of the last authorization request.
	request          *http.Request
	nonce, challenge string
	idToken          string
}

// newOP starts a provider at loopback.
func newOP(t testing.TB) *fakeOP {
	f := prepareOP(t, "")
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.at(server.URL)
	f.client = server.Client()
	return f
}

// prepareOP returns a provider that is talked to without a network, for use in
// a bubble of testing/synctest.
func prepareOP(t testing.TB, issuer string) *fakeOP {
	t.Helper()
	f := &fakeOP{base: &base{handlers: make(map[string]http.HandlerFunc), hits: make(map[string]int)}, kid: "1", key: newKey(t)}
	f.client = &http.Client{Transport: direct{f}}
	f.sign = f.es256
	f.at(issuer)
	f.handle(discoveryPath, func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		answerJSON(w, f.metadata)
	})
	f.handle(jwksPath, func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		answerJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: f.key.Public(), KeyID: f.kid, Algorithm: "ES256", Use: "sig"}}})
	})
	f.handle(tokenPath, func(w http.ResponseWriter, r *http.Request) { f.token(t, w, r) })
	f.handle(userInfoPath, answer(http.StatusInternalServerError, "text/plain", "sesame"))
	return f
}

func (f *fakeOP) at(issuer string) {
	f.issuer = issuer
	f.metadata = map[string]any{
		"issuer":                 issuer,
		"authorization_endpoint": issuer + "/authorize",
		"token_endpoint":         issuer + tokenPath,
		"jwks_uri":               issuer + jwksPath,
		"userinfo_endpoint":      issuer + userInfoPath,
	}
}

// change changes the provider between two requests.
func (f *fakeOP) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (f *fakeOP) es256(t testing.TB, claims map[string]any) string {
	return signed(t, jose.ES256, f.key, f.kid, claims)
}

func signed(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// token redeems the code if the verifier is that of the challenge.
func (f *fakeOP) token(t testing.TB, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = r.ParseForm()
	f.request = r
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("code") != code ||
		r.PostFormValue("redirect_uri") != redirectURI || base64.RawURLEncoding.EncodeToString(verifier[:]) != f.challenge {
		answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant","error_description":"sesame"}`)(w, r)
		return
	}
	claims := map[string]any{
		"iss": f.issuer, "aud": clientID, "sub": "u1", "nonce": f.nonce,
		"iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
		"name": "Ada", "preferred_username": "ada", "email": "ada@example.com", "email_verified": true,
	}
	maps.Copy(claims, f.claims)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	f.idToken = f.sign(t, claims)
	response := map[string]any{"access_token": accessToken, "token_type": "Bearer", "id_token": f.idToken}
	if f.idToken == "" {
		delete(response, "id_token")
	}
	answerJSON(w, response)
}

// oidc returns the client of f.
func (f *fakeOP) oidc(t testing.TB, change func(*upstream.OIDCConfig)) *upstream.OIDC {
	t.Helper()
	config := upstream.OIDCConfig{Issuer: f.issuer, ClientID: clientID, ClientSecret: clientSecret, Client: f.client}
	if change != nil {
		change(&config)
	}
	o, err := upstream.NewOIDC(config)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// authorize does what the provider's authorization endpoint does.
func (f *fakeOP) authorize(t testing.TB, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	f.change(func() { f.nonce, f.challenge = u.Query().Get("nonce"), u.Query().Get("code_challenge") })
	return u.Query()
}

// signIn begins and finishes; callback, if not nil, changes what comes back.
func (f *fakeOP) signIn(t testing.TB, o *upstream.OIDC, callback func(url.Values)) (upstream.Identity, error) {
	t.Helper()
	address, p, err := o.Begin(context.Background(), redirectURI, upstream.Wish{})
	if err != nil {
		t.Fatalf("beginning: %v", err)
	}
	f.authorize(t, address)
	values := url.Values{"state": {p.State}, "code": {code}}
	if callback != nil {
		callback(values)
	}
	id, err := o.Finish(context.Background(), redirectURI, p, values)
	if err != nil {
		f.mu.Lock()
		raw := f.idToken
		f.mu.Unlock()
		checkText(t, err, p.State, p.Nonce, p.Verifier, raw)
	}
	return id, err
}

// direct is a transport that calls a handler.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	answered := make(chan *http.Response, 1)
	go func() {
		w := httptest.NewRecorder()
		d.handler.ServeHTTP(w, r)
		answered <- w.Result()
	}()
	select {
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	case resp := <-answered:
		return resp, nil
	}
}
