package oauthtest

import (
	"crypto/ecdsa"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"time"
)

// HostileProofs returns DPoP proofs that must all be refused for a request with token.
// Each breaks one rule of RFC 9449, section 4.3 and is good otherwise. Where the name
// starts with "signature", header and claims are good; elsewhere the signature is good,
// by the key in the proof, if there is anything to sign. The Token of a case is the
// proof.
//
// url must be an https URL with a path of several characters, and without a query.
func HostileProofs(srv *Server, p *Prover, method, url, token string) []Case {
	m := &proofMatrix{srv: srv, prover: p, other: srv.NewProver("ES256"), method: method, url: url, token: token}
	m.compact()
	m.headers()
	m.algorithms()
	m.keys()
	m.requests()
	m.times()
	m.payloads()
	m.signatures()
	slices.SortFunc(m.cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return m.cases
}

// proofMatrix collects cases.
type proofMatrix struct {
	srv                *Server
	prover, other      *Prover
	method, url, token string
	group              string
	cases              []Case
}

func (m *proofMatrix) add(name, want, proof string) {
	m.cases = append(m.cases, Case{Name: m.group + ": " + name, Token: proof, Want: want})
}

func (m *proofMatrix) prove(claims map[string]any, opts ...MintOption) string {
	return m.prover.Prove(m.method, m.url, m.token, claims, opts...)
}

// claim adds proofs with other values of a claim.
func (m *proofMatrix) claim(claim, want string, values map[string]any) {
	m.group = claim
	for name, value := range values {
		m.add(name, want, m.prove(map[string]any{claim: value}))
	}
}

// compact is about the three parts.
func (m *proofMatrix) compact() {
	m.group = "form"
	good := m.prove(nil)
	parts := strings.Split(good, ".")
	const three = "a proof is a JWS of three parts in base64url"
	for name, proof := range map[string]string{
		"empty":                  "",
		"one word":               "this-is-not-a-jwt",
		"two parts":              parts[0] + "." + parts[1],
		"four parts":             good + ".e30",
		"a dot before":           "." + good,
		"a dot after":            good + ".",
		"only dots":              "..",
		"header empty":           "." + parts[1] + "." + parts[2],
		"payload empty":          parts[0] + ".." + parts[2],
		"header padded":          parts[0] + "=." + parts[1] + "." + parts[2],
		"signature padded":       good + "==",
		"a blank inside":         parts[0] + " ." + parts[1] + "." + parts[2],
		"a tab inside":           parts[0] + "\t." + parts[1] + "." + parts[2],
		"standard base64":        parts[0] + "." + parts[1] + "." + strings.Repeat("+/", len(parts[2])/2),
		"two proofs, one header": good + ", " + m.prove(nil),
		"with a scheme":          "DPoP " + good,
		"JSON serialization":     `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"too long":               m.prove(map[string]any{"x": strings.Repeat("x", 10_000)}),
		"an access token":        m.token,
	} {
		m.add(name, three, proof)
	}
}

// headers is about typ and members that change how a JWS is read.
func (m *proofMatrix) headers() {
	m.group = "header"
	const typ = "typ is dpop+jwt: any other JWT is for something else"
	for _, value := range []any{Absent, nil, "", "jwt", "JWT", "at+jwt", "dpop", "dpop+jwt ", " dpop+jwt", "dpop+jwt\x00", 1, []string{"dpop+jwt"}} {
		m.add("typ "+string(mustJSON(named(value))), typ, m.prove(nil, WithHeader("typ", value)))
	}
	const extension = "no extension is supported"
	m.add("crit", extension, m.prove(nil, WithHeader("crit", []string{"x"}), WithHeader("x", 1)))
	m.add("crit, empty", extension, m.prove(nil, WithHeader("crit", []string{})))
	m.add("b64 false", extension, m.prove(nil, WithHeader("b64", false)))
	m.add("zip", extension, m.prove(nil, WithHeader("zip", "DEF")))
	m.add("enc", extension, m.prove(nil, WithHeader("enc", "A128GCM")))

	const once = "member names are unique and exact"
	good := strings.TrimSuffix(string(mustJSON(map[string]any{"typ": "dpop+jwt", "alg": m.prover.Key.Algorithm, "jwk": publicJWK(m.prover.Key)})), "}")
	foreign := string(mustJSON(publicJWK(m.other.Key)))
	for name, header := range map[string]string{
		"typ twice":         good + `,"typ":"dpop+jwt"}`,
		"alg twice":         good + `,"alg":"none"}`,
		"jwk twice":         good + `,"jwk":` + foreign + `}`,
		"TYP beside typ":    good + `,"TYP":"jwt"}`,
		"Jwk beside jwk":    good + `,"Jwk":` + foreign + `}`,
		"unknown twice":     good + `,"x":1,"x":2}`,
		"cut off":           good,
		"data after it":     good + `} {}`,
		"an array":          "[" + good + "}]",
		"null":              "null",
		"invalid UTF-8":     good + ",\"x\":\"\xff\"}",
		"in capital J only": strings.Replace(good, `"jwk"`, `"JWK"`, 1) + "}",
	} {
		m.add(name, once, m.prove(nil, WithRawHeader([]byte(header))))
	}
}

// named is what a case is named after.
func named(value any) any {
	if value == Absent {
		return "absent"
	}
	return value
}

// algorithms is about alg.
func (m *proofMatrix) algorithms() {
	m.group = "alg"
	const asymmetric = "alg is asymmetric, and on the list"
	m.add("none, unsigned", asymmetric, m.prove(nil, Unsigned()))
	m.add("none, signed", asymmetric, m.prove(nil, WithHeader("alg", "none")))
	for _, alg := range []any{Absent, nil, "", "NONE", "es256", "ES256K", "RS1", "HS256", "ECDH-ES", 256} {
		m.add(string(mustJSON(named(alg))), asymmetric, m.prove(nil, WithHeader("alg", alg)))
	}
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		secret := []byte("a secret of more than thirty-two bytes")
		oct := map[string]any{"kty": "oct", "k": b64(secret)}
		m.add(alg+" with its secret", asymmetric, m.prove(nil, WithSecret(alg, secret), WithHeader("jwk", oct)))
		m.add(alg+" with the public key as the secret", asymmetric, m.prove(nil, WithSecret(alg, m.prover.Key.PublicPEM())))
	}
	const mismatch = "the key is for another algorithm"
	for _, alg := range []string{"ES384", "ES512", "EdDSA", "Ed25519", "RS256", "PS256"} {
		m.add(alg+" with a key for ES256", mismatch, m.prove(nil, WithHeader("alg", alg)))
	}
}

// keys is about jwk. The prover's key is for ES256.
func (m *proofMatrix) keys() {
	m.group = "jwk"
	jwk := func(changes map[string]any) MintOption {
		return WithHeader("jwk", set(publicJWK(m.prover.Key), changes))
	}
	const private = "jwk has no private member: anyone who saw the proof could sign"
	m.add("with its private key", private, m.prove(nil, WithHeader("jwk", m.prover.Key.PrivateJWK())))
	for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		m.add("with "+member, private, m.prove(nil, jwk(map[string]any{member: "AQAB"})))
		m.add("with "+member+" that is null", private, m.prove(nil, jwk(map[string]any{member: nil})))
	}
	m.add("with D", private, m.prove(nil, jwk(map[string]any{"D": "AQAB"})))

	const usable = "jwk is one public key, written out"
	for name, value := range map[string]any{
		"absent": Absent, "null": nil, "a text": string(mustJSON(publicJWK(m.prover.Key))), "an array": []any{publicJWK(m.prover.Key)},
		"empty": map[string]any{}, "a key set": map[string]any{"keys": []any{publicJWK(m.prover.Key)}}, "a thumbprint": m.prover.Thumbprint(),
	} {
		m.add(name, usable, m.prove(nil, WithHeader("jwk", value)))
	}
	for name, changes := range map[string]map[string]any{
		"without kty": {"kty": Absent}, "of kty oct": {"kty": "oct"}, "of kty RSA": {"kty": "RSA"}, "of kty ec": {"kty": "ec"},
		"without crv": {"crv": Absent}, "of P-384": {"crv": "P-384"}, "of secp256k1": {"crv": "secp256k1"},
		"without x": {"x": Absent}, "without y": {"y": Absent}, "off the curve": {"x": b64(make([]byte, 32))},
		"short x": {"x": b64(make([]byte, 31))}, "padded x": {"x": publicJWK(m.prover.Key)["x"].(string) + "="},
		"for encryption": {"use": "enc"}, "for signing only": {"key_ops": []string{"sign"}}, "for another alg": {"alg": "ES384"},
	} {
		m.add(name, usable, m.prove(nil, jwk(changes)))
	}
	const named = "only a key in the proof counts"
	m.add("named by kid", named, m.prove(nil, WithHeader("jwk", Absent), WithHeader("kid", "client-key")))
	m.add("named by jku", named, m.prove(nil, WithHeader("jwk", Absent), WithHeader("jku", m.srv.URL+"/proof-key")))
	m.add("in x5c", named, m.prove(nil, WithHeader("jwk", Absent), WithHeader("x5c", []string{"MIIB"})))

	m.add("another client's, signed by it", "the token is bound to another key", m.other.Prove(m.method, m.url, m.token, nil))
}

// requests is about the request and the token that the proof is for.
func (m *proofMatrix) requests() {
	m.claim("htm", "htm is the method of the request, exactly", map[string]any{
		"absent": Absent, "null": nil, "empty": "", "another": "PURGE", "in lower case": strings.ToLower(m.method),
		"with a blank": m.method + " ", "a list": []string{m.method}, "any": "*",
	})
	origin, path := m.url[:strings.Index(m.url[8:], "/")+8], m.url[strings.Index(m.url[8:], "/")+8:]
	host := strings.TrimPrefix(origin, "https://")
	m.claim("htu", "htu is the address of the request", map[string]any{
		"absent": Absent, "null": nil, "empty": "", "a list": []string{m.url}, "any": "*",
		"another host": "https://wrong.example.com" + path, "http": "http://" + host + path, "without scheme": host + path,
		"only the path": path, "only the origin": origin, "without scheme but slashes": "//" + host + path,
		"another path": m.url + "x", "a path below": m.url + "/x", "a slash more": m.url + "/", "a path above": m.url[:len(m.url)-1],
		"another port": origin + ":8443" + path, "another case": origin + strings.ToUpper(path), "two slashes": origin + "/" + path,
		"a host that begins alike": origin + ".attacker.example" + path, "a user that looks like the host": "https://" + host + "@attacker.example" + path,
		"a user before the host": "https://user@" + host + path, "a backslash": "https:\\\\" + host + path,
		"an escaped slash": origin + "/x%2f.." + path, "a NUL": m.url + "\x00", "a blank before": " " + m.url, "opaque": "https:" + host + path,
		"in the query": "https://attacker.example/?" + m.url, "in the fragment": "https://attacker.example/#" + m.url,
		"a bad escape": m.url + "%zz",
	})
	m.claim("ath", "ath is the hash of the token", map[string]any{
		"absent": Absent, "null": nil, "empty": "", "not a hash": "not-the-right-hash", "the token": m.token,
		"of another token": m.prover.Claims("", "", "another")["ath"], "padded": m.prover.Claims("", "", m.token)["ath"].(string) + "=",
		"a list": []any{m.prover.Claims("", "", m.token)["ath"]}, "cut off": m.prover.Claims("", "", m.token)["ath"].(string)[:42],
	})
	m.claim("jti", "every proof has a jti", map[string]any{"absent": Absent, "null": nil, "empty": "", "a number": 1, "a list": []string{"x"}})
}

// times is about iat, exp and nbf.
func (m *proofMatrix) times() {
	now := m.srv.opts.Now()
	m.claim("iat", "iat is within five minutes", map[string]any{
		"absent": Absent, "null": nil, "a text": now.Format(time.RFC3339), "a number as text": "1700000000", "zero": 0,
		"303 s ago": now.Add(-303 * time.Second).Unix(), "in 303 s": now.Add(303 * time.Second).Unix(),
		"a day ago": now.Add(-24 * time.Hour).Unix(), "in milliseconds": now.UnixMilli(), "negative": -now.Unix(), "huge": 1e300,
	})
	m.claim("exp", "a JWT that has expired is no longer good (RFC 7519, section 4.1.4)", map[string]any{
		"a second ago": now.Add(-time.Second).Unix(), "zero": 0, "a text": "never",
	})
	m.claim("nbf", "a JWT isn't good before nbf (RFC 7519, section 4.1.5)", map[string]any{
		"in an hour": now.Add(time.Hour).Unix(), "a text": "now",
	})
}

// payloads is about the payload as JSON.
func (m *proofMatrix) payloads() {
	m.group = "payload"
	good := strings.TrimSuffix(string(mustJSON(m.prover.Claims(m.method, m.url, m.token))), "}")
	for name, payload := range map[string]string{
		"htu twice": good + `,"htu":"https://attacker.example/"}`, "htm twice": good + `,"htm":"PURGE"}`, "ath twice": good + `,"ath":"x"}`,
		"jti twice": good + `,"jti":"x"}`, "iat twice": good + `,"iat":0}`, "HTU beside htu": good + `,"HTU":"https://attacker.example/"}`,
		"Ath beside ath": good + `,"Ath":"x"}`, "unknown twice": good + `,"x":1,"x":2}`, "cut off": good, "an array": "[" + good + "}]",
		"a text": `"` + m.url + `"`, "null": "null", "data after it": good + "} 1", "invalid UTF-8": good + ",\"x\":\"\xff\"}", "no JSON": "htm=POST",
	} {
		m.add(name, "the payload is one JSON object with unique names", m.prove(nil, WithRawPayload([]byte(payload))))
	}
}

// signatures is about the signature. The prover's key is for ES256.
func (m *proofMatrix) signatures() {
	m.group = "signature"
	const holds = "the signature is that of the key in jwk"
	key := m.prover.Key.Private.(*ecdsa.PrivateKey)
	zero, one, n := new(big.Int), big.NewInt(1), key.Params().N
	for name, edit := range map[string]func([]byte) []byte{
		"first bit flipped": func(s []byte) []byte { s[0] ^= 0x80; return s },
		"last bit flipped":  func(s []byte) []byte { s[len(s)-1] ^= 1; return s },
		"empty":             func([]byte) []byte { return nil },
		"a byte short":      func(s []byte) []byte { return s[:len(s)-1] },
		"a byte more":       func(s []byte) []byte { return append(s, 0) },
		"zeros":             func(s []byte) []byte { return make([]byte, len(s)) },
		"r = 0, s = 0":      func([]byte) []byte { return append(rawECDSA(key, zero, zero), 0)[:64] },
		"r = 1, s = 1":      func([]byte) []byte { return rawECDSA(key, one, one) },
		"r = n, s = n":      func([]byte) []byte { return rawECDSA(key, n, n) },
		"swapped":           func(s []byte) []byte { return append(slices.Clone(s[32:]), s[:32]...) },
		"ASN.1": func(s []byte) []byte {
			der, _ := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:])})
			return der
		},
	} {
		m.add(name, holds, m.prove(nil, WithSignature(edit)))
	}
	m.add("by another key", holds, m.prove(nil, WithKey(m.other.Key), WithHeader("jwk", publicJWK(m.prover.Key))))
	first, second := strings.Split(m.prove(nil), "."), strings.Split(m.prove(nil), ".")
	m.add("of another proof", holds, first[0]+"."+first[1]+"."+second[2])
	m.add("by the server", holds, m.prove(nil, WithKey(m.srv.NewKey("ES256", "")), WithHeader("jwk", publicJWK(m.prover.Key))))
}
