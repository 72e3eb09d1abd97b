package oauthtest

import (
	"net/url"
	"strings"
	"time"
)

// Benign returns tokens that must all be accepted by a verifier of srv's access
// tokens for resource: the positive controls of [Hostile]. Unless the name says
// otherwise their subject is "user-1" and their client "client-1".
//
// It publishes an honest key per algorithm, and honest keys that leave out
// optional members. Their kids contain "good", in one case in upper case. Call it before the key set is
// fetched.
func Benign(srv *Server, resource string) []Case {
	m := &matrix{srv: srv, resource: resource}
	m.goodHeaders()
	m.goodClaims()
	m.goodPayloads()
	m.goodKeys()
	m.sort()
	return m.cases
}

// BenignWithoutKid returns tokens without a kid, which must be accepted because
// srv publishes a single key. With several, OpenID Connect asks for a kid, and a
// verifier may refuse them.
func BenignWithoutKid(srv *Server, resource string) []Case {
	m := &matrix{srv: srv, resource: resource, group: "kid"}
	m.add("absent", "the only key needs no name", m.mint(WithHeader("kid", Absent)))
	return m.cases
}

func (m *matrix) goodHeaders() {
	m.group = "header"
	const typ = "typ is a media type: case-insensitive, application/ optional"
	for _, value := range []string{"at+jwt", "application/at+jwt", "AT+JWT", "At+Jwt", "Application/AT+JWT", "JWT", "jwt", "application/jwt"} {
		m.add("typ "+value, typ, m.mint(WithHeader("typ", value)))
	}
	m.add("typ absent", "typ is optional in practice", m.mint(WithHeader("typ", Absent)))

	const ignored = "unknown header members are ignored"
	m.add("unknown member", ignored, m.mint(WithHeader("x", map[string]any{"y": []int{1}})))
	m.add("member that differs from crit in case", ignored, m.mint(WithHeader("CRIT", []string{"x"})))
	m.add("x5t", ignored, m.mint(WithHeader("x5t", "AAAAAAAAAAAAAAAAAAAAAAAAAAA")))
	m.add("cty", ignored, m.mint(WithHeader("cty", "application/json")))

	const key = "a key in the header is not looked at, be it good or bad"
	attacker := m.srv.NewKey("ES256", "attacker")
	m.add("jwk", key, m.mint(WithHeader("jwk", attacker.JWK())))
	m.add("jku", key, m.mint(WithHeader("jku", m.srv.URL+"/attacker-jku")))
	m.add("x5u", key, m.mint(WithHeader("x5u", m.srv.URL+"/attacker-x5u")))
	m.add("x5c", key, m.mint(WithHeader("x5c", []string{selfSigned(attacker)})))
}

