package oauthtest

import "strings"

// rawHeader adds a token by rsa with the given header.
func (m *matrix) rawHeader(name, want, header string) {
	m.add(name, want, m.mint(WithKey(m.rsa), WithRawHeader([]byte(header))))
}

// headerJSON is about the header as a JSON text.
func (m *matrix) headerJSON() {
	m.group = "header"
	good := m.header(nil)
	const object = "the header is one JSON object"
	m.rawHeader("array", object, "[{"+good+"}]")
	m.rawHeader("string", object, `"RS256"`)
	m.rawHeader("null", object, "null")
	m.rawHeader("number", object, "256")
	m.rawHeader("empty object", "alg is required", "{}")
	m.rawHeader("unfinished", object, "{"+good)
	m.rawHeader("followed by another", object, "{"+good+"}{}")
	m.rawHeader("followed by garbage", object, "{"+good+"}x")
	m.rawHeader("followed by NUL", object, "{"+good+"}\x00")
	m.rawHeader("byte order mark", object, "\xef\xbb\xbf{"+good+"}")
	m.rawHeader("comment", object, "{/**/"+good+"}")
	m.rawHeader("trailing comma", object, "{"+good+",}")
	m.rawHeader("single quotes", object, strings.ReplaceAll("{"+good+"}", `"`, "'"))
	m.rawHeader("invalid UTF-8", "JSON is UTF-8", "{"+good+",\"x\":\"\xff\"}")
	m.rawHeader("deep nesting", "nesting, or else size, has a bound",
		"{"+good+`,"x":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+"}")

	const twice = "member names are unique"
	m.rawHeader("alg twice, the good one last", twice, `{"alg":"none",`+good+"}")
	m.rawHeader("alg twice, the good one first", twice, "{"+good+`,"alg":"none"}`)
	m.rawHeader("alg twice, the same", twice, "{"+good+`,"alg":"RS256"}`)
	m.rawHeader("alg twice, once escaped", twice, "{"+good+`,"\u0061lg":"RS256"}`)
	m.rawHeader("kid twice", twice, `{"kid":"hostile-ec",`+good+"}")
	m.rawHeader("typ twice", twice, `{"typ":"logout+jwt",`+good+"}")
	m.rawHeader("unknown member twice", twice, "{"+good+`,"x":1,"x":1}`)

	const exact = "member names are case-sensitive"
	m.rawHeader("ALG instead of alg", exact, "{"+m.header(map[string]any{"alg": Absent, "ALG": "RS256"})+"}")
	m.rawHeader("ALG overrides alg", exact, "{"+m.header(map[string]any{"alg": "ES256"})+`,"ALG":"RS256"}`)
	m.rawHeader("Kid overrides kid", exact, "{"+m.header(map[string]any{"kid": "unknown"})+`,"Kid":"hostile-rsa"}`)
	m.rawHeader("kid with a Kelvin sign", exact, "{"+m.header(map[string]any{"kid": "unknown"})+",\"\u212aid\":\"hostile-rsa\"}")
	m.rawHeader("TYP overrides typ", exact, "{"+m.header(map[string]any{"typ": "logout+jwt"})+`,"TYP":"at+jwt"}`)
}

// headerAlgorithm is about alg: asymmetric, known, and the key's own.
func (m *matrix) headerAlgorithm() {
	m.group = "alg"
	with := func(name, want string, opts ...MintOption) {
		m.add(name, want, m.mint(append([]MintOption{WithKey(m.rsa)}, opts...)...))
	}
	const none = "an unsigned token proves nothing"
	for _, alg := range []string{"none", "None", "NONE", "nOnE"} {
		with(alg, none, Unsigned(), WithHeader("alg", alg))
	}
	with("none, signed nevertheless", none, WithHeader("alg", "none"))
	with("none without kid", none, Unsigned(), WithHeader("kid", Absent))

	const required = "alg is a required string"
	with("missing", required, WithHeader("alg", Absent))
	with("null", required, WithHeader("alg", nil))
	with("number", required, WithHeader("alg", 256))
	with("array", required, WithHeader("alg", []string{"RS256"}))
	with("object", required, WithHeader("alg", map[string]any{"name": "RS256"}))

	const known = "not on the list of allowed algorithms"
	for _, alg := range []string{"", "rs256", "RS256 ", " RS256", "RS256\x00", "RS2048", "SHA256withRSA", "RSA-OAEP", "A256KW"} {
		with("named "+quote(alg), known, WithHeader("alg", alg))
	}
	with("RS1", known, WithAlgorithm("RS1"), ByHand())
	m.add("ES256K", known, m.mint(WithKey(m.ec), WithHeader("alg", "ES256K")))

	const symmetric = "symmetric algorithms are refused: the verifier's key is public"
	with("HS256 by the public key's PEM", symmetric, WithSecret("HS256", m.rsa.PublicPEM()))
	with("HS384 by the public key's PEM", symmetric, WithSecret("HS384", m.rsa.PublicPEM()))
	with("HS512 by the public key's PEM", symmetric, WithSecret("HS512", m.rsa.PublicPEM()))
	with("HS256 by the PEM without its last newline", symmetric,
		WithSecret("HS256", []byte(strings.TrimSpace(string(m.rsa.PublicPEM())))))
	with("HS256 by the public key's DER", symmetric, WithSecret("HS256", m.rsa.PublicDER()))
	with("HS256 by the public JWK", symmetric, WithSecret("HS256", mustJSON(m.rsa.JWK())))
	with("HS256 by the modulus as spelled", symmetric, WithSecret("HS256", []byte(m.rsa.JWK()["n"].(string))))
	with("HS256 by the EC key's PEM", symmetric, WithSecret("HS256", m.ec.PublicPEM()), WithHeader("kid", m.ec.ID))
	with("HS256 by an empty secret", symmetric, WithHeader("alg", "HS256"), WithSignature(func([]byte) []byte {
		return make([]byte, 32)
	}))
	with("HS256 by the issuer's name", symmetric, WithSecret("HS256", []byte(m.srv.Issuer()+strings.Repeat("\x00", 32))))
}

// headerMembers is about crit, b64, zip and typ.
func (m *matrix) headerMembers() {
	m.group = "header"
	with := func(name, want string, members map[string]any) {
		m.rawHeader(name, want, "{"+m.header(members)+"}")
	}
	const crit = "no extension is understood, so no crit can be honored"
	for name, value := range map[string]any{
		"empty array": []string{}, "null": nil, "string": "exp", "number": 1, "object": map[string]any{}, "false": false,
		"array of a number": []int{1}, "a registered member": []string{"alg"}, "an absent member": []string{"x"},
	} {
		with("crit: "+name, crit, map[string]any{"crit": value})
	}
	with("crit: an unknown member", crit, map[string]any{"crit": []string{"x"}, "x": true})
	with("crit: a claim's name", crit, map[string]any{"crit": []string{"exp"}, "exp": 9_999_999_999})
	with("crit: an unknown member twice", crit, map[string]any{"crit": []string{"x", "x"}, "x": true})
	with("crit: b64 true", crit, map[string]any{"crit": []string{"b64"}, "b64": true})

	const unencoded = "JWTs must not have an unencoded payload (RFC 7797 section 7)"
	with("b64 false", unencoded, map[string]any{"b64": false})
	with("b64 false and crit", unencoded, map[string]any{"b64": false, "crit": []string{"b64"}})
	payload := strings.ReplaceAll("{"+m.members(nil)+"}", ".", `\u002e`)
	m.add("b64 false, payload not encoded", unencoded,
		m.signText(b64([]byte("{"+m.header(map[string]any{"b64": false, "crit": []string{"b64"}})+"}")), payload))

	const typ = "typ is at+jwt, JWT, or absent: other JWTs are not access tokens"
	for _, value := range []string{
		"logout+jwt", "application/logout+jwt", "dpop+jwt", "id_token+jwt", "secevent+jwt", "oauth-authz-req+jwt",
		"token-introspection+jwt", "client-authentication+jwt", "entity-statement+jwt", "kb+jwt", "refresh+jwt",
		"JOSE", "JWE", "ID", "", "at+jwt ", " at+jwt", "at+jwt\x00", "at+jwt;x=y", "at+jwt,logout+jwt", "text/at+jwt", "application/",
	} {
		with("typ "+quote(value), typ, map[string]any{"typ": value})
	}
	with("typ: number", typ, map[string]any{"typ": 1})
	with("typ: null", typ, map[string]any{"typ": nil})
	with("typ: array", typ, map[string]any{"typ": []string{"at+jwt"}})
	with("typ: object", typ, map[string]any{"typ": map[string]any{}})
	with("typ: true", typ, map[string]any{"typ": true})
}

// headerKeys is about how the header names its key.
func (m *matrix) headerKeys() {
	m.group = "kid"
	const named = "the kid names no key of the issuer"
	kids := []string{
		"unknown", "HOSTILE-RSA", "hostile-rsa ", " hostile-rsa", "hostile-rsa\x00", "hostile-rsa\n", "hostile-rs", "hostile-rsa/",
		"../../../../dev/null", `..\..\windows\win.ini`, "/dev/null", "file:///dev/null", "' OR 1=1 --", "x' UNION SELECT 'k",
		"| sleep 10", "$(id)", "{env.SECRET}", "*", "0", "null", m.srv.URL + "/attacker-kid",
	}
	for _, kid := range kids {
		m.add(quote(kid), named, m.mint(WithKey(m.rsa), WithHeader("kid", kid)))
	}
	m.add("very long", named, m.mint(WithKey(m.rsa), WithHeader("kid", strings.Repeat("k", 4<<10))))
	for name, kid := range map[string]any{
		"number": 1, "null": nil, "array": []string{m.rsa.ID}, "object": map[string]any{"kid": m.rsa.ID}, "true": true,
	} {
		m.add(name, "kid is a string", m.mint(WithKey(m.rsa), WithHeader("kid", kid)))
	}
	m.add("of another key", "the key must be the one that the kid names",
		m.mint(WithKey(m.rsa), WithHeader("kid", m.srv.AddKey("RS256", "hostile-rsa-2").ID)))
	m.add("of a key for another algorithm", "the key's algorithm must be the header's",
		m.mint(WithKey(m.rsa), WithHeader("kid", m.ec.ID)))
	m.add("missing, by nobody's key", "no key of the issuer has signed it",
		m.mint(WithKey(m.attacker), WithHeader("kid", Absent)))
	m.add("missing, by a key for another algorithm", "the key's algorithm must be the header's",
		m.mint(WithKey(m.rsa), WithAlgorithm("PS384"), WithHeader("kid", Absent)))

	m.group = "embedded key"
	const embedded = "keys and key URLs in the header are the sender's, not the issuer's"
	with := func(name string, opts ...MintOption) {
		m.add(name, embedded, m.mint(append([]MintOption{WithKey(m.attacker)}, opts...)...))
	}
	jwk, certificate := m.attacker.JWK(), selfSigned(m.attacker)
	with("jwk", WithHeader("jwk", jwk))
	with("jwk without kid", WithHeader("jwk", jwk), WithHeader("kid", Absent))
	with("jwk, kid unknown", WithHeader("jwk", jwk), WithHeader("kid", "attacker"))
	with("jwk as text", WithHeader("jwk", string(mustJSON(jwk))))
	for _, name := range []string{"jku", "x5u"} {
		with(name, WithHeader(name, m.srv.URL+"/attacker-"+name))
		with(name+", kid unknown", WithHeader(name, m.srv.URL+"/attacker-"+name), WithHeader("kid", "attacker"))
	}
	with("jku below the issuer", WithHeader("jku", m.srv.Issuer()+"/../attacker-jku"))
	with("x5c", WithHeader("x5c", []string{certificate}))
	with("x5c without kid", WithHeader("x5c", []string{certificate}), WithHeader("kid", Absent))
	with("x5t", WithHeader("x5t", "AAAAAAAAAAAAAAAAAAAAAAAAAAA"))
	with("iss in the header", WithHeader("iss", m.srv.URL+"/attacker"))
}
