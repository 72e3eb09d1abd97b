package discovery_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

func TestLocations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, issuer string
		want         []string
	}{
		{"no path", "https://as.example", []string{
			"https://as.example/.well-known/oauth-authorization-server",
			"https://as.example/.well-known/openid-configuration",
		}},
		{"slash only", "https://as.example/", []string{
			"https://as.example/.well-known/oauth-authorization-server",
			"https://as.example/.well-known/openid-configuration",
		}},
		{"path (MCP 2026-07-28)", "https://auth.example.com/tenant1", []string{
			"https://auth.example.com/.well-known/oauth-authorization-server/tenant1",
			"https://auth.example.com/.well-known/openid-configuration/tenant1",
			"https://auth.example.com/tenant1/.well-known/openid-configuration",
		}},
		{"path with slash", "https://as.example/realms/x/", []string{
			"https://as.example/.well-known/oauth-authorization-server/realms/x",
			"https://as.example/.well-known/openid-configuration/realms/x",
			"https://as.example/realms/x/.well-known/openid-configuration",
		}},
		{"port and escapes", "http://localhost:8080/a%20b", []string{
			"http://localhost:8080/.well-known/oauth-authorization-server/a%20b",
			"http://localhost:8080/.well-known/openid-configuration/a%20b",
			"http://localhost:8080/a%20b/.well-known/openid-configuration",
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := discovery.Locations(tc.issuer)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got  %q (%v)\nwant %q", got, err, tc.want)
			}
		})
	}
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		config discovery.Config
		want   string
	}{
		{"no issuer", discovery.Config{}, "issuer: not an absolute URL"},
		{"relative", discovery.Config{Issuer: "as.example"}, "issuer: not an absolute URL"},
		{"other scheme", discovery.Config{Issuer: "file:///etc/passwd"}, "issuer: not an absolute URL"},
		{"http", discovery.Config{Issuer: "http://as.example"}, "issuer: not https"},
		{"http, upstream elsewhere", discovery.Config{Issuer: "http://as.example", Upstream: "https://as.example"}, "issuer: not https"},
		{"http, metadata in the clear", discovery.Config{Issuer: "http://as.example", Location: "http://as.example/m"}, "discovery: not https"},
		{"http, keys in the clear", discovery.Config{Issuer: "http://as.example", Off: true, Metadata: map[string]any{"jwks_uri": "http://as.example/k"}}, "jwks_uri: not https"},
		{"location http", discovery.Config{Issuer: "https://as.example", Location: "http://as.example/m"}, "discovery: not https"},
		{"location relative", discovery.Config{Issuer: "https://as.example", Location: "/m"}, "discovery: not an absolute URL"},
		{"jwks_uri http", discovery.Config{Issuer: "https://as.example", Metadata: map[string]any{"jwks_uri": "http://as.example/jwks"}}, "metadata jwks_uri: not https"},
		{"jwks_uri relative", discovery.Config{Issuer: "https://as.example", Metadata: map[string]any{"jwks_uri": "/jwks"}}, "metadata jwks_uri is not an absolute URL"},
		{"jwks_uri empty", discovery.Config{Issuer: "https://as.example", Metadata: map[string]any{"jwks_uri": ""}}, "metadata jwks_uri is not an absolute URL"},
		{"jwks_uri no text", discovery.Config{Issuer: "https://as.example", Metadata: map[string]any{"jwks_uri": 1}}, "metadata jwks_uri is not an absolute URL"},
		{"endpoint http", discovery.Config{Issuer: "https://as.example", Metadata: map[string]any{"introspection_endpoint": "http://as.example/i"}}, "metadata introspection_endpoint: not https"},
		{"location and off", discovery.Config{Issuer: "https://as.example", Location: "https://as.example/m", Off: true}, "both off and given a location"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			iss, err := discovery.New(tc.config)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v, want an error with %q", iss, err, tc.want)
			}
		})
	}
}

// Each of the well-known places is found, after those before it.
func TestDiscoveryOrder(t *testing.T) {
	t.Parallel()
	const rfc8414, oidc = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	tests := []struct {
		name, path string
		at         oauthtest.Location
		want       []string
	}{
		{"no path, RFC 8414", "", oauthtest.RFC8414Insert, []string{rfc8414}},
		{"no path, OpenID Connect", "", oauthtest.OIDCInsert, []string{rfc8414, oidc}},
		{"no path, everywhere", "", 0, []string{rfc8414}},
		{"path, RFC 8414", "/t", oauthtest.RFC8414Insert, []string{rfc8414 + "/t"}},
		{"path, OpenID Connect inserted", "/t", oauthtest.OIDCInsert, []string{rfc8414 + "/t", oidc + "/t"}},
		{"path, OpenID Connect appended", "/t", oauthtest.OIDCAppend, []string{rfc8414 + "/t", oidc + "/t", "/t" + oidc}},
		{"path with slash, OpenID Connect appended", "/t/", oauthtest.OIDCAppend, []string{rfc8414 + "/t", oidc + "/t", "/t" + oidc}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t, oauthtest.Options{Path: tc.path, MetadataAt: tc.at})
			iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer()})
			m, err := iss.Metadata(t.Context())
			if err != nil {
				t.Fatalf("got %v, want metadata", err)
			}
			if got := m.Text("issuer"); got != srv.Issuer() {
				t.Errorf("got issuer %q, want %q", got, srv.Issuer())
			}
			var asked []string
			for _, r := range srv.Requests() {
				asked = append(asked, r.Path)
			}
			if !slices.Equal(asked, tc.want) {
				t.Errorf("got requests for %q, want %q", asked, tc.want)
			}
			if got := keysOf(t, iss, time.Time{}).Len(); got != 1 {
				t.Errorf("got %d keys, want 1", got)
			}
		})
	}
}

