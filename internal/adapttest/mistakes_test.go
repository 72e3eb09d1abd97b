package adapttest_test

import (
	"strings"
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/authserver"
	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/facade"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/whoami"
)

// unset is what is said where Caddy may have put nothing for a variable.
const unset = "is a {$VARIABLE} in its place unset?"

// Mistakes that people make in a Caddyfile: each is refused, by a message that
// says what to write instead.
func TestMistakes(t *testing.T) {
	t.Parallel()
	const issuer = "issuer https://as.example.com\n"
	door := func(options string) string {
		return "mcp_auth /mcp* https://mcp.example.com/mcp {\n" + issuer + options + "\n}"
	}
	ofIssuer := func(options string) string {
		return "mcp_auth /mcp* https://mcp.example.com/mcp {\nissuer https://as.example.com {\n" + options + "\n}\n}"
	}
	resource := func(url string) string { return "mcp_auth " + url + " {\n" + issuer + "}" }
	verifier := func(name, options string) string { return ofIssuer(name + " {\n" + options + "\n}") }
	const basics = "resource https://mcp.example.com/mcp\nscopes mcp:tools\nusers {\nada $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu\n}\n"
	server := func(options string) string {
		return "mcp_auth_server https://mcp.example.com {\n" + basics + options + "\n}"
	}
	client := func(options string) string { return server("clients {\nci {\n" + options + "\n}\n}") }
	facade := func(options string) string {
		return "mcp_auth_facade https://mcp.example.com/o {\nupstream http://127.0.0.1:9\n" + options + "\n}"
	}
	groups := map[string][]struct{ site, want string }{
		"mcp_auth": {
			{"mcp_auth", unset},
			{"mcp_auth {$MCP_AUTH_UNSET} {\n" + issuer + "}", unset},
			{"mcp_auth \"{$MCP_AUTH_UNSET}\" {\n" + issuer + "}", unset},
			{"mcp_auth /mcp* {\n" + issuer + "}", unset},
			{resource("mcp.example.com/mcp"), "not an absolute URL"},
			{resource("https://mcp.example.com/mcp /mcp*"), "A matcher comes first"},
			{resource("https://mcp.example.com/mcp 127.0.0.1:3000"), "nothing after it"},
			{resource("http://mcp.example.com/mcp"), "http is for localhost, 127.0.0.1 and [::1] only"},
			{resource("http://mcp.localhost/mcp"), "http is for localhost, 127.0.0.1 and [::1] only"},
			{resource("https://mcp.example.com/mcp?x=y"), "has a query: remove it"},
			{resource("https://mcp.example.com/mcp#x"), "has a fragment: remove it"},
			{resource("https://ada:x@mcp.example.com/mcp"), "credentials: remove them"},
			{resource("https://mcp.example.com//mcp"), "simplest form"},
			{resource("https://mcp.example.com/../mcp"), "simplest form"},
			{resource("https://büro.example.com/mcp"), "in ASCII"},
			{resource("https://{host}/mcp"), "placeholder"},
			{resource("{env.RESOURCE}"), "{$NAME} inserts an environment variable"},
			{"mcp_auth /mcp https://mcp.example.com/mcp {\n" + issuer + "}", "write /mcp*"},
			{"mcp_auth /mcp/ https://mcp.example.com/mcp {\n" + issuer + "}", "write /mcp*"},
			{"mcp_auth /mcp/* https://mcp.example.com/mcp {\n" + issuer + "}", "write /mcp*"},
			{"mcp_auth @nothing https://mcp.example.com/mcp {\n" + issuer + "}", "unrecognized matcher"},
			{"mcp_auth https://mcp.example.com/mcp", "needs at least one `issuer <url>`"},
			{"mcp_auth https://mcp.example.com/mcp {\n}", "needs at least one `issuer <url>`"},
			{door("isuer https://b.example.com"), "known: issuer, scopes"},
			{door("scope read"), "known: issuer, scopes"},
			{door("scopes"), unset},
			{door("scopes {$MCP_AUTH_UNSET}"), unset},
			{door("scopes a,b"), "separate scopes by spaces"},
			{door("scopes a, b"), "separate values by spaces"},
			{door("scopes a\nscopes b"), "scopes is given twice"},
			{door("scopes offline_access"), "offline_access is not a scope of a resource"},
			{door(`scopes "a b"`), "scope"},
			{door("scopes_supported a,b"), "separate scopes by spaces"},
			{door("scopes_supported a\nscopes_supported b"), "given twice"},
			{door("scope_implies a"), "takes a scope and the scopes that it includes"},
			{door("scope_implies a b\nscope_implies a c"), "list all its scopes in one"},
			{door("metadata resource_name"), unset},
			{door("metadata resource_name A\nmetadata resource_name B"), "given twice"},
			{door("metadata resource https://mcp.example.com/x"), "resource"},
			{door("legacy_metadata on"), "takes no value"},
			{door("legacy_metadata\nlegacy_metadata"), "given twice"},
			{door("forward_token yes"), "takes no value"},
			{door("forward_token\nforward_token"), "given twice"},
			{door("origins inspector.example.com"), "write scheme and host"},
			{door("origins https://*.example.com"), "write scheme and host"},
			{door("origins https://a.example.com,https://b.example.com"), "separate values by spaces"},
			{door("origins https://a.example.com/"), "write scheme and host"},
			{door("origins https://a.example.com\norigins https://b.example.com"), "given twice"},
			{door("header X-User"), unset},
			{door("header X-User \"\""), unset},
			{door("header X-User a\nheader X-User b"), "given twice"},
			{door("header X-User a\nheader X_User b"), "the same to servers that fold header names"},
			{door("header Authorization x"), "header_up of reverse_proxy"},
			{door("header Host x"), "choose a name of its own"},
			{door("header Mcp-User x"), "choose another name"},
			{door(issuer), "is given twice: put all its verifiers in one block"},
			{door("issuer"), unset},
			{door("issuer {$MCP_AUTH_UNSET}"), unset},
			{door("issuer https://b.example.com https://c.example.com"), "takes one URL"},
			{door("issuer b.example.com"), "not an absolute URL"},
			{door("issuer https://b.example.com?tenant=x"), "has a query"},
			{door("issuer https://b.example.com/.well-known/openid-configuration"), "probably https://b.example.com;"},
			{door("issuer https://b.example.com/realms/x/.well-known/openid-configuration"), "probably https://b.example.com/realms/x;"},
			{door("issuer https://b.example.com/.well-known/oauth-authorization-server/x"), "probably https://b.example.com/x;"},
			{door("issuer https://b.example.com,https://c.example.com"), "an `issuer` line for each"},
			{"mcp_auth /mcp* https://mcp.example.com/mcp {\n" + issuer + "}\nmcp_auth /mcp* https://mcp.example.com/mcp {\n" + issuer + "}\nrespond ok", "Remove one of the two"},
			{"mcp_auth /mcp* https://mcp.example.com/mcp {\n" + issuer + "}\nmcp_auth https://mcp.example.com {\n" + issuer + "}\nrespond ok", "matchers that don't overlap"},
		},
		"issuer and verifiers": {
			{ofIssuer("oidc"), "nor the name of a verifier (github, introspection, jwt, static, userinfo)"},
			{ofIssuer("discovery"), unset},
			{ofIssuer("discovery off\ndiscovery off"), "given twice"},
			{ofIssuer("audience"), unset},
			{ofIssuer("audience a\naudience b"), "given twice"},
			{ofIssuer("metadata jwks_uri"), unset},
			{ofIssuer("cache off\ncache off"), "given twice"},
			{ofIssuer("cache {\nttl never\n}"), "ttl"},
			{ofIssuer("cache {\nsize 3\n}"), "known"},
			{ofIssuer("jwt\njwt"), "jwt is given twice"},
			{ofIssuer("jwt RS256"), "takes no value, but a block"},
			{verifier("jwt", "algorithms"), "algorithms"},
			{verifier("jwt", "algorithms RS256\nalgorithms ES256"), "given twice"},
			{verifier("jwt", "algorithms none"), "none"},
			{verifier("jwt", "algorithms HS256"), "HS256"},
			{verifier("jwt", "leeway 1h"), "leeway"},
			{verifier("jwt", "leeway soon"), "leeway"},
			{verifier("jwt", "algorithm RS256"), "known: algorithms, leeway"},
			{verifier("introspection", "client_id"), unset},
			{verifier("introspection", "client_id a\nclient_id b"), "given twice"},
			{verifier("introspection", "client_id a b"), "in quotes"},
			{verifier("introspection", "client_secret {$MCP_AUTH_UNSET}"), unset},
			{verifier("introspection", "client_id a"), "introspection: "},
			{verifier("introspection", "confirm_jwt yes"), "takes no value"},
			{verifier("introspection", "token_prefix"), unset},
			{verifier("userinfo", "endpoint http://as.example.com/me"), "userinfo: endpoint: not https"},
			{verifier("userinfo", "require email"), "a claim and the values"},
			{verifier("github", "client_id a"), "github: "},
			{verifier("static", ""), "caddy mcp-auth new-key"},
			{verifier("static", "key ci secret"), "new-key"},
			{verifier("static", "token ci"), "known: key"},
		},
		"mcp_auth_server": {
			{"mcp_auth_server", unset},
			{"mcp_auth_server {$MCP_AUTH_UNSET} {\n" + basics + "}", unset},
			{"mcp_auth_server /oauth https://mcp.example.com {\n" + basics + "}", "takes no matcher"},
			{"mcp_auth_server https://mcp.example.com/ {\n" + basics + "}", "slash"},
			{"mcp_auth_server http://mcp.example.com {\n" + basics + "}", "https"},
			{"mcp_auth_server https://mcp.example.com {\nscopes a\n}", "needs at least one `resource <url>`"},
			{"mcp_auth_server https://mcp.example.com {\nresource https://mcp.example.com/mcp\n}", "needs `scopes`"},
			{server("resource https://mcp.example.com/b"), "list everything in one"},
			{server("scopes b"), "list everything in one"},
			{server("users {\nbob x\n}"), "users is given twice"},
			{server("registration open\nregistration off"), "registration is given twice"},
			{server("registration off\nregistration open"), "registration is given twice"},
			{server("registration redirect_uris https://a.example.com/cb\nregistration off"), "registration is given twice"},
			{server("registration closed"), "registration is open, off, or redirect_uris"},
			{server("registration"), "registration is open, off, or redirect_uris"},
			{server("registration redirect_uris"), unset},
			{server("registration redirect_uris https://a.example.com/cb,https://b.example.com/cb"), "separate values by spaces"},
			{server("private_schemes cursor\nprivate_schemes vscode"), "given twice"},
			{server("private_schemes javascript"), "javascript"},
			{server("access_token_lifetime 15"), "such as 15m"},
			{server("access_token_lifetime"), unset},
			{server("access_token_lifetime 5m\naccess_token_lifetime 6m"), "given twice"},
			{server("secret short"), "32"},
			{server("secret {$MCP_AUTH_UNSET}"), unset},
			{server("token_lifetime 5m"), "known: resource, scopes"},
			{server("upstream"), "oidc and the issuer's URL, or github"},
			{server("upstream google"), "`upstream oidc <issuer>` or `upstream github`"},
			{server("upstream github {\nclient_id a\nclient_secret b\n}"), "allow"},
			{server("upstream github {\nclient_id a\nclient_id b\n}"), "given twice"},
			{server("upstream github {\nscopes a,b\n}"), "separate scopes by spaces"},
			{client("secret a\nsecret b"), "given twice"},
			{client("introspection\nintrospection"), "given twice"},
			{client("introspection yes"), "takes no value"},
			{client("redirect_uris https://a.example.com/cb\nredirect_uris https://b.example.com/cb"), "given twice"},
			{client("redirect_uri https://a.example.com/cb"), "known: name, redirect_uris"},
			{server("clients {\na {\nredirect_uris https://a.example.com/cb\n}\n}\nclients {\nb {\nredirect_uris https://b.example.com/cb\n}\n}"), "clients is given twice"},
			{server("client_documents on"), "client_documents takes off, or a block"},
			{server("client_documents off\nclient_documents off"), "given twice"},
		},
		"mcp_auth_facade": {
			{"mcp_auth_facade", unset},
			{"mcp_auth_facade /o* https://mcp.example.com/o", "takes no matcher"},
			{facade("upstream http://127.0.0.1:8"), "given twice"},
			{facade("preset {$MCP_AUTH_UNSET}"), unset},
			{facade("preset nothing"), "nothing"},
			{facade("remove"), unset},
			{facade("remove a\nremove b"), "given twice"},
			{facade("strip a\nstrip b"), "given twice"},
			{facade("metadata token_endpoint"), unset},
			{facade("metadata issuer https://x.example.com"), "set by the directive itself"},
			{facade("register"), "register takes a registrar"},
			{facade("register keycloak"), "there is no registrar keycloak (known: forward, logto, static)"},
			{facade("register forward\nregister forward"), "given twice"},
			{facade("add audience"), "as in `add audience"},
			{facade("add audience a\nadd audience b"), "given twice"},
			{facade("scope a b"), "scope takes `map`"},
			{facade("consent never"), "consent takes `upstream`"},
			{facade("consent upstream\nconsent upstream"), "given twice"},
			{facade("registration open"), "known: preset, upstream"},
		},
		"mcp_whoami": {
			{"mcp_whoami hello", "unexpected argument"},
			{"mcp_whoami {\nname a\nname b\n}", "given twice"},
			{"mcp_whoami {\nname\n}", "takes exactly one value"},
			{"mcp_whoami {\npath /mcp\n}", "use name or sse"},
		},
	}
	n := 0
	for group, mistakes := range groups {
		n += len(mistakes)
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			for _, m := range mistakes {
				t.Run(strings.ReplaceAll(m.site, "\n", " "), func(t *testing.T) {
					adapttest.Refused(t, m.site, m.want)
				})
			}
		})
	}
	if n < 120 {
		t.Errorf("got %d mistakes", n)
	}
}
