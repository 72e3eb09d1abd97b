package caddymcpauth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
)

// door is a front door with one issuer, and what a test adds to it.
func door(options string) string {
	return "mcp_auth https://mcp.example.com/mcp {\nissuer https://as.example.com\n" + options + "\n}"
}

// issuerWith is a front door whose one issuer has options.
func issuerWith(options string) string {
	return "mcp_auth https://mcp.example.com/mcp {\nissuer https://as.example.com {\n" + options + "\n}\n}"
}

// resourceOf is a front door for a resource.
func resourceOf(resource string) string {
	return "mcp_auth " + resource + " {\nissuer https://as.example.com\n}"
}

// Mistakes in the form are found when the Caddyfile is adapted, and the message
// says what to write instead.
func TestAdaptErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, site, want string }{
		{"exact path", "mcp_auth /mcp https://mcp.example.com/mcp {\nissuer https://as.example.com\n}", "the matcher /mcp would leave /mcp/ open to anyone: write /mcp*"},
		{"exact path with a slash", "mcp_auth /mcp/ https://mcp.example.com/mcp {\nissuer https://as.example.com\n}", "the matcher /mcp/ would leave /mcp open to anyone: write /mcp*"},
		{"root path", "mcp_auth / https://mcp.example.com/mcp {\nissuer https://as.example.com\n}", "the matcher / would leave everything else open to anyone: write /*"},
		{"named matcher with an exact path", "@mcp path /mcp\nmcp_auth @mcp https://mcp.example.com/mcp {\nissuer https://as.example.com\n}", "the matcher /mcp would leave /mcp/ open to anyone: write /mcp*"},
		{"named matcher with one exact path of two", "@mcp path /a* /mcp\nmcp_auth @mcp https://mcp.example.com/mcp {\nissuer https://as.example.com\n}", "the matcher /mcp would leave /mcp/ open"},
		{"a suffix does not cover", "@mcp path /mcp *.json\nmcp_auth @mcp https://mcp.example.com/mcp {\nissuer https://as.example.com\n}", "the matcher /mcp would leave /mcp/ open"},
		{"only below the resource", "mcp_auth /mcp/* https://mcp.example.com/mcp {\nissuer https://as.example.com\n}", "the matcher /mcp/* would leave /mcp open to anyone: write /mcp*"},
		{"undefined matcher", "mcp_auth @mcp https://mcp.example.com/mcp {\nissuer https://as.example.com\n}", "unrecognized matcher"},

		{"no resource", "mcp_auth {\nissuer https://as.example.com\n}", "mcp_auth takes the URL of the MCP server as clients use it, for example https://mcp.example.com/mcp"},
		{"path only", "mcp_auth /mcp* {\nissuer https://as.example.com\n}", "mcp_auth takes the URL of the MCP server as clients use it"},
		{"two resources", "mcp_auth https://mcp.example.com/a https://mcp.example.com/b {\nissuer https://as.example.com\n}", "mcp_auth takes the URL of the MCP server as clients use it"},
		{"empty resource", resourceOf(`""`), "mcp_auth takes the URL of the MCP server as clients use it, for example https://mcp.example.com/mcp (is a {$VARIABLE} in its place unset?)"},
		{"host only", resourceOf("mcp.example.com"), "is not an absolute URL: write it as clients use it, for example https://mcp.example.com/mcp"},
		{"scheme only", resourceOf("https:///mcp"), "is not an absolute URL"},
		{"other scheme", resourceOf("ftp://mcp.example.com"), "is not an absolute URL"},
		{"http", resourceOf("http://mcp.example.com/mcp"), "is not https: tokens would cross the network in the clear (http is for localhost, 127.0.0.1 and [::1] only)"},
		{"query", resourceOf("https://mcp.example.com/mcp?x=y"), "has a query: remove it"},
		{"empty query", resourceOf("https://mcp.example.com/mcp?"), "has a query: remove it"},
		{"fragment", resourceOf("https://mcp.example.com/mcp#x"), "has a fragment: remove it, clients never send it"},
		{"empty fragment", resourceOf("https://mcp.example.com/mcp#"), "has a fragment: remove it"},
		{"credentials", resourceOf("https://user:secret@mcp.example.com/mcp"), "the URL contains credentials: remove them"},
		{"placeholder", resourceOf("{env.RESOURCE}"), "contains a placeholder: the address of the metadata must be known when Caddy starts; in a Caddyfile, {$NAME} inserts an environment variable"},
		{"placeholder inside", resourceOf("https://{http.request.host}/mcp"), "contains a placeholder"},
		{"dot segments", resourceOf("https://mcp.example.com/a/../mcp"), "is not in its simplest form: remove dot segments"},
		{"doubled slashes", resourceOf("https://mcp.example.com//mcp"), "is not in its simplest form"},

		{"no block", "mcp_auth https://mcp.example.com/mcp", "mcp_auth needs at least one `issuer <url>`: the authorization server whose tokens are accepted"},
		{"no issuer", "mcp_auth https://mcp.example.com/mcp {\nscopes read\n}", "mcp_auth needs at least one `issuer <url>`"},
		{"issuer without URL", door("issuer"), "issuer takes one URL: the authorization server's issuer identifier, exactly as in its metadata"},
		{"issuer with two URLs", door("issuer https://a.example.com https://b.example.com"), "issuer takes one URL"},
		{"empty issuer", door(`issuer ""`), "issuer takes one URL"},
		{"unknown option", door("isuer https://as.example.com"), "unrecognized option of mcp_auth: isuer (known: issuer, scopes, scopes_supported, offer, scope_implies, metadata, legacy_metadata, origins, header, assertion, exchange, forward_token, landing, dpop, client_certificates, sessions, require, tools, prompts, resources, methods, anonymous, refuse, security_schemes, max_body)"},

		{"dpop without mode", door("dpop"), "dpop takes one of off, accepted, required"},
		{"dpop with two modes", door("dpop accepted required"), "dpop takes one of off, accepted, required"},
		{"dpop of another mode", door("dpop on"), `dpop: mode "on" is none of off, accepted, required`},
		{"dpop twice", door("dpop off\ndpop accepted"), "dpop is given twice"},
		{"dpop off with nonce", door("dpop off {\nnonce\n}"), "it is off, so nonce has no effect: remove it"},
		{"dpop with another option", door("dpop accepted {\nwindow 5m\n}"), "unrecognized option of dpop: window (known: nonce)"},
		{"nonce with a value", door("dpop accepted {\nnonce always\n}"), "nonce takes no value"},
		{"nonce twice", door("dpop accepted {\nnonce\nnonce\n}"), "nonce is given twice"},
		{"client_certificates with a value", door("client_certificates on"), "client_certificates takes no value"},
		{"client_certificates twice", door("client_certificates\nclient_certificates"), "client_certificates is given twice"},

		{"scopes without value", door("scopes"), "scopes needs at least one value, and none may be empty"},
		{"empty scope", door(`scopes read ""`), "scopes needs at least one value, and none may be empty"},
		{"scopes twice", door("scopes read\nscopes write"), "scopes is given twice: list everything in one place"},
		{"scopes_supported twice", door("scopes_supported read\nscopes_supported write"), "scopes_supported is given twice: list everything in one place"},
		{"scopes_supported without value", door("scopes_supported"), "scopes_supported needs at least one value"},
		{"origins without value", door("origins"), "origins needs at least one value"},
		{"origins twice", door("origins https://a.example.com\norigins https://b.example.com"), "origins is given twice"},
		{"scope_implies with one scope", door("scope_implies admin"), "scope_implies takes a scope and the scopes that it includes"},
		{"scope_implies twice", door("scope_implies admin read\nscope_implies admin write"), "scope_implies admin is given twice: list all its scopes in one"},

		{"metadata without value", door("metadata resource_name"), "metadata takes a field and its value, for example: metadata resource_name \"My server\""},
		{"metadata empty", door(`metadata resource_name ""`), "metadata takes a field and its value"},
		{"metadata twice", door("metadata resource_name a\nmetadata resource_name b"), "metadata resource_name is given twice"},
		{"metadata text with several words", door("metadata resource_name My server"), "takes one value: quote it if it contains spaces"},
		{"metadata resource", door("metadata resource https://x.example.com"), `metadata field "resource" cannot be set: it is the resource itself`},
		{"metadata authorization_servers", door("metadata authorization_servers https://x.example.com"), `metadata field "authorization_servers" cannot be set: it follows from the issuers`},
		{"metadata scopes_supported", door("metadata scopes_supported read"), `metadata field "scopes_supported" cannot be set: use scopes_supported on its own`},
		{"metadata bad URL", door("metadata resource_documentation docs.example.com"), `metadata field "resource_documentation" must be an absolute https URL`},
		{"metadata that follows from dpop", door("metadata dpop_bound_access_tokens_required yes"), `metadata field "dpop_bound_access_tokens_required" cannot be set: it follows from dpop`},

		{"header without value", door("header X-User"), "header takes a name and a value, for example: header X-User {http.auth.user.id}"},
		{"header with empty value", door(`header X-User ""`), "header takes a name and a value"},
		{"header with three words", door("header X-User a b"), "header takes a name and a value"},
		{"header twice", door("header X-User a\nheader X-User b"), "header X-User is given twice"},
		{"forward_token twice", door("forward_token\nforward_token"), "forward_token is given twice"},
		{"landing without a value", door("landing"), "landing takes `off`"},
		{"landing on", door("landing on"), "landing takes `off`: the page for browsers is on without it"},
		{"landing with two values", door("landing off off"), "landing takes `off`"},
		{"landing twice", door("landing off\nlanding off"), "landing is given twice"},
		{"forward_token with an argument", door("forward_token on"), "forward_token takes no value"},
		{"sessions without value", door("sessions"), "sessions takes bound, so that each belongs to the user who began it, or off"},
		{"sessions with another value", door("sessions on"), "sessions takes bound"},
		{"sessions with an empty value", door(`sessions ""`), "sessions takes bound"},
		{"sessions with two values", door("sessions bound off"), "sessions takes bound"},
		{"sessions twice", door("sessions bound\nsessions off"), "sessions is given twice: keep one"},

		{"discovery twice", issuerWith("discovery off\ndiscovery https://as.example.com/x"), "discovery is given twice"},
		{"discovery without value", issuerWith("discovery"), "discovery takes the URL of a metadata document, or off"},
		{"discovery off together with a location", issuerWith("discovery off https://as.example.com/x"), "discovery takes the URL of a metadata document, or off"},
		{"audience without value", issuerWith("audience"), "audience needs at least one value"},
		{"audience empty", issuerWith(`audience ""`), "audience needs at least one value, and none may be empty"},
		{"audience twice", issuerWith("audience a\naudience b"), "audience is given twice"},
		{"issuer metadata without value", issuerWith("metadata jwks_uri"), "metadata takes a field and its value"},
		{"issuer metadata twice", issuerWith("metadata jwks_uri https://a.example.com\nmetadata jwks_uri https://b.example.com"), "metadata jwks_uri is given twice"},
		{"unknown verifier", issuerWith("jtw"), "jtw is neither an option of issuer (discovery, metadata, audience"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := adapt(test.site)
			checkError(t, err, test.want)
		})
	}
}