func (m *matrix) goodClaims() {
	now := m.srv.opts.Now()
	m.group = "claims"
	m.claims("as they come", "the plain case", nil)

	const list = "aud may be a list"
	m.claims("aud: array of the resource", list, map[string]any{"aud": []string{m.resource}})
	m.claims("aud: resource last", list, map[string]any{"aud": []string{"https://other.example/mcp", "client-1", m.resource}})
	m.claims("aud: resource twice", list, map[string]any{"aud": []string{m.resource, m.resource}})

	const same = "scheme and host are case-insensitive, one trailing slash is tolerated"
	slashed := strings.TrimSuffix(m.resource, "/")
	if slashed == m.resource {
		slashed += "/"
	}
	m.claims("aud: other trailing slash", same, map[string]any{"aud": slashed})
	if u, err := url.Parse(m.resource); err == nil {
		_, rest, _ := strings.Cut(m.resource, "://"+u.Host)
		m.claims("aud: upper-case host", same, map[string]any{"aud": u.Scheme + "://" + strings.ToUpper(u.Host) + rest})
		m.claims("aud: upper-case scheme", same, map[string]any{"aud": strings.ToUpper(u.Scheme) + "://" + u.Host + rest})
	}

	const date = "a NumericDate is any JSON number"
	m.claims("exp with a fraction", date, map[string]any{"exp": float64(now.Unix()) + 300.5})
	m.claims("nbf a while ago", date, map[string]any{"nbf": now.Add(-time.Minute).Unix()})
	m.claims("nbf with a fraction", date, map[string]any{"nbf": float64(now.Unix()) - 60.5})
	m.claims("nbf 0", date, map[string]any{"nbf": 0})
	m.claims("iat absent", "iat is optional in practice", map[string]any{"iat": Absent})
	m.claims("exp in ten years", "a long life is the issuer's business", map[string]any{"exp": now.AddDate(10, 0, 0).Unix()})

	const identity = "a token of a client on its own behalf has no user; a client may be named by azp"
	m.claims("no sub (subject client-1)", identity, map[string]any{"sub": Absent})
	m.claims("sub is the client (subject client-1)", identity, map[string]any{"sub": "client-1"})
	m.claims("no client_id (no client)", identity, map[string]any{"client_id": Absent})
	m.claims("azp for client_id", identity, map[string]any{"client_id": Absent, "azp": "client-1"})
	m.claims("sub in other scripts (subject Zoë 名前)", identity, map[string]any{"sub": "Zoë 名前"})
	m.claims("sub that is long (subject of 255 characters)", identity, map[string]any{"sub": strings.Repeat("u", 255)})
	m.claims("jti absent", "jti is optional in practice", map[string]any{"jti": Absent})

	m.claims("cid for client_id (Okta)", identity, map[string]any{"client_id": Absent, "cid": "client-1"})
	m.claims("appid for client_id (Entra)", identity, map[string]any{"client_id": Absent, "appid": "client-1", "idtyp": "user"})
	m.claims("no sub, gty client-credentials (subject client-1)", identity, map[string]any{"sub": Absent, "gty": "client-credentials"})
	m.claims("sub null, nothing of a user (subject client-1)", identity, map[string]any{"sub": nil})

	const null = "null is absent"
	for _, claim := range []string{"nbf", "iat", "jti", "azp", "cnf", "events", "at_hash", "nonce", "typ", "token_use", "scp", "scopes", "username", "act"} {
		m.claims(claim+": null", null, map[string]any{claim: nil})
	}
	m.claims("scope: null, scp", null, map[string]any{"scope": nil, "scp": []string{"read", "write"}})
	m.claims("client_id: null, azp", null, map[string]any{"client_id": nil, "azp": "client-1"})

	const kind = "issuers have many names for an access token"
	for claim, values := range map[string][]string{
		"typ": {"bearer", "at+jwt", "JWT"}, "token_use": {"access_token"}, "token_type": {"Bearer", "access", "access_token", "urn:ietf:params:oauth:token-type:access_token"},
		"tok_type": {"AT"}, "tokenName": {"access_token"}, "tokenType": {"access-token"}, "tty": {"at"}, "purpose": {"access_token", "mcp"},
		"type": {"access", "app", "user"}, "use": {"access", "sig"},
	} {
		for _, value := range values {
			m.claims(claim+" "+value, kind, map[string]any{claim: value})
		}
	}

	const scope = "scope may be absent, empty, or a list"
	m.claims("scope absent", scope, map[string]any{"scope": Absent})
	m.claims("scope empty", scope, map[string]any{"scope": ""})
	m.claims("scope: array", scope, map[string]any{"scope": []string{"read", "write"}})
	m.claims("scopes: array", scope, map[string]any{"scope": Absent, "scopes": []string{"read", "write"}})

	const extra = "further claims are the issuer's business"
	m.claims("further claims", extra, map[string]any{"groups": []string{"a", "b"}, "address": map[string]any{"a": nil}, "n": 1.5, "no": false})
	m.claims("placeholder in a claim", extra, map[string]any{"name": "{env.SECRET}"})
	m.claims("4 KB", extra, map[string]any{"groups": strings.Fields(strings.Repeat("group ", 500))})
	m.claims("nonce alone (Keycloak)", extra, map[string]any{"nonce": "n"})
	m.claims("payload typ Bearer (Keycloak)", extra, map[string]any{"typ": "Bearer"})
	m.claims("token_use access (Cognito)", extra, map[string]any{"token_use": "access"})
	m.claims("auth_time, acr, amr (RFC 9068)", extra, map[string]any{"auth_time": now.Unix(), "acr": "1", "amr": []string{"pwd"}})
	m.claims("act (RFC 8693)", extra, map[string]any{"act": map[string]any{"sub": "agent"}})
	m.claims("names that differ in case", "claim names are case-sensitive: these are unknown ones", map[string]any{
		"SUB": "admin", "\u017fub": "admin", "EXP": 0, "Aud": "https://other.example/mcp", "ISS": "https://other.example", "Scope": "admin",
	})
}

func (m *matrix) goodPayloads() {
	m.group = "payload"
	const text = "JSON has many spellings"
	good := m.members(map[string]any{"exp": Absent})
	exp := m.srv.opts.Now().Add(5 * time.Minute).Unix()
	m.payload("white space", text, "\r\n\t { "+good+` , "exp" : `+string(mustJSON(exp))+" }\n")
	m.payload("exp with an exponent", text, "{"+good+`,"exp":`+string(mustJSON(exp))+`00e-2}`)
	m.payload("escaped name", text, "{"+good+`,"\u0065xp":`+string(mustJSON(exp))+"}")
	m.payload("escaped slashes", text,
		"{"+m.members(map[string]any{"aud": Absent})+`,"aud":"`+strings.ReplaceAll(m.resource, "/", `\/`)+`"}`)
	m.payload("escapes and surrogate pairs in a claim", text, "{"+m.members(nil)+`,"name":"\"\\\u0000\ud83d\ude00"}`)
	m.payload("same name at two depths", text, "{"+m.members(nil)+`,"act":{"sub":"agent","act":{"sub":"other"}}}`)
}

func (m *matrix) goodKeys() {
	m.group = "key"
	for _, alg := range signatureAlgorithms {
		alg := string(alg)
		k := m.srv.AddKey(alg, "good-"+alg)
		m.add(alg, "an allowed algorithm", m.mint(WithKey(k)))
	}
	for name, change := range map[string]map[string]any{
		"without alg": {"alg": Absent}, "without use": {"use": Absent}, "without alg and use": {"alg": Absent, "use": Absent},
		"key_ops verify": {"use": Absent, "key_ops": []string{"verify"}}, "use and key_ops": {"key_ops": []string{"sign", "verify"}},
		"unknown members": {"unknown": "y", "iat": 1, "exp": nil},
	} {
		for _, alg := range []string{"RS256", "ES384", "EdDSA"} {
			k := m.srv.NewKey(alg, "good-"+alg+" "+name)
			m.srv.AddJWK(set(k.JWK(), change))
			m.add(alg+" "+name, "optional members of a JWK", m.mint(WithKey(k)))
		}
	}
	const kid = "a kid is any string"
	for _, id := range []string{"../good", "good: https://as.example/keys#1", "good-schlüssel", "GOOD-RS256"} {
		m.add("kid "+quote(id), kid, m.mint(WithKey(m.srv.AddKey("ES256", id))))
	}
}
