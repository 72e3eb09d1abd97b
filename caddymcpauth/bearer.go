package caddymcpauth

import (
	"net/http"
	"net/url"
	"strings"
)

// bearerToken returns the token of r as RFC 6750, section 2.1 has it sent. The
// other two ways, in a form and in the query, are never read: the first is rare,
// the second ends up in logs (MCP, authorization, access token usage).
func bearerToken(r *http.Request) (string, *refusal) {
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return "", refuseRequest("more than one Authorization header")
	}
	if len(values) == 0 {
		return "", refuseNoCredentials()
	}
	scheme, credentials, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		// Another scheme tells us nothing about this client's tokens; it gets
		// the challenge without an error (RFC 6750, section 3.1).
		return "", refuseNoCredentials()
	}
	raw := strings.Trim(credentials, " ")
	if !isToken68(raw) {
		return "", refuseRequest("malformed Authorization header")
	}
	if hasQueryToken(r.URL.RawQuery) {
		return "", refuseRequest("a second access token in the query")
	}
	return raw, nil
}

// token68 has the characters of what RFC 6750 calls b64token, but for the padding.
// A table, because every byte of every token is looked up.
var token68 = func() (table [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") {
		table[c] = true
	}
	return table
}()

// isToken68 reports whether s has the form of a bearer token. It has no comma: two
// tokens in one header are not a token.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if !token68[body[i]] {
			return false
		}
	}
	return body != ""
}

// hasQueryToken reports whether query has a parameter access_token, also where
// a server behind us would see one that net/url does not: after a semicolon, or
// with its name percent-encoded.
func hasQueryToken(query string) bool {
	if query == "" {
		return false
	}
	for param := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(param, "=")
		if unescaped, err := url.QueryUnescape(name); err == nil && unescaped == "access_token" {
			return true
		}
	}
	return false
}
