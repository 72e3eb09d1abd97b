package authserver

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/github"
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

// The groups of a user's tokens are all that were asked for, besides those that the
// rules look at, or nobody signs in.
func TestUpstreamGroups(t *testing.T) {
	t.Parallel()
	all := []string{"acme", "other", "acme/maintainers", "other/staff"}
	many := make([]string, maxGroups+1)
	for i := range many {
		many[i] = fmt.Sprint("acme/", i)
	}
	long := []string{"acme/" + strings.Repeat("x", maxGroupBytes)}
	for _, test := range []struct {
		name       string
		of, groups []string
		want       []string // nil: too many
	}{
		{"none asked for", nil, all, []string{"other/staff"}},
		{"none asked for, and many", nil, append(many, "other/staff"), []string{"other/staff"}},
		{"all", []string{"*"}, all, []string{"other/staff", "acme", "other", "acme/maintainers"}},
		{"one organization's", []string{"acme"}, all, []string{"other/staff", "acme", "acme/maintainers"}},
		{"no such", []string{"nobody"}, all, []string{"other/staff"}},
		{"as many as fit", []string{"*"}, many[1:], many[1:]},
		{"too many", []string{"*"}, many, nil},
		{"too many, elsewhere", []string{"other"}, append(many, "other/staff"), []string{"other/staff"}},
		{"too long", []string{"*"}, long, nil},
	} {
		u := &Upstream{Type: "github", Groups: test.of, rules: upstream.Rules{{Kind: "org", Values: []string{"Other/Staff"}}}, provider: &idp{}}
		user, err := u.user("github", upstream.Identity{Subject: "1", Groups: test.groups})
		_, tooMany := errors.AsType[*github.TooManyError](err)
		if tooMany != (test.want == nil) || !tooMany && (err != nil || !slices.Equal(user.Groups, test.want)) {
			t.Errorf("%s: got %q, %v, want %q", test.name, user.Groups, err, test.want)
		}
	}
}

// What an upstream says of a user has to fit into a cookie and a token.
func TestUpstreamUser(t *testing.T) {
	t.Parallel()
	u := &Upstream{Name: "office", provider: &idp{}, rules: upstream.Rules{{Kind: "group", Values: []string{"staff"}}}}
	long := strings.Repeat("x", maxUserText+1)
	got, err := u.user("office", upstream.Identity{
		Subject: "1", Username: long, Name: long, Email: long + "@example.com", EmailVerified: true, Groups: []string{"staff", "other"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (oauth.User{Subject: "office:1", Source: u.source(), Groups: []string{"staff"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got, _ = u.user("office", upstream.Identity{Subject: "1", Username: "ada", Name: "Ada", Email: "ada@example.com", EmailVerified: true})
	want := oauth.User{Subject: "office:1", Source: u.source(), Username: "ada", Name: "Ada", Email: "ada@example.com", EmailVerified: true}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
