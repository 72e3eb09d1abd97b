package oauthtest

import (
	"slices"
	"strings"
)

// Case is a token and how it must be judged.
type Case struct {
	// Name is unique among the cases, and Token is the token.
	Name  string
	Token string
	// Want says why the token must be refused, or, for a benign one, what must
	// be tolerated.
	Want string
}

// Hostile returns JWTs that must all be refused by a verifier of srv's access
// tokens for resource. Each breaks one rule and is good otherwise. Where the name
// starts with "signature" or "embedded key", header and claims are good; elsewhere
// the signature is good, by a key that the issuer publishes, if there is anything
// to sign.
//
// It publishes keys beside srv's own: the honest "hostile-rsa" and "hostile-rsa-2"
// (RS256), "hostile-ec" (ES256) and "hostile-ed" (EdDSA), and for the cases whose
// name starts with "key" one unusable key each, whose kid starts with "bad-". Call
// it before the key set is fetched. Key URLs in headers point at srv itself, so
// that Count(Other) tells whether the verifier follows one.
//
// resource must be a URL with a path that is not just "/".
func Hostile(srv *Server, resource string) []Case {
	m := newMatrix(srv, resource)
	m.compact()
	m.headerJSON()
	m.headerAlgorithm()
	m.headerMembers()
	m.headerKeys()
	m.issuerClaim()
	m.audienceClaim()
	m.timeClaims()
	m.identityClaims()
	m.otherTokens()
	m.payloadJSON()
	m.signatures()
	m.ecSignatures()
	m.badKeys()
	m.sort()
	return m.cases
}

// matrix collects cases.
type matrix struct {
	srv      *Server
	resource string
	rsa      *Key // RS256
	ec       *Key // ES256
	ed       *Key // EdDSA
	attacker *Key // RS256; not published; its kid is that of rsa
	group    string
	cases    []Case
}

func newMatrix(srv *Server, resource string) *matrix {
	m := &matrix{srv: srv, resource: resource}
	m.rsa = srv.AddKey("RS256", "hostile-rsa")
	m.ec = srv.AddKey("ES256", "hostile-ec")
	m.ed = srv.AddKey("EdDSA", "hostile-ed")
	m.attacker = srv.NewKey("RS256", m.rsa.ID)
	return m
}

func (m *matrix) add(name, want, token string) {
	m.cases = append(m.cases, Case{Name: m.group + ": " + name, Token: token, Want: want})
}

// sort makes the order the same in every run, whatever the order of a map was.
func (m *matrix) sort() {
	slices.SortFunc(m.cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
}

// mint makes a token for the resource that is good except for the options.
func (m *matrix) mint(opts ...MintOption) string {
	return m.srv.Mint(map[string]any{"aud": m.resource}, opts...)
}

// claims adds a token that differs from a good one in its claims only.
func (m *matrix) claims(name, want string, claims map[string]any) {
	all := map[string]any{"aud": m.resource}
	for claim, value := range claims {
		all[claim] = value
	}
	m.add(name, want, m.srv.Mint(all))
}

// payload adds a signed token with the given payload.
func (m *matrix) payload(name, want, payload string) {
	m.add(name, want, m.mint(WithRawPayload([]byte(payload))))
}

// members returns the claims of a good token, except for the changes, as the
// members of a JSON object without its braces.
func (m *matrix) members(changes map[string]any) string {
	claims := m.srv.DefaultClaims()
	claims["aud"] = m.resource
	object := string(mustJSON(set(claims, changes)))
	return strings.TrimSuffix(strings.TrimPrefix(object, "{"), "}")
}

// header returns the header of a good token by rsa, except for the changes, as the
// members of a JSON object without its braces.
func (m *matrix) header(changes map[string]any) string {
	header := map[string]any{"alg": m.rsa.Algorithm, "kid": m.rsa.ID, "typ": "at+jwt"}
	object := string(mustJSON(set(header, changes)))
	return strings.TrimSuffix(strings.TrimPrefix(object, "{"), "}")
}

// signText signs two segments with rsa exactly as given.
func (m *matrix) signText(header, payload string) string {
	input := header + "." + payload
	return input + "." + b64(sign(m.rsa.Algorithm, m.rsa.Private, []byte(input)))
}
