package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// published are metadata documents by their URL.
type published map[string]string

func (p published) Reachable() bool { return true }

func (p published) Fetch(_ context.Context, id string) ([]byte, error) {
	body, ok := p[id]
	if !ok {
		return nil, errors.New("there is none")
	}
	return []byte(body), nil
}

func (p published) KeySet(_ context.Context, address string, _ time.Time) (*keys.Set, error) {
	body, ok := p[address]
	if !ok {
		return nil, &outbound.UnavailableError{Err: errors.New("there is none")}
	}
	return keys.ParseSet([]byte(body))
}

// Clients publish one document for all servers: it may prefer what this one
// doesn't have, as long as it says that the client can do without.
func TestDocumentsOfKnownClients(t *testing.T) {
	t.Parallel()
	const id = "https://chatgpt.example/oauth/client.json"
	name := `,"client_name":"ChatGPT"`
	document := func(more string) published {
		return published{id: `{"client_id":"` + id + `"` + more + `,"redirect_uris":["` + testRedirect + `"],` +
			`"grant_types":["authorization_code","refresh_token"],"response_types":["code"]}`}
	}
	for what, test := range map[string]struct {
		more string
		good bool
	}{
		"public":                 {name + `,"token_endpoint_auth_method":"none"`, true},
		"says nothing":           {name, true},
		"prefers a key":          {name + `,"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_methods_supported":["none","private_key_jwt"],"token_endpoint_auth_signing_alg":"RS256","jwks_uri":"https://chatgpt.example/oauth/jwks.json"`, true},
		"prefers no key":         {name + `,"token_endpoint_auth_method":"none","token_endpoint_auth_methods_supported":["none","private_key_jwt"]`, true},
		"prefers a bad key":      {name + `,"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_methods_supported":["none","private_key_jwt"],"jwks_uri":"http://chatgpt.example/jwks"`, true},
		"insists on no key":      {name + `,"token_endpoint_auth_method":"private_key_jwt"`, false},
		"insists on two sets":    {name + `,"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://chatgpt.example/jwks","jwks":{"keys":[]}`, false},
		"insists, with no set":   {name + `,"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[]}`, false},
		"insists, in the clear":  {name + `,"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"http://chatgpt.example/jwks"`, false},
		"insists, and lists":     {name + `,"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_methods_supported":["private_key_jwt"]`, false},
		"unknown algorithm":      {name + `,"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"HS256","jwks_uri":"https://chatgpt.example/jwks"`, false},
		"wants a secret":         {name + `,"token_endpoint_auth_method":"client_secret_basic"`, false},
		"a list that is none":    {name + `,"token_endpoint_auth_methods_supported":"none"`, false},
		"redirect URIs twice":    {name + `,"redirect_uris":["javascript:alert(1)"]`, false},
		"method of another type": {name + `,"token_endpoint_auth_method":["none"]`, false},
		"no name":                {`,"token_endpoint_auth_method":"none"`, false},
		"an empty name":          {`,"client_name":""`, false},
	} {
		f := newFixture(t, func(c *Config) { c.Documents = document(test.more) })
		a, c, err := f.Authorize(t.Context(), testQuery("client_id", id).Encode())
		if !test.good {
			if refused, ok := errors.AsType[*AuthorizationError](err); !ok || refused.Err.Code != "invalid_client" || refused.RedirectTo != "" {
				t.Errorf("%s: got %v, want invalid_client", what, err)
			}
			continue
		}
		if err != nil || !c.Public() || c.Kind != ByDocument {
			t.Errorf("%s: got %+v, %v, want a public client", what, c, err)
			continue
		}
		to, err := f.Approve(t.Context(), testUser, a)
		if err != nil || !strings.HasPrefix(to, testRedirect+"?code=") {
			t.Errorf("%s: got %s, %v", what, to, err)
		}
	}
}

