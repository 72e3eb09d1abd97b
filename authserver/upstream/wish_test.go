package upstream_test

import (
	"net/url"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

func TestWish(t *testing.T) {
	t.Parallel()
	op := newOP(t)
	github, err := upstream.NewGitHub(upstream.GitHubConfig{ClientID: clientID, ClientSecret: clientSecret})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		provider upstream.Provider
		wish     upstream.Wish
		want     url.Values
	}{
		"nothing":           {op.oidc(t, nil), upstream.Wish{}, url.Values{}},
		"OpenID":            {op.oidc(t, nil), upstream.Wish{LoginHint: "ada&x=y", Prompt: "login"}, url.Values{"login_hint": {"ada&x=y"}, "prompt": {"login"}}},
		"GitHub":            {github, upstream.Wish{LoginHint: "ada", Prompt: "login"}, url.Values{"login": {"ada"}, "prompt": {"select_account"}}},
		"GitHub, no prompt": {github, upstream.Wish{LoginHint: "ada"}, url.Values{"login": {"ada"}}},
	} {
		address, _, err := tt.provider.Begin(t.Context(), redirectURI, tt.wish)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		got := url.Values{}
		for _, parameter := range []string{"login_hint", "login", "prompt", "x"} {
			if value, ok := u.Query()[parameter]; ok {
				got[parameter] = value
			}
		}
		if got.Encode() != tt.want.Encode() {
			t.Errorf("%s: got %s, want %s", name, got.Encode(), tt.want.Encode())
		}
	}
}
