package judge_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// prefixed is a verifier of opaque tokens that writes down what it is shown.
type prefixed struct {
	name     string
	prefixes []string
	knows    string // tokens that it says are good begin with this
	shown    *[]string
}

func (v prefixed) Verify(_ context.Context, p *token.Presented) (*token.Token, error) {
	*v.shown = append(*v.shown, v.name)
	if v.knows != "" && strings.HasPrefix(p.Raw, v.knows) {
		return &token.Token{Subject: v.name}, nil
	}
	return nil, &token.InvalidError{Reason: token.Inactive}
}
func (prefixed) Accepts(p *token.Presented) bool { return p.JWS == nil }

func (v prefixed) Source() token.Source { return token.Source{Verifier: v, Prefixes: v.prefixes} }

// A token with a prefix is shown to nobody but the issuers that claim it, also
// when they don't know it.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	type v struct {
		issuer   string
		prefixes string
		kind     string // "", guessed or local
	}
	two := []v{{"a", "a_", ""}, {"b", "b_", ""}}
	for _, tc := range []struct {
		name      string
		verifiers []v
		raw       string
		shown     string
		want      string
	}{
		{"the first issuer's", two, "a_1", "a", "inactive"},
		{"the second issuer's", two, "b_1", "b", "inactive"},
		{"of neither", two, "c_1", "", "opaque"},
		{"another case", two, "A_1", "", "opaque"},
		{"prefix elsewhere", two, "xa_1", "", "opaque"},
		{"part of the prefix", two, "a", "", "opaque"},
		{"the prefix alone", two, "a_", "a", "inactive"},
		{"one without: its own", []v{{"a", "a_", ""}, {"b", "", ""}}, "x", "b", "inactive"},
		{"one without: not the other's", []v{{"a", "a_", ""}, {"b", "", ""}}, "a_1", "a", "inactive"},
		{"one without, first: not the other's", []v{{"b", "", ""}, {"a", "a_", ""}}, "a_1", "a", "inactive"},
		{"the longer prefix", []v{{"a", "t_", ""}, {"b", "t_b_", ""}}, "t_b_1", "b", "inactive"},
		{"the longer prefix, first", []v{{"b", "t_b_", ""}, {"a", "t_", ""}}, "t_b_1", "b", "inactive"},
		{"the shorter prefix", []v{{"a", "t_", ""}, {"b", "t_b_", ""}}, "t_c_1", "a", "inactive"},
		{"several of one issuer", []v{{"a", "x_ y_", ""}, {"b", "z_", ""}}, "y_1", "a", "inactive"},
		{"two verifiers of one issuer", []v{{"a", "a_", ""}, {"a", "a_", ""}, {"b", "", ""}}, "a_1", "a a", "inactive"},
		{"none at all: in order", []v{{"a", "", ""}, {"b", "", ""}}, "x", "a b", "inactive"},
		{"an API key is nobody's", []v{{"a", "", ""}, {"b", "", ""}}, "mcpk_1", "", "opaque"},
		{"an API key is local", []v{{"a", "", ""}, {"k", "", "local"}}, "mcpk_1", "k", "inactive"},
		{"local ones see it first", []v{{"a", "a_", ""}, {"k", "", "local"}}, "a_1", "k a", "inactive"},
		{"known prefixes, alone", []v{{"g", "gho_", "guessed"}}, "0123456789abcdef", "g", "inactive"},
		{"known prefixes, beside another", []v{{"g", "gho_", "guessed"}, {"b", "", ""}}, "0123456789abcdef", "b", "inactive"},
		{"known prefixes, beside another with its own", []v{{"g", "gho_", "guessed"}, {"b", "b_", ""}}, "0123456789abcdef", "", "opaque"},
		{"known prefixes, its own", []v{{"b", "", ""}, {"g", "gho_", "guessed"}}, "gho_1", "g", "inactive"},
		{"configured prefixes, alone", []v{{"a", "a_", ""}}, "x", "", "opaque"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var shown []string
			var list judge.Issuers
			for _, v := range tc.verifiers {
				p := prefixed{name: v.issuer, prefixes: strings.Fields(v.prefixes), shown: &shown}
				source := p.Source()
				source.MorePrefixes = v.kind == "guessed"
				source.NoNetwork = v.kind == "local"
				if n := len(list); n == 0 || list[n-1].Issuer != v.issuer {
					list = append(list, judge.Issuer{Issuer: v.issuer})
				}
				last := &list[len(list)-1]
				last.Verifiers = append(last.Verifiers, newCache(t, judge.CacheConfig{}).Cached(source))
			}
			tok, err := list.Judge(t.Context(), tc.raw)
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if got := strings.Join(shown, " "); got != tc.shown {
				t.Errorf("shown to %q, want %q", got, tc.shown)
			}
		})
	}
}