// at applies fault where the path starts with prefix.
func at(prefix string, fault oauthtest.Fault) oauthtest.Fault {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		if strings.HasPrefix(r.URL.Path, prefix) {
			fault(w, r, honest)
			return
		}
		honest(w, r)
	}
}

// What is wrong at the first place doesn't keep the second from being used.
func TestDiscoveryGoesOn(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]oauthtest.Fault{
		"404":                     oauthtest.Status(404),
		"500":                     oauthtest.Status(500),
		"HTML":                    oauthtest.Garbage(),
		"empty object":            oauthtest.Empty(),
		"array":                   oauthtest.Answer(200, "application/json", "[]"),
		"null":                    oauthtest.Answer(200, "application/json", "null"),
		"nothing":                 oauthtest.Answer(200, "application/json", ""),
		"204":                     oauthtest.Answer(204, "application/json", ""),
		"wrong issuer":            oauthtest.WrongIssuer("https://other.example"),
		"issuer with a slash":     oauthtest.WrongIssuer("http://127.0.0.1/"),
		"issuer twice":            oauthtest.Answer(200, "application/json", `{"issuer":"a","issuer":"b"}`),
		"no issuer":               oauthtest.Rewrite(map[string]any{"issuer": oauthtest.Absent}),
		"dropped":                 oauthtest.Close(),
		"truncated":               oauthtest.Truncate(),
		"too big":                 oauthtest.Huge(2),
		"redirect to other host":  oauthtest.Redirect(302, "http://localhost:1/metadata"),
		"redirect to itself":      oauthtest.Redirect(302, "/.well-known/oauth-authorization-server"),
		"redirect to nowhere":     oauthtest.Redirect(302, ""),
		"redirect to other place": oauthtest.Redirect(307, "https://127.0.0.1/metadata"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t, oauthtest.Options{})
			srv.SetFault(oauthtest.Metadata, at("/.well-known/oauth-authorization-server", fault))
			iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer()})
			m, err := iss.Metadata(t.Context())
			if err != nil {
				t.Fatalf("got %v, want metadata from the second place", err)
			}
			if got := m.Text("jwks_uri"); got != srv.Endpoint(oauthtest.JWKS) {
				t.Errorf("got jwks_uri %q, want %q", got, srv.Endpoint(oauthtest.JWKS))
			}
		})
	}
}

func TestWrongIssuerRefused(t *testing.T) {
	t.Parallel()
	srv := newServer(t, oauthtest.Options{})
	for name, issuer := range map[string]string{
		"other": "https://other.example", "slash": srv.Issuer() + "/", "scheme in upper case": strings.Replace(srv.Issuer(), "http", "HTTP", 1), "path": srv.Issuer() + "/t",
	} {
		srv.SetFault(oauthtest.Metadata, oauthtest.WrongIssuer(issuer))
		iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer()})
		set, err := iss.KeySet(t.Context(), time.Time{})
		wantUnavailable(t, name, set, err)
	}
	if got := srv.Count(oauthtest.JWKS); got != 0 {
		t.Errorf("got %d fetches of keys, want none", got)
	}
}

func TestLocation(t *testing.T) {
	t.Parallel()
	srv := newServer(t, oauthtest.Options{Path: "/t"})
	iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Location: srv.URL + "/t/.well-known/openid-configuration"})
	if _, err := iss.Metadata(t.Context()); err != nil {
		t.Fatalf("got %v, want metadata", err)
	}
	if got := srv.Count(oauthtest.Any); got != 1 {
		t.Errorf("got %d requests, want 1", got)
	}
	// A location by hand is no license for another issuer's metadata.
	other := newServer(t, oauthtest.Options{})
	iss = newIssuer(t, discovery.Config{Issuer: other.Issuer(), Location: srv.URL + "/t/.well-known/openid-configuration"})
	m, err := iss.Metadata(t.Context())
	wantUnavailable(t, "location of another issuer", m, err)
}

// AD FS names itself in access tokens by an http URL, from which nothing is
// fetched.
func TestIssuerNamedInTheClear(t *testing.T) {
	t.Parallel()
	const name = "http://adfs.example.com/adfs/services/trust"
	srv := oauthtest.New(t, oauthtest.Options{Metadata: map[string]any{"access_token_issuer": name}})
	iss, err := discovery.New(discovery.Config{Issuer: name, Location: srv.URL + "/.well-known/openid-configuration"})
	if err != nil {
		t.Fatal(err)
	}
	defer iss.Close()
	if _, err := iss.KeySet(t.Context(), time.Time{}); err != nil {
		t.Errorf("the keys: %v", err)
	}
	if _, err := discovery.New(discovery.Config{Issuer: name, Off: true, Metadata: map[string]any{"jwks_uri": "https://adfs.example.com/adfs/discovery/keys"}}); err != nil {
		t.Errorf("off: %v", err)
	}
	other, err := discovery.New(discovery.Config{Issuer: name + "2", Location: srv.URL + "/.well-known/openid-configuration"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.KeySet(t.Context(), time.Time{}); err == nil {
		t.Error("metadata of another issuer was taken")
	}
}
