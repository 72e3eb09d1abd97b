package caddymcpauth

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
)

// credentials returns the token that r carries in its Authorization header (RFC
// 6750, section 2.1), and whether it uses the DPoP scheme (RFC 9449, section 7.1), where
// proofs are accepted. The other two ways, in a form and in the query, are never
// read: the first is rare, the second ends up in logs (MCP, authorization, access
// token usage). The token contains only the allowed characters.
func credentials(r *http.Request, allowed *characters, proofs bool) (raw string, byProof bool, ref *refusal) {
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return "", false, refuseRequest("more than one Authorization header")
	}
	if len(values) == 0 {
		return "", false, refuseNoCredentials()
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	byProof = proofs && strings.EqualFold(scheme, "DPoP")
	if !byProof && !strings.EqualFold(scheme, "Bearer") {
		// Another scheme tells us nothing about the client's tokens. The client
		// gets the challenge without an error (RFC 6750, section 3.1).
		return "", false, refuseNoCredentials()
	}
	raw = strings.Trim(rest, " ")
	if !allowed.make(raw) {
		return "", byProof, refuseRequest("malformed Authorization header")
	}
	if hasQueryToken(r.URL.RawQuery) {
		return "", byProof, refuseRequest("a second access token in the query")
	}
	return raw, byProof, nil
}

// authorization is the header with a token.
var authorization = guard.NewHeaders("Authorization")

// setAuthorization puts a token for the next handler into the request. No option in
// Connection can have a proxy on the way take it out again: the server behind would
// take the request for one without a sender.
func setAuthorization(r *http.Request, text string) {
	authorization.Scrub(r)
	r.Header["Authorization"] = []string{"Bearer " + text}
}

// keepAuthorization is setAuthorization for the header that the client has sent.
func keepAuthorization(r *http.Request) {
	values := r.Header["Authorization"]
	authorization.Scrub(r)
	r.Header["Authorization"] = values
}

// characters are the characters that a token may contain. They are tables because
// every byte of every token is looked up.
type characters [256]bool

var (
	// token68 are those of RFC 6750, section 2.1, except the padding.
	token68 = charactersOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/")
	// opaqueToken are the characters of opaque tokens in practice, since some
	// issuers use more than those: Salesforce (!), Laravel Sanctum (|), JetBrains
	// (:), Atlassian (= inside). They are RFC 6265's for cookies: no blank, comma,
	// quote, semicolon or backslash, so two tokens in one header are not a token,
	// and nothing can be read as a further parameter.
	opaqueToken = charactersOf("!#$%&'()*+-./0123456789:<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~")
)

func charactersOf(s string) (table characters) {
	for _, c := range []byte(s) {
		table[c] = true
	}
	return table
}

// tokenCharacters returns what tokens may consist of: the wider set only where a
// verifier takes opaque tokens.
func tokenCharacters(issuers judge.Issuers) *characters {
	if issuers.TakeOpaque() {
		return &opaqueToken
	}
	return &token68
}

// make reports whether s, apart from padding at its end, consists of these
// characters.
func (table *characters) make(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if !table[body[i]] {
			return false
		}
	}
	return body != ""
}

// hasQueryToken reports whether query has a parameter access_token, also where
// a server behind us would see one that net/url does not: after a semicolon, with
// its name percent-encoded, in capitals (ASP.NET), as an array (Express, Rails), or
// with what PHP takes for an underscore.
func hasQueryToken(query string) bool {
	if query == "" {
		return false
	}
	for param := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(param, "=")
		unescaped, err := url.QueryUnescape(name)
		if err != nil {
			continue
		}
		unescaped = strings.TrimLeft(unescaped, " ")
		const parameter = "access_token"
		if len(unescaped) < len(parameter) || !strings.EqualFold(underscores.Replace(unescaped[:len(parameter)]), parameter) {
			continue
		}
		if rest := unescaped[len(parameter):]; rest == "" || rest[0] == '[' || rest[0] == 0 {
			return true
		}
	}
	return false
}

// underscores are the characters that PHP turns into underscores in parameter
// names.
var underscores = strings.NewReplacer(".", "_", " ", "_", "[", "_")
