package token_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// A slim token says what the token said, whatever was made slim before it.
func TestSlim(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	jwt := newJWT(t, srv, nil, nil)
	raw := srv.Mint(map[string]any{"sub": "ada", "azp": "ide", "email": "ada@example.com"})
	signed, err := judge(t.Context(), jwt, raw)
	if err != nil {
		t.Fatal(err)
	}
	expiry := time.Unix(4_000_000_000, 0)
	of := func(t token.Token, claims string) *token.Token { return token.New(t, []byte(claims)) }
	bound := *signed
	bound.Binding = token.Binding{Key: "key", Certificate: "certificate"}
	tokens := map[string]*token.Token{
		"JWT":           signed,
		"bound":         &bound,
		"opaque, bound": of(token.Token{Issuer: "https://a.example", Subject: "ada", Binding: token.Binding{Key: "another"}}, `{"sub":"ada"}`),
		"opaque, not":   of(token.Token{Issuer: "https://a.example", Subject: "ada"}, `{"sub":"ada"}`),
		"opaque":        of(token.Token{Issuer: "https://a.example", Subject: "ada", Type: token.ClientSubject, ClientID: "ide", Audience: []string{"x", "y"}, Scopes: []string{"read"}, Expiry: expiry}, `{"sub":"ada","aud":["x","y"],"client_id":"ide","team":["a", 1.5, null]}`),
		"alike":         of(token.Token{Issuer: "https://a.example", Subject: "bob", Type: token.ClientSubject, ClientID: "ide", Audience: []string{"x", "y"}, Scopes: []string{"read"}}, `{"sub":"bob","aud":["x","y"],"client_id":"ide"}`),
		// Joined by a space they are the same.
		"another audience":  of(token.Token{Issuer: "https://a.example", Subject: "eve", Type: token.ClientSubject, ClientID: "ide", Audience: []string{"x y"}, Scopes: []string{"read"}}, `{"sub":"eve","aud":["x","y"],"client_id":"ide"}`),
		"common ones only":  of(token.Token{Subject: "u"}, `{"iss":"https://a.example"}`),
		"no claims":         of(token.Token{Subject: "u"}, `{}`),
		"subject elsewhere": of(token.Token{Subject: "carol"}, `{"username":"dave"}`),
	}
	var slimmer token.Slimmer
	for range 2 {
		for name, want := range tokens {
			slim := slimmer.Slim(want)
			got := slim.Token(raw, nil)
			if slim.Subject() != want.Subject || got.Issuer != want.Issuer || got.Subject != want.Subject ||
				got.Binding != want.Binding || !reflect.DeepEqual(got.Scopes, want.Scopes) || !got.Expiry.Equal(want.Expiry) || got.Signed() != want.Signed() {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
			full := got.Full()
			if full.Type != want.Type || full.ClientID != want.ClientID || full.Binding != want.Binding || !reflect.DeepEqual(full.Audience, want.Audience) {
				t.Errorf("%s: in full got %+v, want %+v", name, full, want)
			}
			if got, want := got.Claims(), want.Claims(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got the claims %v, want %v", name, got, want)
			}
		}
	}
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	es := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	rs := oauthtest.New(t, oauthtest.Options{Algorithm: "RS256"})
	for _, tc := range []struct {
		name, raw string
		want      []string // nil: one that is as long, and good as well
	}{
		{"opaque", "b3Bh", []string{"b3Bh=", "b3Bh=="}},
		{"padded", "b3Bh=", []string{"b3Bh", "b3Bh=="}},
		{"padded twice", "b3Bh==", []string{"b3Bh", "b3Bh="}},
		{"RSA", rs.Mint(nil), []string{}},
		{"ECDSA", es.Mint(nil), nil},
	} {
		p, err := token.Present(tc.raw)
		if err != nil {
			t.Fatal(err)
		}
		got := p.Spellings()
		if tc.want != nil {
			if strings.Join(got, " ") != strings.Join(tc.want, " ") {
				t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
			}
			continue
		}
		if len(got) != 1 || got[0] == tc.raw || len(got[0]) != len(tc.raw) {
			t.Fatalf("%s: got %q, want one other form", tc.name, got)
		}
		if tok, err := judge(t.Context(), newJWT(t, es, nil, nil), got[0]); err != nil || tok.Subject == "" {
			t.Errorf("%s: the other form: got %v, want it to be good", tc.name, err)
		}
		twin, err := token.Present(got[0])
		if err != nil {
			t.Fatal(err)
		}
		if back := twin.Spellings(); len(back) != 1 || back[0] != tc.raw {
			t.Errorf("%s: the other form of the other form: got %q, want %q", tc.name, back, tc.raw)
		}
	}
}

func TestIsFor(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	for _, tc := range []struct {
		name, raw string
		want      bool
	}{
		{"one of them", srv.Mint(map[string]any{"aud": []string{"x", mcpResource}}), true},
		{"a slash at the end", srv.Mint(map[string]any{"aud": mcpResource + "/"}), true},
		{"another", srv.Mint(map[string]any{"aud": mcpResource + "2"}), false},
		{"none", srv.Mint(map[string]any{"aud": oauthtest.Absent}), false},
		{"opaque", mcpResource, false},
	} {
		p, err := token.Present(tc.raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.IsFor([]string{"https://other.example", mcpResource}); got != tc.want {
			t.Errorf("%s: got %t, want %t", tc.name, got, tc.want)
		}
	}
}