// Matchers that leave nothing open are taken.
func TestMatchers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, matcher, definition string }{
		{"prefix", "/mcp*", ""},
		{"shorter prefix", "/m*", ""},
		{"everything", "/*", ""},
		{"any", "*", ""},
		{"exact and below", "@m", "@m path /mcp /mcp/*"},
		{"exact, exact with a slash, and below", "@m", "@m path /mcp /mcp/ /mcp/*"},
		{"exact within a prefix", "@m", "@m path /mcp /m*"},
		{"below another path", "@m", "@m path /mcp* /other/*"},
		{"not about paths", "@m", "@m header X-MCP *"},
		{"regular expression", "@m", "@m path_regexp ^/mcp"},
		{"expression", "@m", "@m expression path('/mcp*')"},
	} {
		t.Run(test.name, func(t *testing.T) {
			routes, err := adapt(test.definition + "\n" + strings.Replace(door(""), "mcp_auth ", "mcp_auth "+test.matcher+" ", 1))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := provision(t, routes); err != nil {
				t.Error(err)
			}
		})
	}
}

// Semantic mistakes are found at provision, so that those who write JSON
// see them too. None leaves a reference to the issuer's state behind.
func TestProvisionErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, site, want string }{
		{"issuer twice", door("issuer https://as.example.com"), `issuer "https://as.example.com" is given twice: put all its verifiers in one block`},
		{"issuer not https", door("issuer http://as.example.org"), `issuer "http://as.example.org": issuer: not https`},
		{"issuer not a URL", door("issuer as.example.org"), "issuer: not an absolute URL"},
		{"issuer unset placeholder", door("issuer {env.NOT_SET}"), "env.NOT_SET"},
		{"issuer unknown placeholder", door("issuer https://{no.such.thing}/"), "no.such.thing"},
		{"discovery not https", issuerWith("discovery http://as.example.com/x"), "discovery: not https"},
		{"discovery not a URL", issuerWith("discovery on"), "discovery: not an absolute URL"},
		{"audience unset placeholder", issuerWith("audience {env.NOT_SET}"), "audience: "},
		{"issuer metadata unset placeholder", issuerWith("metadata jwks_uri {env.NOT_SET}"), "metadata jwks_uri: "},
		{"discovery off without keys", issuerWith("discovery off"), "discovery is off, so the issuer's keys must be given: metadata jwks_uri <url>"},
		{"token_prefix of two issuers", door("issuer https://a.example.com {\n" + introspection("token_prefix a_") + "\n}\nissuer https://b.example.com {\n" + introspection("token_prefix a_") + "\n}"), `have the same token_prefix "a_"`},
		{"token_prefix of API keys", issuerWith(introspection("token_prefix mcpk_")), `token_prefix: "mcpk_" is for API keys, which are sent to nobody`},
		{"jwt beside confirm_jwt", issuerWith("jwt\n" + introspection("confirm_jwt")), "remove jwt, introspection checks the signature itself"},
		{"error of a verifier", issuerWith("userinfo {\nendpoint http://as.example.com/me\n}"), "userinfo: endpoint: not https"},
		{"verifier that fails", issuerWith("guest fail"), "guest: the guest does not want to"},
		{"second verifier fails", issuerWith("jwt\nguest fail"), "guest: the guest does not want to"},

		{"scope with a quote", door("scopes `a\"b`"), "separate scopes by spaces, without quotes"},
		{"scope with a space", door(`scopes "read write"`), "separate scopes by spaces"},
		{"offline_access", door("scopes offline_access"), "scopes: offline_access is not a scope of a resource: clients that want refresh tokens ask for it by themselves"},
		{"offline_access advertised", door("scopes_supported read offline_access"), "scopes_supported: offline_access is not a scope of a resource"},
		{"offline_access implied", door("scope_implies admin offline_access"), "scope_implies: offline_access"},
		{"implied scope with a quote", door("scope_implies admin `a\"b`"), "scope_implies: scope"},

		{"origin with a path", door("origins https://x.example.com/"), `origins: "https://x.example.com/" is not an origin: write scheme and host, as in https://inspector.example.com`},
		{"origin without scheme", door("origins x.example.com"), "is not an origin"},
		{"any origin", door("origins *"), `origins: "*" is not an origin`},
		{"null origin", door("origins null"), `origins: "null" is not an origin`},
		{"origin with user", door("origins https://u@x.example.com"), "is not an origin"},
		{"origin with wildcard", door("origins https://*"), "is not an origin"},

		{"header Authorization", door("header Authorization x"), "header Authorization cannot be set here: use header_up of reverse_proxy for credentials of your own, or forward_token"},
		{"header authorization", door("header authorization x"), "header Authorization cannot be set here"},
		{"header Connection", door("header Connection x"), "header Connection cannot carry an identity: choose a name of its own, such as X-User"},
		{"header Host", door("header host x"), "header Host cannot carry an identity"},
		{"header for one hop", door("header Proxy-Authorization x"), "header Proxy-Authorization cannot carry an identity"},
		{"header of an assertion for one hop", door("assertion {\naudience b\nheader Keep-Alive\n}"), "header Keep-Alive cannot carry an identity"},
		{"header that reverse_proxy sets", door("header X-Forwarded-For x"), "header X-Forwarded-For cannot carry an identity"},
		{"header Cookie", door("header Cookie x"), "header Cookie cannot carry an identity"},
		{"header Mcp", door("header MCP-Session-Id x"), `header "MCP-Session-Id" belongs to the MCP protocol: choose another name`},
		{"header that folds to Mcp", door("header Mcp_Session_Id x"), `header "Mcp_Session_Id" belongs to the MCP protocol`},
		{"header that folds to Content-Type", door("header Content_Type x"), "cannot carry an identity"},
		{"header that folds to Content-Length", door("header Content.Length x"), "cannot carry an identity"},
		{"header that folds to Authorization", door("header Author-ization x"), "cannot be set here"},
		{"header name", door("header X:User x"), `header "X:User" is not a header name`},
		{"header name of punctuation", door("header __ x"), `header "__" is not a header name`},
		{"header name with a space", door(`header "X User" x`), "is not a header name"},
		{"headers that fold", door("header X-User a\nheader X_User b"), `headers "X-User" and "X_User" are the same to servers that fold header names`},
		{"headers that differ in case", door("header X-User a\nheader x-user b"), "are the same to servers that fold header names"},
	} {
		t.Run(test.name, func(t *testing.T) {
			// An issuer of this case's own, to count references by.
			issuer := "https://" + strings.ReplaceAll(strings.ToLower(test.name), " ", "-") + ".as.example.com"
			routes, err := adapt(strings.ReplaceAll(test.site, "https://as.example.com", issuer))
			if err != nil {
				t.Fatalf("adapting: %v", err)
			}
			_, err = provision(t, routes)
			checkError(t, err, strings.ReplaceAll(test.want, "https://as.example.com", issuer))
			if n := caddymcpauth.PoolReferences(issuer); n != 0 {
				t.Errorf("%d references to the issuer's state are left", n)
			}
		})
	}
}

