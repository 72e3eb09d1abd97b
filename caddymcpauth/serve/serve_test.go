package serve_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mcp-auth/caddy-mcp-auth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/serve"
)

const hash = "$2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG"

func TestCaddyfile(t *testing.T) {
	t.Setenv("GITHUB_CLIENT_SECRET", "not-a-secret")
	for _, test := range []struct {
		name   string
		config serve.Config
		want   string
	}{
		{"to try things out", serve.Config{From: "localhost:8443"}, `{
	admin off
	persist_config off
	default_bind 127.0.0.1
	auto_https disable_redirects
	skip_install_trust
}

https://localhost:8443 {
	mcp_auth_server https://localhost:8443 {
		resource https://localhost:8443/mcp
		scopes {
			mcp:tools "Use the tools of this server"
		}
		users {
			user ` + hash + `
		}
		private_schemes cursor
	}
	mcp_auth https://localhost:8443/mcp {
		issuer https://localhost:8443
		scopes mcp:tools
	}
	mcp_whoami
}
`},
		{"an issuer", serve.Config{From: "mcp.example.com", To: []string{"127.0.0.1:3000"}, Issuers: []string{"https://auth.example.com"}}, `{
	admin off
	persist_config off
}

mcp.example.com {
	mcp_auth https://mcp.example.com/mcp {
		issuer https://auth.example.com
		header X-User {http.auth.user.id}
	}
	reverse_proxy 127.0.0.1:3000
}
`},
		{"GitHub, and all switches", serve.Config{
			From: "HTTPS://MCP.example.com:9443/tools/", To: []string{"127.0.0.1:3000", "unix//run/mcp.sock"},
			GitHubOrgs: []string{"acme", "beta"}, GitHubClientID: "Iv1.0123", Admin: "localhost:2019",
			InternalCerts: true, DisableRedirects: true, AccessLog: true, Debug: true,
		}, `{
	admin localhost:2019
	persist_config off
	auto_https disable_redirects
	skip_install_trust
	debug
}

https://mcp.example.com:9443 {
	log
	tls internal
	mcp_auth_server https://mcp.example.com:9443 {
		resource https://mcp.example.com:9443/tools
		scopes {
			mcp:tools "Use the tools of this server"
		}
		upstream github {
			client_id Iv1.0123
			client_secret {env.GITHUB_CLIENT_SECRET}
			allow org acme beta
		}
		private_schemes cursor
	}
	mcp_auth https://mcp.example.com:9443/tools {
		issuer https://mcp.example.com:9443
		scopes mcp:tools
		header X-User {http.auth.user.id}
	}
	reverse_proxy 127.0.0.1:3000 unix//run/mcp.sock
}
`},
		{"http on loopback", serve.Config{From: "http://[::1]:8080", To: []string{"localhost:3000"}, User: "ada"}, `{
	admin off
	persist_config off
	default_bind ::1
	auto_https disable_redirects
}

http://[::1]:8080 {
	mcp_auth_server http://[::1]:8080 {
		resource http://[::1]:8080/mcp
		scopes {
			mcp:tools "Use the tools of this server"
		}
		users {
			ada ` + hash + `
		}
		private_schemes cursor
	}
	mcp_auth http://[::1]:8080/mcp {
		issuer http://[::1]:8080
		scopes mcp:tools
		header X-User {http.auth.user.id}
	}
	reverse_proxy localhost:3000
}
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			site, err := serve.New(test.config)
			if err != nil {
				t.Fatal(err)
			}
			got := site.Caddyfile(hash)
			if got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
			provision(t, got)
		})
	}
}

// The secret may be in a file.
func TestCaddyfileSecretFile(t *testing.T) {
	t.Parallel()
	site, err := serve.New(serve.Config{From: "mcp.example.com", To: []string{"127.0.0.1:3000"}, GitHubOrgs: []string{"acme"}, GitHubClientID: "x", GitHubClientSecretFile: "/run/secrets/github"})
	if err != nil {
		t.Fatal(err)
	}
	if got := site.Caddyfile(""); !strings.Contains(got, "client_secret {file./run/secrets/github}\n") {
		t.Errorf("got\n%s\nwant the secret's file in it", got)
	}
}

// provision fails the test unless Caddy accepts the Caddyfile, formatted as it is.
func provision(t *testing.T, text string) {
	t.Helper()
	if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
		t.Errorf("`caddy fmt` makes of it:\n%s", formatted)
	}
	b, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("adapting: %v, %v", err, warnings)
	}
	var config caddy.Config
	if err := json.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	config.StorageRaw = json.RawMessage(`{"module":"file_system","root":"` + t.TempDir() + `"}`)
	if err := caddy.Validate(&config); err != nil {
		t.Errorf("Caddy refuses it: %v", err)
	}
}

// What can't be meant is refused, with what to do.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		config serve.Config
		want   string
	}{
		{"no address", serve.Config{}, "--from: missing: give the host"},
		{"a port only", serve.Config{From: ":8443"}, "doesn't name one host"},
		{"any host", serve.Config{From: "*.example.com"}, "doesn't name one host"},
		{"without TLS", serve.Config{From: "http://mcp.example.com", To: []string{"127.0.0.1:3000"}}, "leave http:// out"},
		{"another scheme", serve.Config{From: "ftp://mcp.example.com"}, "not an absolute URL"},
		{"a query", serve.Config{From: "mcp.example.com/mcp?a=b"}, "has a query"},
		{"a user", serve.Config{From: "ada@mcp.example.com"}, "contains credentials"},
		{"dot segments", serve.Config{From: "mcp.example.com/a/../b"}, "simplest form"},
		{"an unreadable port", serve.Config{From: "mcp.example.com:https"}, "is not an address"},
		{"whoami for everyone", serve.Config{From: "mcp.example.com"}, "--to is missing"},
		{"a server with a path", serve.Config{From: "localhost", To: []string{"http://127.0.0.1:3000/mcp"}}, "path in --from"},
		{"no server", serve.Config{From: "localhost", To: []string{""}}, "--to"},
		{"issuer and user", serve.Config{From: "localhost", Issuers: []string{"https://auth.example.com"}, User: "ada"}, "keep one"},
		{"issuer and GitHub", serve.Config{From: "localhost", Issuers: []string{"https://auth.example.com"}, GitHubOrgs: []string{"acme"}}, "keep one"},
		{"GitHub and user", serve.Config{From: "localhost", GitHubOrgs: []string{"acme"}, GitHubClientID: "x", User: "ada"}, "--print"},
		{"everyone at GitHub", serve.Config{From: "localhost", GitHubClientID: "x"}, "--github-org is missing"},
		{"no app", serve.Config{From: "mcp.example.com", To: []string{"127.0.0.1:3000"}, GitHubOrgs: []string{"acme"}}, "callback https://mcp.example.com/oauth/callback/github"},
		{"another directive", serve.Config{From: "localhost", To: []string{"127.0.0.1:3000\n\trespond hello"}}, "not a plain word"},
		{"a block", serve.Config{From: "localhost", User: "ada{"}, "not a plain word"},
		{"a placeholder", serve.Config{From: "localhost", Issuers: []string{"https://{host}"}}, "not a plain word"},
		{"a comment", serve.Config{From: "localhost", User: "#ada"}, "not a plain word"},
		{"quotes", serve.Config{From: "localhost", GitHubOrgs: []string{`"acme`}}, "not a plain word"},
		{"a heredoc", serve.Config{From: "localhost", User: "<<ada"}, "not a plain word"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := serve.New(test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

// Whatever the flags say, the Caddyfile has the directives that were meant: words
// stay words.
func FuzzCaddyfile(f *testing.F) {
	f.Add("localhost:8443", "127.0.0.1:3000", "ada")
	f.Add("mcp.example.com/a b", "x {", "#")
	f.Add("[::1]", "<<EOF", "$")
	f.Fuzz(func(t *testing.T, from, to, user string) {
		site, err := serve.New(serve.Config{From: from, To: []string{to}, User: user})
		if err != nil {
			return
		}
		text := site.Caddyfile(hash)
		blocks, err := caddyfile.Parse("Caddyfile", []byte(text))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		var directives []string
		for _, segment := range blocks[len(blocks)-1].Segments {
			directives = append(directives, segment.Directive())
		}
		if want := "mcp_auth_server mcp_auth reverse_proxy"; len(blocks) != 2 || strings.Join(directives, " ") != want && user != "" {
			t.Fatalf("got %d blocks, %q in\n%s", len(blocks), directives, text)
		}
	})
}