// An application that registers all the redirect URIs it could ever use is told
// which it may, and whose fault it is if it uses another one.
func TestRegistrationIsNarrowed(t *testing.T) {
	t.Parallel()
	const private = "cursor://anysphere.cursor-mcp/oauth/callback"
	body := `{"client_name":"Cursor","redirect_uris":["` + private + `","` + testRedirect + `","http://localhost:8787/callback"],"token_endpoint_auth_method":"none"}`
	f := newFixture(t)
	got := ask(t, f.Server, RegisterPath, "application/json", body)
	if got.status != 201 || strings.Contains(got.body, "cursor:") || !strings.Contains(got.body, "http://localhost:8787/callback") {
		t.Fatalf("got %d %s, want 201 without the scheme", got.status, got.body)
	}
	if _, _, err := f.Authorize(t.Context(), testQuery("client_id", got.ID).Encode()); err != nil {
		t.Errorf("one that was left: %v", err)
	}
	_, _, err := f.Authorize(t.Context(), testQuery("client_id", got.ID, "redirect_uri", private).Encode())
	if refused, ok := errors.AsType[*AuthorizationError](err); !ok || refused.RedirectTo != "" || refused.Err.Code != "invalid_client" || !strings.Contains(refused.Err.Error(), "private_schemes") {
		t.Errorf("the one that was left out: got %v, want the cure", err)
	}

	allowing := f.again(func(c *Config) { c.Registration.PrivateSchemes = []string{"cursor"} })
	if got = ask(t, allowing, RegisterPath, "application/json", body); got.status != 201 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	a, _, err := allowing.Authorize(t.Context(), testQuery("client_id", got.ID, "redirect_uri", private).Encode())
	if err != nil || a.RedirectURI != private {
		t.Errorf("allowed: got %+v, %v", a, err)
	}
	// What the operator takes back, the client loses, and nothing else.
	_, c, err := f.Authorize(t.Context(), testQuery("client_id", got.ID).Encode())
	if err != nil || slices.Contains(c.RedirectURIs, private) {
		t.Errorf("taken back: got %+v, %v", c, err)
	}
	listing := f.again(func(c *Config) { c.Registration.RedirectURIs = []string{"https://other.example/cb"} })
	if _, _, err := listing.Authorize(t.Context(), testQuery("client_id", got.ID).Encode()); err == nil {
		t.Error("a client without any redirect URI is allowed")
	}
}

// A client that registers may name several ways to authenticate.
func TestRegistrationMethods(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for members, want := range map[string]string{
		`"token_endpoint_auth_method":"none"`: "none",
		`"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_methods_supported":["none","private_key_jwt"]`: "none",
		`"token_endpoint_auth_method":"private_key_jwt"`:                                                                    "",
		`"token_endpoint_auth_method":"client_secret_post"`:                                                                 "client_secret_post",
		`"client_name":"x"`: "client_secret_basic",
	} {
		got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],`+members+`}`)
		switch {
		case want == "" && (got.status != 400 || got.Error != "invalid_client_metadata"):
			t.Errorf("%s: got %d %s, want it refused", members, got.status, got.body)
		case want != "" && (got.status != 201 || !strings.Contains(got.body, `"token_endpoint_auth_method":"`+want+`"`)):
			t.Errorf("%s: got %d %s, want %s", members, got.status, got.body, want)
		}
	}
}

// A redirect URI that is refused is named, for the developer and in the log; a text
// that is none isn't put on a page.
func TestRefusedRedirectURIIsNamed(t *testing.T) {
	t.Parallel()
	listed := func(c *Config) { c.Registration.RedirectURIs = []string{"https://other.example/cb"} }
	f := newFixture(t)
	id := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"none"}`).ID
	for _, test := range []struct {
		name, client, redirect string
		change                 func(*Config)
		want                   string
	}{
		{"not registered", "app", "https://evil.example/cb", nil, "The redirect_uri 'https://evil.example/cb' is not one that the client registered."},
		{"a quotation mark", "app", `https://evil.example/"`, nil, "The redirect_uri 'https://evil.example/'' is not one"},
		{"a backslash", "app", `https://evil.example\\x`, nil, "The redirect_uri 'https://evil.example//x' is not one"},
		{"long", "app", "https://evil.example/" + strings.Repeat("x", 500), nil, "xxx...' is not one"},
		{"a sentence", "app", "Your account is locked. Call 555.", nil, "The redirect_uri is not one that the client registered."},
		{"another script", "app", "https://évil.example/", nil, "The redirect_uri is not one that the client registered."},
		{"none", "backend", "", func(c *Config) { c.Clients[1].RedirectURIs = append(c.Clients[1].RedirectURIs, testRedirect+"/2") }, "The redirect_uri is not one that the client registered."},
		{"not allowed any longer", id, testRedirect, listed, "doesn't allow the client's redirect URI '" + testRedirect + "'."},
		{"a scheme that isn't allowed", id, privateURI, nil, "doesn't allow the client's redirect URI '" + privateURI + "'."},
	} {
		s := f.Server
		if test.change != nil {
			s = f.again(test.change)
		}
		query := testQuery("client_id", test.client, "redirect_uri", test.redirect)
		_, _, err := s.Authorize(t.Context(), query.Encode())
		refused, _ := errors.AsType[*AuthorizationError](err)
		if refused == nil || refused.RedirectTo != "" || !strings.Contains(refused.Err.Description, test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
			continue
		}
		if strings.ContainsAny(refused.Err.Description, "\"\\") {
			t.Errorf("%s: %q can't be an error_description", test.name, refused.Err.Description)
		}
	}
}
