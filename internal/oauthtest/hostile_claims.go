package oauthtest

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// number is a JSON number as it is spelled.
func number(s string) json.RawMessage { return json.RawMessage(s) }

// notStrings are values that a claim which is a string must not have.
func notStrings() map[string]any {
	return map[string]any{
		"number": 1, "null": nil, "true": true, "array": []string{"user-1"}, "object": map[string]any{"a": "user-1"}, "empty": "",
	}
}

// notTimes are values that a NumericDate must not have, even if their meaning is
// clear.
func (m *matrix) notTimes() map[string]any {
	soon := m.srv.opts.Now().Add(time.Minute)
	return map[string]any{
		"string": strconv.FormatInt(soon.Unix(), 10), "date": soon.Format(time.RFC3339), "null": nil, "true": true, "array": []int64{soon.Unix()},
		"object": map[string]any{"at": soon.Unix()}, "empty string": "",
		"larger than any float": number("1e400"), "larger than any integer": number("1e300"), "integer that wraps": number("18446744073709551616"),
	}
}

// issuerClaim is about iss: the configured string, byte for byte.
func (m *matrix) issuerClaim() {
	m.group = "iss"
	iss := m.srv.Issuer()
	const same = "iss must be the configured issuer, byte for byte"
	m.claims("missing", "iss is required", map[string]any{"iss": Absent})
	for name, value := range notStrings() {
		m.claims(name, "iss is a string that is not empty", map[string]any{"iss": value})
	}
	m.claims("array of the issuer", "iss is a string", map[string]any{"iss": []string{iss}})
	for name, value := range map[string]string{
		"trailing slash": iss + "/", "upper-case scheme": "HTTP" + strings.TrimPrefix(iss, "http"),
		"https": "https" + strings.TrimPrefix(iss, "http"), "no scheme": strings.TrimPrefix(iss, "http://"),
		"other issuer": "https://other.example", "path added": iss + "/tenant", "query added": iss + "?a=b", "fragment added": iss + "#a",
		"shortened": iss[:len(iss)-1], "lengthened": iss + "0", "suffix": iss + ".evil.example",
		"userinfo":      strings.Replace(iss, "http://", "http://user@", 1),
		"host spelling": strings.Replace(iss, "://127.", "://0177.", 1),
		"leading space": " " + iss, "trailing space": iss + " ", "trailing NUL": iss + "\x00", "trailing newline": iss + "\n",
		"empty path segment": iss + "//", "percent-encoded": strings.Replace(iss, ".", "%2e", 1), "wildcard": "*",
	} {
		m.claims(name, same, map[string]any{"iss": value})
	}
	const exact = "claim names are case-sensitive"
	m.claims("ISS instead of iss", exact, map[string]any{"iss": Absent, "ISS": iss})
	m.claims("isS overrides iss", exact, map[string]any{"iss": "https://other.example", "isS": iss})
	m.claims("with long s", exact, map[string]any{"iss": Absent, "i\u017f\u017f": iss})
}

// audienceClaim is about aud: the resource, or a list that contains it.
func (m *matrix) audienceClaim() {
	m.group = "aud"
	const required = "aud is required"
	m.claims("missing", required, map[string]any{"aud": Absent})
	m.claims("empty array", required, map[string]any{"aud": []string{}})
	m.claims("array of an empty string", required, map[string]any{"aud": []string{""}})
	for name, value := range notStrings() {
		m.claims(name, "aud is a string or an array of strings that names the resource", map[string]any{"aud": value})
	}
	const list = "aud is an array of strings only"
	for name, value := range map[string]any{
		"number": 1, "null": nil, "true": true, "array": []string{m.resource}, "object": map[string]any{},
	} {
		m.claims("array with "+name, list, map[string]any{"aud": []any{m.resource, value}})
	}
	m.claims("array in an array", list, map[string]any{"aud": [][]string{{m.resource}}})
	m.claims("object with the resource as name", list, map[string]any{"aud": map[string]any{m.resource: true}})

	const resource = "the token is for another resource"
	for name, value := range m.otherResources() {
		m.claims(name, resource, map[string]any{"aud": value})
	}
	m.claims("array of others", resource, map[string]any{"aud": []string{"https://other.example/mcp", m.resource + "/x"}})

	const exact = "claim names are case-sensitive"
	other := "https://other.example/mcp"
	m.claims("AUD instead of aud", exact, map[string]any{"aud": Absent, "AUD": m.resource})
	m.claims("AUD overrides aud", exact, map[string]any{"aud": other, "AUD": m.resource})
	m.claims("aUd overrides aud", exact, map[string]any{"aud": other, "aUd": m.resource})
	m.claims("resource instead of aud", exact, map[string]any{"aud": Absent, "resource": m.resource})
	m.claims("azp instead of aud", exact, map[string]any{"aud": Absent, "azp": m.resource})
}

