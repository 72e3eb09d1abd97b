package authserver

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

// Every secret is replaced, also those of upstreams that have no issuer to tell
// them apart.
func TestPlaceholders(t *testing.T) {
	for name, value := range map[string]string{"TEST_ONE": "secret one", "TEST_TWO": "secret two"} {
		t.Setenv(name, value)
	}
	h := &Handler{
		Upstreams: []*Upstream{
			{Type: "github", ClientID: "one", ClientSecret: "{env.TEST_ONE}"},
			{Type: "github", Name: "enterprise", ClientID: "two", ClientSecret: "{env.TEST_TWO}"},
			nil,
		},
		Clients: []*Client{{ID: "a", Secret: "{env.TEST_ONE}"}, nil},
		Secret:  "{env.TEST_TWO}",
	}
	if err := h.replacePlaceholders(); err != nil {
		t.Fatal(err)
	}
	got := []string{h.Upstreams[0].ClientSecret, h.Upstreams[1].ClientSecret, h.Clients[0].Secret, h.Secret}
	if want := []string{"secret one", "secret two", "secret one", "secret two"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	h.Secret = "{env.TEST_ABSENT}"
	if err := h.replacePlaceholders(); err == nil || !strings.Contains(err.Error(), "secret") {
		t.Errorf("a placeholder that is empty: got %v", err)
	}
}

// What an upstream says of a user has to fit into a cookie and a token.
func TestUpstreamUser(t *testing.T) {
	t.Parallel()
	u := &Upstream{Name: "office", provider: &idp{}, rules: upstream.Rules{{Kind: "group", Values: []string{"staff"}}}}
	long := strings.Repeat("x", maxUserText+1)
	got := u.user("office", upstream.Identity{
		Subject: "1", Username: long, Name: long, Email: long + "@example.com", EmailVerified: true, Groups: []string{"staff", "other"},
	})
	if want := (oauth.User{Subject: "office:1", Source: u.source(), Groups: []string{"staff"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = u.user("office", upstream.Identity{Subject: "1", Username: "ada", Name: "Ada", Email: "ada@example.com", EmailVerified: true})
	want := oauth.User{Subject: "office:1", Source: u.source(), Username: "ada", Name: "Ada", Email: "ada@example.com", EmailVerified: true}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
