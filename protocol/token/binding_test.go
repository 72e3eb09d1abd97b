package token_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	thumbprint  = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	fingerprint = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dgY"
)

// cnf is a JSON object.
type cnf = map[string]any

// bindings are claims about what a token is bound to, and how they are read by a
// verifier that allows bound tokens.
var bindings = []struct {
	name   string
	claims map[string]any
	want   token.Binding
	// refused says that the token is refused in any case.
	refused bool
}{
	{"not bound", nil, token.Binding{}, false},
	{"null", cnf{"cnf": nil}, token.Binding{}, false},
	{"a key", cnf{"cnf": cnf{"jkt": thumbprint}}, token.Binding{Key: thumbprint}, false},
	{"a certificate", cnf{"cnf": cnf{"x5t#S256": fingerprint}}, token.Binding{Certificate: fingerprint}, false},
	{"both", cnf{"cnf": cnf{"jkt": thumbprint, "x5t#S256": fingerprint}}, token.Binding{Key: thumbprint, Certificate: fingerprint}, false},
	{"empty", cnf{"cnf": cnf{}}, token.Binding{}, true},
	{"a text", cnf{"cnf": thumbprint}, token.Binding{}, true},
	{"a list", cnf{"cnf": []any{cnf{"jkt": thumbprint}}}, token.Binding{}, true},
	{"a key written out", cnf{"cnf": cnf{"jwk": cnf{"kty": "oct"}}}, token.Binding{}, true},
	{"a key by its kid", cnf{"cnf": cnf{"kid": "1"}}, token.Binding{}, true},
	{"a key and something unknown", cnf{"cnf": cnf{"jkt": thumbprint, "kid": "1"}}, token.Binding{}, true},
	{"a certificate by SHA-1", cnf{"cnf": cnf{"x5t": fingerprint}}, token.Binding{}, true},
	{"JKT", cnf{"cnf": cnf{"JKT": thumbprint}}, token.Binding{}, true},
	{"null key", cnf{"cnf": cnf{"jkt": nil}}, token.Binding{}, true},
	{"empty key", cnf{"cnf": cnf{"jkt": ""}}, token.Binding{}, true},
	{"short key", cnf{"cnf": cnf{"jkt": thumbprint[1:]}}, token.Binding{}, true},
	{"key in standard base64", cnf{"cnf": cnf{"jkt": thumbprint[:42] + "/"}}, token.Binding{}, true},
	{"certificate with stray bits", cnf{"cnf": cnf{"x5t#S256": fingerprint[:42] + "Z"}}, token.Binding{}, true},
	{"padded key", cnf{"cnf": cnf{"jkt": thumbprint + "="}}, token.Binding{}, true},
	{"key with a line break", cnf{"cnf": cnf{"jkt": thumbprint[:20] + "\n" + thumbprint[20:]}}, token.Binding{}, true},
	{"said to be, no key", cnf{"typ": "DPoP"}, token.Binding{}, true},
	{"said to be, a certificate", cnf{"typ": "DPoP", "cnf": cnf{"x5t#S256": fingerprint}}, token.Binding{}, true},
	{"said to be, and a key", cnf{"typ": "DPoP", "cnf": cnf{"jkt": thumbprint}}, token.Binding{Key: thumbprint}, false},
}

// A bound token is what it is, or refused: never a plain one.
func TestBindingOfJWT(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	strict := newJWT(t, srv, nil, nil)
	lenient := newJWT(t, srv, nil, func(c *token.JWTConfig) { c.AllowBound = true })
	for _, tc := range bindings {
		raw := srv.Mint(tc.claims)
		checkBinding(t, tc.name+", not allowed", token.Binding{}, tc.refused || !tc.want.IsZero())(judge(t.Context(), strict, raw))
		checkBinding(t, tc.name, tc.want, tc.refused)(judge(t.Context(), lenient, raw))
	}
}

func TestBindingOfIntrospection(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	for _, tc := range bindings {
		answer := srv.DefaultClaims()
		answer["active"] = true
		for name, value := range tc.claims {
			if name == "typ" { // it has this name here (RFC 9449, section 6.2)
				name = "token_type"
			}
			answer[name] = value
		}
		strict, lenient := introspecting(t, srv, answer, false), introspecting(t, srv, answer, true)
		checkBinding(t, tc.name+", not allowed", token.Binding{}, tc.refused || !tc.want.IsZero())(judge(t.Context(), strict, "opaque"))
		checkBinding(t, tc.name, tc.want, tc.refused)(judge(t.Context(), lenient, "opaque"))
	}
}

// Where both the JWT and its issuer are asked, what either says counts.
func TestBindingConfirmed(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	key, other, certificate := cnf{"jkt": thumbprint}, cnf{"jkt": fingerprint}, cnf{"x5t#S256": fingerprint}
	for _, tc := range []struct {
		name             string
		jwt, introspects any
		want             token.Binding
		outcome          string
	}{
		{"neither", nil, nil, token.Binding{}, "verified"},
		{"only the JWT", key, nil, token.Binding{Key: thumbprint}, "verified"},
		{"only the issuer", nil, key, token.Binding{Key: thumbprint}, "verified"},
		{"both", key, key, token.Binding{Key: thumbprint}, "verified"},
		{"of two kinds", key, certificate, token.Binding{Key: thumbprint, Certificate: fingerprint}, "verified"},
		{"two keys", key, other, token.Binding{}, "bad_claims"},
	} {
		answer := srv.DefaultClaims()
		answer["active"], answer["cnf"] = true, tc.introspects
		tok, err := judge(t.Context(), introspecting(t, srv, answer, true), srv.Mint(cnf{"cnf": tc.jwt}))
		if got := outcome(tok, err); got != tc.outcome {
			t.Errorf("%s: got %s (%v), want %s", tc.name, got, err, tc.outcome)
		} else if tok != nil && tok.Binding != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.name, tok.Binding, tc.want)
		}
	}
}

func checkBinding(t *testing.T, name string, want token.Binding, refused bool) func(*token.Token, error) {
	return func(tok *token.Token, err error) {
		t.Helper()
		wantOutcome := "verified"
		if refused {
			wantOutcome = "sender_constrained"
		}
		if got := outcome(tok, err); got != wantOutcome {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, wantOutcome)
		} else if !refused && tok.Binding != want {
			t.Errorf("%s: got %+v, want %+v", name, tok.Binding, want)
		}
	}
}

// introspecting returns a verifier of tokens about which the issuer answers so.
func introspecting(t *testing.T, srv *oauthtest.Server, answer map[string]any, allowBound bool) *token.Introspection {
	t.Helper()
	b, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b)
	}))
	t.Cleanup(endpoint.Close)
	v, err := token.NewIntrospection(token.IntrospectionConfig{
		Issuer:     srv.Issuer(),
		Endpoint:   func(context.Context) (string, error) { return endpoint.URL, nil },
		Auth:       token.ClientSecretBasic("id", "secret"),
		Audience:   []string{mcpResource},
		JWT:        newJWT(t, srv, nil, func(c *token.JWTConfig) { c.AllowBound = allowBound }),
		AllowBound: allowBound,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