func TestIssuersCheckPrefixes(t *testing.T) {
	t.Parallel()
	with := func(prefixes ...string) *judge.Verifier {
		return &judge.Verifier{Source: prefixed{prefixes: prefixes}.Source()}
	}
	of := func(issuer string, prefixes ...string) judge.Issuer {
		return judge.Issuer{Issuer: issuer, Verifiers: []*judge.Verifier{with(prefixes...)}}
	}
	jwt := judge.Issuer{Issuer: "jwt", Verifiers: []*judge.Verifier{{Source: token.Source{Verifier: jwsOnly{}}}}}
	keys := judge.Issuer{Issuer: "keys", Verifiers: []*judge.Verifier{{Source: token.Source{Verifier: prefixed{}, NoNetwork: true}}}}
	for _, tc := range []struct {
		name string
		list judge.Issuers
		open string
		err  string
	}{
		{"one", judge.Issuers{of("a")}, "", ""},
		{"two without", judge.Issuers{of("a"), of("b")}, "a b", ""},
		{"one of two", judge.Issuers{of("a", "x_"), of("b")}, "", ""},
		{"two of three without", judge.Issuers{of("a", "x_"), of("b"), of("c")}, "b c", ""},
		{"beside a JWT issuer", judge.Issuers{of("a"), jwt}, "", ""},
		{"beside API keys", judge.Issuers{of("a"), keys}, "", ""},
		{"an issuer whose second verifier has none", judge.Issuers{{Issuer: "a", Verifiers: []*judge.Verifier{with("x_"), with()}}, of("b")}, "a b", ""},
		{"the same prefix", judge.Issuers{of("a", "x_"), of("b", "y_", "x_")}, "", `issuers "a" and "b" have the same token_prefix "x_"`},
		{"the same prefix, one issuer", judge.Issuers{{Issuer: "a", Verifiers: []*judge.Verifier{with("x_"), with("x_")}}}, "", ""},
		{"nested prefixes", judge.Issuers{of("a", "x_"), of("b", "x_y_")}, "", ""},
	} {
		open, err := tc.list.CheckPrefixes()
		if got := strings.Join(open, " "); got != tc.open {
			t.Errorf("%s: got open %q, want %q", tc.name, got, tc.open)
		}
		if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.err)
		}
	}
}

// Issuers without prefixes are asked in order, however slow the first is: the
// second is shown a token only after the first did not vouch for it.
func TestIssuersOneAfterTheOther(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		first error // what the first says after 4 s; nil: good
		want  string
		shown []string
	}{
		{"slow and right", nil, "verified", []string{"a"}},
		{"slow, doesn't know it", &token.InvalidError{Reason: token.Inactive}, "verified", []string{"a", "b"}},
		{"slow and away", &token.UnavailableError{Err: errors.New("away")}, "verified", []string{"a", "b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var shown []string
				slow := &counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
					shown = append(shown, "a")
					time.Sleep(4 * time.Second)
					if len(shown) > 1 {
						t.Error("the second was asked meanwhile")
					}
					if tc.first != nil {
						return nil, tc.first
					}
					return &token.Token{Subject: raw}, nil
				}}
				list := judge.Issuers{
					{Issuer: "a", Verifiers: []*judge.Verifier{{Source: slow.Source()}}},
					{Issuer: "b", Verifiers: []*judge.Verifier{{Source: prefixed{name: "b", knows: "o", shown: &shown}.Source()}}},
				}
				tok, err := list.Judge(t.Context(), "opaque")
				if got := outcome(tok, err); got != tc.want || !slices.Equal(shown, tc.shown) {
					t.Errorf("got %s (%v) from %q, want %s from %q", got, err, shown, tc.want, tc.shown)
				}
			})
		})
	}
}

// A caller that has left is a reason to show its token to no further issuer.
func TestIssuersCallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := holding(nil)
		member := &judge.Verifier{Source: slow.Source()}
		list := judge.Issuers{{Issuer: "a", Verifiers: []*judge.Verifier{member, member, member}}}
		ctx, leave := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer leave()
		if got := outcome(list.Judge(ctx, "opaque")); got != "unavailable" && got != "another error: context deadline exceeded" {
			t.Errorf("got %s, want unavailable", got)
		}
		checkCalls(t, "in 300ms", &slow.calls, 1)
	})
}
