package judge_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// answers is a [token.Verifier] with a fixed answer.
type answers struct {
	name  string
	token *token.Token
	err   error
	asked *[]string
}

func (v answers) Verify(context.Context, *token.Presented) (*token.Token, error) {
	*v.asked = append(*v.asked, v.name)
	return v.token, v.err
}

func (answers) Accepts(*token.Presented) bool { return true }

// jwsOnly and opaqueOnly are asked about one form of tokens.
type (
	jwsOnly    struct{ answers }
	opaqueOnly struct{ answers }
)

func (jwsOnly) Accepts(p *token.Presented) bool    { return p.JWS != nil }
func (opaqueOnly) Accepts(p *token.Presented) bool { return p.JWS == nil }

func TestIssuers(t *testing.T) {
	t.Parallel()
	good := &token.Token{Subject: "user-1"}
	inactive := &token.InvalidError{Reason: token.Inactive}
	expired := &token.InvalidError{Reason: token.Expired}
	down := &token.UnavailableError{Err: errors.New("down")}
	const opaque = "opaque"
	of := func(issuer string) string {
		p := compact(`{"alg":"RS256"}`, `{"iss":"`+issuer+`"}`)
		return p
	}
	type v = func(name string, asked *[]string) token.Verifier
	says := func(tok *token.Token, err error) v {
		return func(name string, asked *[]string) token.Verifier { return answers{name, tok, err, asked} }
	}
	jws := func(tok *token.Token, err error) v {
		return func(name string, asked *[]string) token.Verifier { return jwsOnly{answers{name, tok, err, asked}} }
	}
	handle := func(tok *token.Token, err error) v {
		return func(name string, asked *[]string) token.Verifier { return opaqueOnly{answers{name, tok, err, asked}} }
	}

	tests := []struct {
		name  string
		a, b  []v // the verifiers of https://a.example and https://b.example
		token string
		want  string
		asked string
	}{
		{"unknown issuer", []v{says(good, nil)}, []v{says(good, nil)}, of("https://c.example"), "unknown_issuer", ""},
		{"issuer with a slash", []v{says(good, nil)}, nil, of("https://a.example/"), "unknown_issuer", ""},
		{"no issuer", []v{says(good, nil)}, nil, of(""), "unknown_issuer", ""},
		{"first issuer", []v{jws(good, nil)}, []v{jws(good, nil)}, of("https://a.example"), "verified", "a0"},
		{"second issuer", []v{jws(good, nil)}, []v{jws(good, nil)}, of("https://b.example"), "verified", "b0"},
		{"another issuer's verifier is not asked", []v{jws(nil, expired)}, []v{jws(good, nil)}, of("https://a.example"), "expired", "a0"},
		{"JWS, and its issuer takes opaque tokens only", []v{handle(good, nil)}, []v{says(good, nil)}, of("https://a.example"), "wrong_type", ""},
		{"JWS at the second verifier", []v{jws(nil, expired), says(good, nil)}, nil, of("https://a.example"), "verified", "a0 a1"},
		{"opaque, nobody takes it", []v{jws(good, nil)}, []v{jws(good, nil)}, opaque, "opaque", ""},
		{"opaque, first issuer", []v{handle(good, nil)}, []v{handle(good, nil)}, opaque, "verified", "a0"},
		{"opaque, in order", []v{jws(good, nil), handle(nil, inactive)}, []v{handle(good, nil)}, opaque, "verified", "a1 b0"},
		{"opaque, inactive everywhere", []v{handle(nil, inactive)}, []v{handle(nil, inactive)}, opaque, "inactive", "a0 b0"},
		{"opaque, unavailable, then verified", []v{handle(nil, down)}, []v{handle(good, nil)}, opaque, "verified", "a0 b0"},
		{"opaque, unavailable, then inactive", []v{handle(nil, down)}, []v{handle(nil, inactive)}, opaque, "unavailable", "a0 b0"},
		{"opaque, inactive, then unavailable", []v{handle(nil, inactive)}, []v{handle(nil, down)}, opaque, "unavailable", "a0 b0"},
		{"neither token nor error", []v{handle(nil, nil)}, nil, opaque, "another error: verifier returned neither a token nor an error", "a0"},
		{"neither token nor error, then inactive", []v{handle(nil, nil)}, []v{handle(nil, inactive)}, opaque, "another error: verifier returned neither a token nor an error", "a0 b0"},
		{"token and error", []v{handle(good, expired)}, nil, opaque, "expired", "a0"},
		{"any other error", []v{handle(nil, errors.New("oops"))}, []v{handle(nil, inactive)}, opaque, "another error: oops", "a0 b0"},
		{"wrapped refusal", []v{handle(nil, errors.Join(inactive))}, nil, opaque, "inactive", "a0"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			list := judge.Issuers{{Issuer: "https://a.example"}, {Issuer: "https://b.example"}}
			for i, makers := range [][]v{tc.a, tc.b} {
				for j, mk := range makers {
					name := string("ab"[i]) + string("01"[j])
					list[i].Verifiers = append(list[i].Verifiers, &judge.Verifier{Source: token.Source{Verifier: mk(name, &asked)}})
				}
			}
			tok, err := list.Judge(t.Context(), tc.token)
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if got := strings.Join(asked, " "); got != tc.asked {
				t.Errorf("got verifiers %q asked, want %q", got, tc.asked)
			}
		})
	}
}

func TestNoIssuers(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"opaque": "opaque",
		compact(`{"alg":"RS256"}`, `{"iss":"https://a.example"}`): "unknown_issuer",
	} {
		if got := outcome(judge.Issuers(nil).Judge(t.Context(), raw)); got != want {
			t.Errorf("Issuers(nil), token %.10s: got %s, want %s", raw, got, want)
		}
	}
}
