package caddymcpauth_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
)

const (
	assertionHeader = "X-Mcp-Auth-Assertion"
	keysPath        = "/.well-known/mcp-auth/jwks.json"
	// asserting is the smallest assertion.
	asserting = "assertion {\naudience https://backend.internal\n}"
)

// echoAll answers with all headers that it sees.
func echoAll(w http.ResponseWriter, r *http.Request) error {
	return json.NewEncoder(w).Encode(r.Header)
}

// asserted checks the assertion that the server behind got with the published keys,
// and returns its claims.
func asserted(t *testing.T, s *site, got answer, header string) (jose.Header, map[string]any) {
	t.Helper()
	if got.StatusCode != http.StatusOK {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	values := headersSeen(t, got)[header]
	if len(values) != 1 {
		t.Fatalf("%s: got %q, want one", header, values)
	}
	return checked(t, s, strings.TrimPrefix(values[0], "Bearer "))
}

func checked(t *testing.T, s *site, text string) (jose.Header, map[string]any) {
	t.Helper()
	var set jose.JSONWebKeySet
	if keys := s.do(t, "GET", keysPath); json.Unmarshal([]byte(keys.body), &set) != nil {
		t.Fatalf("keys: got %d %s", keys.StatusCode, keys.body)
	}
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify(set)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return jws.Signatures[0].Header, claims
}

func TestAssertion(t *testing.T) {
	t.Parallel()
	token := guestToken(`{"sub":"ada","email":"ada@example.com","realm":{"roles":["r"]}}`)
	for _, tc := range []struct {
		name, options, header, typ string
		claims                     []string
	}{
		{"a header of its own", asserting, assertionHeader, "JWT", nil},
		{"a header that is chosen", "assertion {\naudience https://backend.internal\nheader X-Who\n}", "X-Who", "JWT", nil},
		{"as bearer token", "assertion {\naudience https://backend.internal\nauthorization\n}", "Authorization", "at+jwt", nil},
		{"claims", "assertion {\naudience https://backend.internal\nclaims email realm.roles phone\n}", assertionHeader, "JWT", []string{"email", "realm.roles"}},
		{"beside headers", "header X-User {http.auth.user.id}\n" + asserting, assertionHeader, "JWT", nil},
	} {
		s := serve(t, guestDoor(tc.options), echoAll)
		got := s.do(t, "POST", "/mcp", bearer(token)...)
		header, claims := asserted(t, s, got, tc.header)
		if header.ExtraHeaders["typ"] != tc.typ || header.Algorithm != "ES256" {
			t.Errorf("%s: got the header %+v", tc.name, header)
		}
		if claims["iss"] != testResource || claims["aud"] != "https://backend.internal" || claims["sub"] != "ada" ||
			fmt.Sprint(claims["sub_id"]) != "map[format:iss_sub iss:https://as.example.com sub:ada]" {
			t.Errorf("%s: got %v", tc.name, claims)
		}
		for _, name := range []string{"email", "realm.roles", "phone"} {
			if _, ok := claims[name]; ok != slices.Contains(tc.claims, name) {
				t.Errorf("%s: %s is there: %t", tc.name, name, ok)
			}
		}
		if strings.Contains(got.body, token) {
			t.Errorf("%s: the token gets through: %s", tc.name, got.body)
		}
	}
}

// What a client sends under the name of the assertion, or a name that servers take for
// it, gets through nowhere on the site.
func TestForgedAssertion(t *testing.T) {
	t.Parallel()
	s := serve(t, strings.Replace(guestDoor("anonymous\n"+asserting), "mcp_auth ", "mcp_auth /mcp* ", 1), echoAll)
	names := []string{assertionHeader, "x-mcp-auth-assertion", "X_Mcp_Auth_Assertion", "X.Mcp.Auth.Assertion", "x-mcp_auth-assertion"}
	list := `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, name := range names {
		for where, ask := range map[string]func() answer{
			"beside the door": func() answer { return s.do(t, "GET", "/other", name, "forged") },
			"without a token": func() answer {
				return s.send(t, "POST", "/mcp", strings.NewReader(list), name, "forged", "Content-Type", "application/json")
			},
			"with a token": func() answer {
				return s.send(t, "POST", "/mcp", strings.NewReader(list), append(bearer(guestToken(`{"sub":"ada"}`)), name, "forged", "Content-Type", "application/json")...)
			},
			"taken out on the way": func() answer {
				return s.send(t, "POST", "/mcp", strings.NewReader(list), append(bearer(guestToken(`{"sub":"ada"}`)), "Connection", name, "Content-Type", "application/json")...)
			},
		} {
			got := ask()
			if got.StatusCode != 200 || strings.Contains(got.body, "forged") {
				t.Errorf("%s %s: got %d %s", name, where, got.StatusCode, got.body)
			}
			want := 0
			if strings.Contains(where, "with a") || strings.Contains(where, "taken") {
				want = 1
			}
			if seen := headersSeen(t, got); len(seen[assertionHeader]) != want || slices.Contains(seen["Connection"], name) {
				t.Errorf("%s %s: got %q, want %d assertions", name, where, seen, want)
			}
		}
	}
}

// With the assertion in Authorization, a caller without a token has none there.
func TestAnonymousAssertion(t *testing.T) {
	t.Parallel()
	s := serve(t, guestDoor("anonymous\nassertion {\naudience https://backend.internal\nauthorization\n}"), echoAll)
	got := s.send(t, "POST", "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`), "Content-Type", "application/json")
	if seen := headersSeen(t, got); got.StatusCode != 200 || len(seen["Authorization"]) != 0 {
		t.Errorf("got %d %q", got.StatusCode, seen)
	}
}