// otherResources are near misses of the resource.
func (m *matrix) otherResources() map[string]string {
	r := m.resource
	u, err := url.Parse(r)
	if err != nil || strings.Trim(u.Path, "/") == "" {
		panic("oauthtest: Hostile needs a resource with a path, not " + r)
	}
	origin, path := u.Scheme+"://"+u.Host, u.Path
	scheme := map[string]string{"https": "http", "http": "https"}[u.Scheme]
	r = strings.TrimSuffix(r, "/")
	others := map[string]string{
		"other host": "https://other.example" + path, "origin only": origin, "origin and slash": origin + "/", "host only": u.Host, "path only": path,
		"other scheme": scheme + "://" + u.Host + path, "no scheme": "//" + u.Host + path, "other port": u.Scheme + "://" + u.Hostname() + ":8444" + path,
		"shortened": r[:len(r)-1], "lengthened": r + "x", "below it": r + "/x", "two slashes": r + "//", "two slashes before": origin + "/" + path,
		"upper-case path": origin + strings.ToUpper(path), "query": r + "?a=b", "empty query": r + "?", "fragment": r + "#a",
		"dot segment": r + "/.", "parent": r + "/x/..", "percent-encoded": origin + "/%" + hex(path[1]) + path[2:],
		"host suffix": u.Scheme + "://" + u.Host + ".evil.example" + path, "userinfo": u.Scheme + "://" + u.Host + "@evil.example" + path,
		"trailing dot of the host": u.Scheme + "://" + u.Hostname() + "." + path,
		"leading space":            " " + r, "trailing space": r + " ", "trailing NUL": r + "\x00", "trailing newline": r + "\n",
		"list in a string": "https://other.example/mcp " + r, "list with a comma": r + ",https://other.example/mcp",
		"wildcard": "*", "wildcard path": origin + "/*", "JSON in a string": string(mustJSON([]string{r})),
		"issuer": m.srv.Issuer(), "client": "client-1", "semicolon": r + ";a", "backslash": r + `\`,
	}
	return others
}

func hex(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// timeClaims is about exp, nbf and iat.
func (m *matrix) timeClaims() {
	now := m.srv.opts.Now()
	past, future := now.Add(-time.Hour).Unix(), now.Add(24*time.Hour).Unix()

	m.group = "exp"
	m.claims("missing", "exp is required", map[string]any{"exp": Absent})
	const expired = "expired"
	for name, value := range map[string]any{
		"an hour ago": past, "an hour ago, with a fraction": float64(past) + 0.5, "0": 0, "-1": -1, "minus zero": number("-0"),
		"tiny": number("1e-300"), "very negative": number("-1e300"), "before year 1": number("-99999999999999"),
	} {
		m.claims(name, expired, map[string]any{"exp": value})
	}
	const exact = "claim names are case-sensitive"
	m.claims("Exp instead of exp", exact, map[string]any{"exp": Absent, "Exp": future})
	m.claims("EXP overrides exp", exact, map[string]any{"exp": past, "EXP": future, "eXp": future})
	m.claims("expires_in instead of exp", "exp is required", map[string]any{"exp": Absent, "expires_in": 3600})

	m.group = "nbf"
	m.claims("tomorrow", "not valid yet", map[string]any{"nbf": future})
	m.claims("tomorrow, with a fraction", "not valid yet", map[string]any{"nbf": float64(future) + 0.5})
	m.group = "iat"
	m.claims("tomorrow", "issued in the future", map[string]any{"iat": future})

	for _, claim := range []string{"exp", "nbf", "iat"} {
		m.group = claim
		for name, value := range m.notTimes() {
			if value == nil && claim != "exp" {
				continue // null is absent
			}
			m.claims(name, claim+" is a number within reason", map[string]any{claim: value})
		}
	}
}

// identityClaims is about sub, client_id and scope.
func (m *matrix) identityClaims() {
	m.group = "sub"
	const somebody = "a token must belong to somebody"
	m.claims("missing, and client_id", somebody, map[string]any{"sub": Absent, "client_id": Absent})
	m.claims("SUB instead of sub, no client_id", somebody, map[string]any{"sub": Absent, "client_id": Absent, "SUB": "user-1"})
	m.claims("with long s, no client_id", somebody, map[string]any{"sub": Absent, "client_id": Absent, "\u017fub": "user-1"})
	m.claims("only a name", somebody, map[string]any{"sub": Absent, "client_id": Absent, "username": "user-1", "name": "User"})
	for name, value := range notStrings() {
		if value == nil {
			continue // null is absent, and the client named
		}
		m.claims(name, "sub is a string that is not empty", map[string]any{"sub": value})
	}
	const control = "control characters would travel in headers and logs"
	for name, value := range map[string]string{
		"NUL": "user-1\x00", "newline": "user-1\nX-Admin: 1", "CRLF": "user-1\r\nX-Admin: 1", "escape": "\x1b[31muser-1", "delete": "user\x7f-1",
	} {
		m.claims("with "+name, control, map[string]any{"sub": value})
	}

	const user = "without sub all users of a client would be one"
	for claim, value := range map[string]any{
		"preferred_username": "ada", "username": "ada", "sid": "s", "session_state": "s", "auth_time": 1, "amr": []string{"pwd"}, "email": "ada@example.com",
		"upn": "ada@example.com", "uid": "00u1", "user_id": "42", "user_name": "ada", "nonce": "n", "scope": "openid read", "idtyp": "user",
		"gty": "password", "grant_type": "authorization_code", "sub_type": "user", "aut": "APPLICATION_USER", "auth_type": "3L",
	} {
		m.claims("missing, and "+claim, user, map[string]any{"sub": Absent, claim: value})
		m.claims("null, and "+claim, user, map[string]any{"sub": nil, claim: value})
	}
	m.claims("missing, and azp alone", user, map[string]any{"sub": Absent, "client_id": Absent, "azp": "client-1"})

	m.group = "client_id"
	for name, value := range map[string]any{"number": 1, "array": []string{"client-1"}, "object": map[string]any{}, "true": true} {
		m.claims(name, "client_id is a string", map[string]any{"client_id": value})
		m.claims(name+", no sub", "client_id is a string", map[string]any{"client_id": value, "sub": Absent})
	}
	m.claims("empty, no sub", somebody, map[string]any{"client_id": "", "sub": Absent})
	m.claims("null, no sub", somebody, map[string]any{"client_id": nil, "sub": Absent})
	m.claims("newline", control, map[string]any{"client_id": "client-1\nX-Admin: 1", "sub": Absent})

	m.group = "scope"
	for name, value := range map[string]any{
		"number": 1, "object": map[string]any{"read": true}, "true": true, "array with a number": []any{"read", 1}, "array in an array": [][]string{{"read"}},
	} {
		m.claims(name, "scope is a string, or an array of strings", map[string]any{"scope": value})
	}
}

// otherTokens are good JWTs of the issuer that aren't bearer access tokens.
func (m *matrix) otherTokens() {
	m.group = "other token"
	asJWT := func(name, want string, claims map[string]any) {
		all := map[string]any{"aud": m.resource}
		for claim, value := range claims {
			all[claim] = value
		}
		m.add(name, want, m.srv.Mint(all, WithHeader("typ", "JWT")))
	}
	const idToken = "an ID token tells the client who signed in: it is no access token"
	asJWT("ID token with nonce and at_hash", idToken, map[string]any{"nonce": "n", "at_hash": "h", "scope": Absent, "client_id": Absent})
	asJWT("ID token with at_hash", idToken, map[string]any{"at_hash": "h"})
	asJWT("ID token with c_hash", idToken, map[string]any{"c_hash": "h"})
	asJWT("ID token of Keycloak", idToken, map[string]any{"typ": "ID"})
	asJWT("ID token of Cognito", idToken, map[string]any{"token_use": "id"})

	const refresh = "a refresh token is for the authorization server only"
	asJWT("refresh token of Keycloak", refresh, map[string]any{"typ": "Refresh"})
	asJWT("offline token of Keycloak", refresh, map[string]any{"typ": "Offline"})
	asJWT("refresh token of Cognito", refresh, map[string]any{"token_use": "refresh"})
	for claim, values := range map[string][]string{
		"typ":        {"Serialized-ID", "RegistrationAccessToken", "InitialAccessToken", "id_token", "refresh_token", "refresh+jwt", "rt+jwt"},
		"token_use":  {"refresh_token", "id_token", "ID", "authorize_code"},
		"token_type": {"refresh", "refresh_token", "id_token", "ID", "N_A", "urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:refresh_token"},
		"tok_type":   {"IT", "RT"},
		"tokenName":  {"id_token", "refresh_token"},
		"tokenType":  {"refresh-token", "id-token"},
		"tty":        {"idt", "rt"},
		"purpose":    {"id_token", "refresh_token"},
		"type":       {"refresh", "id", "id_token", "logout"},
		"use":        {"refresh", "id", "Refresh Token"},
	} {
		for _, value := range values {
			asJWT(claim+" "+value, "the issuer calls it another kind of token", map[string]any{claim: value})
			m.claims(claim+" "+value+", at+jwt", "the issuer calls it another kind of token", map[string]any{claim: value})
		}
	}

	const event = "a security event is no access token"
	asJWT("logout token", event, map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}})
	asJWT("logout token of Keycloak", event, map[string]any{"typ": "Logout"})
	asJWT("security event", event, map[string]any{"events": map[string]any{"https://schemas.openid.net/secevent/risc/event-type/account-disabled": map[string]any{}}})

	const bound = "the token is bound to a key, and nobody has shown to hold it"
	m.claims("bound to a DPoP key", bound, map[string]any{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})
	m.claims("bound to a certificate", bound, map[string]any{"cnf": map[string]any{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}})
	m.claims("bound to a JWK", bound, map[string]any{"cnf": map[string]any{"jwk": m.attacker.JWK()}})
	m.claims("bound to a key by its kid", bound, map[string]any{"cnf": map[string]any{"kid": "client-key"}})
	m.claims("bound to something unknown", bound, map[string]any{"cnf": map[string]any{"x": "y"}})
	m.claims("bound to no object", bound, map[string]any{"cnf": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})
	m.claims("bound, says Keycloak", bound, map[string]any{"typ": "DPoP"})
}
