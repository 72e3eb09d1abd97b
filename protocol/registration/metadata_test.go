package registration

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// What a client registers that the operator hasn't allowed is left out; what
// nobody may have spoils the whole.
func TestParseNarrows(t *testing.T) {
	t.Parallel()
	const private, web, loopback = "cursor://anysphere.cursor-mcp/oauth/callback", "https://www.cursor.com/agents/mcp/oauth/callback", "http://localhost:8787/callback"
	open, schemes, listed := &Policy{}, &Policy{PrivateSchemes: []string{"cursor"}}, &Policy{RedirectURIs: []string{web}}
	for _, test := range []struct {
		name   string
		policy *Policy
		uris   []string
		want   []string // nil: refused
		reason string
	}{
		{"an application's three", open, []string{private, web, loopback}, []string{web, loopback}, ""},
		{"its scheme is allowed", schemes, []string{private, web, loopback}, []string{private, web, loopback}, ""},
		{"one is listed", listed, []string{private, web, loopback}, []string{web}, ""},
		{"out of band", open, []string{"urn:ietf:wg:oauth:2.0:oob", web}, []string{web}, ""},
		{"nothing but the scheme", open, []string{private}, nil, "private_schemes"},
		{"none is listed", listed, []string{loopback, "https://b.example/cb"}, nil, "operator"},
		{"javascript", open, []string{web, "javascript:alert(1)"}, nil, "javascript"},
		{"javascript first", schemes, []string{"javascript:alert(1)", private}, nil, "javascript"},
		{"fragment", listed, []string{web, "https://b.example/#x"}, nil, "fragment"},
		{"remote http", open, []string{private, "http://b.example/cb", web}, nil, "https nor on loopback"},
		{"none", open, nil, nil, ""},
	} {
		body := `{"redirect_uris":["` + strings.Join(test.uris, `","`) + `"]}`
		if test.uris == nil {
			body = `{}`
		}
		m, err := Parse([]byte(body), test.policy)
		if test.want == nil {
			refused, ok := errors.AsType[*Error](err)
			if !ok || refused.Code != "invalid_redirect_uri" || !strings.Contains(refused.Error(), test.reason) {
				t.Errorf("%s: got %v, want invalid_redirect_uri for %q", test.name, err, test.reason)
			}
			continue
		}
		if err != nil || !slices.Equal(m.RedirectURIs, test.want) {
			t.Errorf("%s: got %+v, %v, want %q", test.name, m, err, test.want)
		}
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]bool{
		`"token_endpoint_auth_method":"none"`: true,
		`"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_methods_supported":["none","private_key_jwt"]`: true,
		`"token_endpoint_auth_methods_supported":["none"]`:                                                                  true,
		`"token_endpoint_auth_method":"private_key_jwt"`:                                                                    false,
		`"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_methods_supported":["private_key_jwt"]`:        false,
		`"x":1`: false,
	} {
		m, err := Parse([]byte(`{"redirect_uris":["https://a.example/cb"],`+members+`}`), &Policy{})
		if err != nil || m.Public() != want {
			t.Errorf("%s: got %+v, %v, want %t", members, m, err, want)
		}
	}
}