// What a Caddyfile can't say, JSON can.
func TestProvisionErrorsOfJSON(t *testing.T) {
	t.Parallel()
	const resource = `"handler":"mcp_auth","resource":"https://mcp.example.com/mcp",`
	const issuers = resource + `"issuers":[{"issuer":"https://json.example.com"}],`
	for _, test := range []struct{ name, handler, want string }{
		{"no resource", `"handler":"mcp_auth","issuers":[{"issuer":"https://json.example.com"}]`, "resource: missing: give the URL"},
		{"no issuers", strings.TrimSuffix(resource, ","), "no issuer: name at least one authorization server with `issuer <url>`"},
		{"null issuer", resource + `"issuers":[null]`, "issuer 0 is null"},
		{"null issuer after a good one", resource + `"issuers":[{"issuer":"https://json.example.com"},null]`, "issuer 1 is null"},
		{"issuer without URL", resource + `"issuers":[{}]`, "the issuer's URL is missing"},
		{"empty audience", resource + `"issuers":[{"issuer":"https://json.example.com","audience":[""]}]`, "audience"},
		{"unknown member", issuers + `"resource_":[]`, "unknown field"},
		{"empty scope", issuers + `"scopes":[""]`, "scopes: "},
		{"implies nothing", issuers + `"scope_implies":{"admin":[]}`, "scope_implies: admin implies nothing"},
		{"header without value", issuers + `"header":{"X-User":""}`, "header X-User has no value"},
		{"header without name", issuers + `"header":{"":"x"}`, `header "" is not a header name`},
		{"reserved metadata", issuers + `"metadata":{"resource":"x"}`, `metadata field "resource" cannot be set`},
		{"reserved metadata with a language", issuers + `"metadata":{"resource#fr":"x"}`, "cannot be set"},
		{"metadata of the wrong form", issuers + `"metadata":{"resource_name":1}`, `metadata field "resource_name" must be a string`},
		{"metadata list of the wrong form", issuers + `"metadata":{"bearer_methods_supported":"header"}`, "must be a list of strings"},
		{"dpop without mode", issuers + `"dpop":{}`, `dpop: mode "" is none of off, accepted, required`},
		{"dpop off with nonce", issuers + `"dpop":{"mode":"off","nonce":true}`, "dpop: it is off, so nonce has no effect"},
		{"metadata of dpop", issuers + `"metadata":{"dpop_bound_access_tokens_required":true}`, "it follows from dpop"},
		{"negative leeway", resource + `"issuers":[{"issuer":"https://json.example.com","verifiers":[{"verifier":"jwt","leeway":-1}]}]`, "leeway -1ns is not between 0 and 5m0s"},
		{"verifier without name", resource + `"issuers":[{"issuer":"https://json.example.com","verifiers":[{}]}]`, "loading verifiers: "},
		{"null verifier", resource + `"issuers":[{"issuer":"https://json.example.com","verifiers":[null]}]`, "loading verifiers: "},
		{"unknown verifier", resource + `"issuers":[{"issuer":"https://json.example.com","verifiers":[{"verifier":"x"}]}]`, "http.mcp_auth.verifiers.x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			routes := json.RawMessage(`[{"handle":[{` + test.handler + `}]}]`)
			_, err := provision(t, routes)
			checkError(t, err, test.want)
			if n := caddymcpauth.PoolReferences("https://json.example.com"); n != 0 {
				t.Errorf("%d references to the issuer's state are left", n)
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got %q, want in it %q", err, want)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a secret is in the message: %q", err)
	}
}