// The keys are public, at the exact path, and the same for all doors of the origin.
func TestAssertionKeys(t *testing.T) {
	t.Parallel()
	two := strings.Replace(guestDoor(asserting), "mcp_auth ", "mcp_auth /mcp* ", 1) + "\n" +
		strings.NewReplacer("mcp_auth ", "mcp_auth /other* ", "/mcp {", "/other {").Replace(guestDoor(asserting))
	s := serve(t, two, echoAll)
	got := s.do(t, "GET", keysPath, "Origin", "https://anywhere.example")
	if got.StatusCode != 200 || got.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(got.Header.Get("Cache-Control"), "public") || strings.Contains(got.body, `"d"`) {
		t.Errorf("got %d %v %s", got.StatusCode, got.Header, got.body)
	}
	for _, path := range []string{"/mcp", "/other"} {
		_, claims := asserted(t, s, s.do(t, "POST", path, bearer(guestToken(`{"sub":"ada"}`))...), assertionHeader)
		if claims["iss"] != "https://mcp.example.com"+path {
			t.Errorf("%s: got %v", path, claims)
		}
	}
	whole := serve(t, guestDoor(asserting), echoAll)
	without := serve(t, guestDoor(""), echoAll)
	for _, tc := range []struct {
		name, method, path string
		s                  *site
		want               int
	}{
		{"HEAD", "HEAD", keysPath, whole, 200},
		{"preflight", "OPTIONS", keysPath, whole, 204},
		{"POST", "POST", keysPath, whole, 405},
		{"below", "GET", keysPath + "/x", whole, 401},
		{"a slash more", "GET", keysPath + "/", whole, 401},
		{"escaped", "GET", strings.Replace(keysPath, "jwks", "%6awks", 1), whole, 401},
		{"other letters", "GET", strings.ToUpper(keysPath), whole, 401},
		{"doubled slash", "GET", "/.well-known//mcp-auth/jwks.json", whole, 401},
		{"no assertion", "GET", keysPath, without, 401},
	} {
		if got := tc.s.do(t, tc.method, tc.path); got.StatusCode != tc.want {
			t.Errorf("%s: got %d, want %d", tc.name, got.StatusCode, tc.want)
		}
	}
}

// No door lets an assertion in, whatever its issuers are.
func TestAssertionSentBack(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"", "authorization"} {
		home := serve(t, guestDoor("assertion {\naudience https://backend.internal\n"+form+"\n}"), echoAll)
		header := assertionHeader
		if form != "" {
			header = "Authorization"
		}
		got := home.do(t, "POST", "/mcp", bearer(guestToken(`{"sub":"ada"}`))...)
		text := strings.TrimPrefix(headersSeen(t, got)[header][0], "Bearer ")
		checked(t, home, text)
		odd := "issuer " + testResource + " {\ndiscovery off\nmetadata jwks_uri " + home.URL + keysPath + "\naudience https://backend.internal\njwt\n}"
		for name, body := range map[string]string{
			"the same door":                  guestDoor(asserting),
			"another resource":               strings.Replace(guestDoor(""), testResource, "https://other.example.com/mcp", 1),
			"with the door as its issuer":    "mcp_auth https://mcp.example.com/other {\n" + odd + "\n}",
			"that is the server behind":      "mcp_auth https://backend.internal {\n" + odd + "\n}",
			"with its verifier among others": "mcp_auth https://mcp.example.com/other {\nissuer https://as.example.com {\nguest\n}\n" + odd + "\n}",
		} {
			got := serve(t, body, echoAll).do(t, "POST", "/mcp", bearer(text)...)
			if got.StatusCode != 401 || challengeParams(t, got.Header)["error"] != "invalid_token" {
				t.Errorf("%q to a door %s: got %d %s", form, name, got.StatusCode, got.body)
			}
		}
	}
}

// Without a key no request goes on: neither without an identity, nor is its sender
// told that the token is bad.
func TestAssertionWithoutKey(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "away")
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	routes, err := adapt(guestDoor(asserting))
	if err != nil {
		t.Fatal(err)
	}
	c, err := provisionOn(t, folder, routes)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	caddymcpauth.ObserveDecisions(c.routes.Routes, zap.New(core))
	for range 2 {
		got := c.ask("POST", "/mcp", bearer(guestToken(`{"sub":"ada"}`))...)
		// What the log says is what came of the request.
		if all := logs.TakeAll(); len(all) != 1 || all[0].ContextMap()["outcome"] != "refused" || all[0].ContextMap()["reason"] != "assertion" {
			t.Errorf("got the records %v, want one of a refusal", all)
		}
		if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.Header.Get("WWW-Authenticate") != "" || got.body == "served" {
			t.Errorf("got %d %v %s", got.StatusCode, got.Header, got.body)
		}
	}
	if got := c.ask("GET", keysPath); got.StatusCode != 503 || got.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("the keys: got %d %v", got.StatusCode, got.Header)
	}
	if got := c.ask("POST", "/mcp", bearer("guest~!")...); got.StatusCode != 401 {
		t.Errorf("a bad token: got %d, want 401", got.StatusCode)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	logs.TakeAll()
	if got := c.ask("POST", "/mcp", bearer(guestToken(`{"sub":"ada"}`))...); got.StatusCode != 200 {
		t.Errorf("with the storage back: got %d %s", got.StatusCode, got.body)
	}
	if all := logs.TakeAll(); len(all) != 1 || all[0].ContextMap()["outcome"] != "allowed" {
		t.Errorf("with the storage back: got the records %v, want one of an admission", all)
	}
}

// No assertion outlives the token that it comes from.
func TestAssertionExpires(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), asserting), echoAll)
	soon := time.Now().Add(30 * time.Second).Unix()
	_, claims := asserted(t, s, s.do(t, "POST", "/mcp", bearer(issuer.Mint(map[string]any{"exp": soon}))...), assertionHeader)
	if claims["exp"] != float64(soon) {
		t.Errorf("expires at %v, want %d", claims["exp"], soon)
	}
}

// More claims than a header holds: the operator's mistake, not a request without some.
func TestAssertionTooLarge(t *testing.T) {
	t.Parallel()
	s := serve(t, guestDoor("assertion {\naudience https://backend.internal\nclaims groups\n}"), nil)
	got := s.do(t, "POST", "/mcp", bearer(guestToken(`{"sub":"ada","groups":"`+strings.Repeat("g", 9000)+`"}`))...)
	if got.StatusCode != 500 || strings.Contains(got.body, "ggg") || got.body == "served" {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

// A known token's assertion is the same until it is due, and what the issuer says
// later is in the next one.
func TestAssertionIsKept(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer()+" {\nuserinfo\n}", "assertion {\naudience https://backend.internal\nclaims email\n}"), echoAll)
	token := issuer.Opaque(map[string]any{"sub": "ada", "email": "old@example.com"})
	get := func() string {
		t.Helper()
		got := s.do(t, "POST", "/mcp", bearer(token)...)
		_, claims := asserted(t, s, got, assertionHeader)
		return fmt.Sprint(claims["jti"], claims["email"])
	}
	get()
	first := get()
	for range 3 {
		if got := get(); got != first {
			t.Errorf("got another one: %s, %s", got, first)
		}
	}
	issuer.AddOpaque(token, map[string]any{"sub": "ada", "email": "new@example.com"})
	if status, body := forget(t, "POST", `{"issuer":"`+issuer.Issuer()+`"}`); status != 200 {
		t.Fatal(body)
	}
	if got := get(); !strings.HasSuffix(got, "new@example.com") {
		t.Errorf("after forget: got %s", got)
	}
	issuer.Revoke(token)
	if status, body := forget(t, "POST", `{"issuer":"`+issuer.Issuer()+`"}`); status != 200 {
		t.Fatal(body)
	}
	if got := s.do(t, "POST", "/mcp", bearer(token)...); got.StatusCode != 401 {
		t.Errorf("revoked: got %d", got.StatusCode)
	}
}

// A reload, and another Caddy on the same storage, sign with the same key.
func TestAssertionKeyIsShared(t *testing.T) {
	t.Parallel()
	routes, err := adapt(guestDoor(asserting))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	var keys []string
	for range 3 {
		c, err := provisionOn(t, folder, routes)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, c.ask("GET", keysPath).body)
		c.cleanup()
		if got := c.try(guestToken(`{"sub":"ada"}`)); got != 200 {
			t.Errorf("a late request of the old configuration got %d", got)
		}
	}
	if keys[0] != keys[1] || keys[1] != keys[2] || strings.Count(keys[0], `"kid"`) != 1 {
		t.Errorf("got %q", keys)
	}
	other, err := adapt(strings.ReplaceAll(guestDoor(asserting), "mcp.example.com", "other.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := provisionOn(t, folder, other)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ask("GET", keysPath).body; got == keys[0] || strings.Count(got, `"kid"`) != 1 {
		t.Errorf("another origin on the storage has the keys %s", got)
	}
	// Nothing in the storage is a key in the clear.
	err = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), "PRIVATE") || strings.Contains(string(b), `"d":`) {
			t.Errorf("%s: %s", path, b)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
