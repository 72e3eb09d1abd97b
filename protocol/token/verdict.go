package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// verdict is what a verifier said of a token. There are many, so it has only what
// every request needs. Claims stay a text until a request asks for one; of a JWT
// not even that is kept, for the request brings it along.
type verdict struct {
	until   int64         // in milliseconds since the epoch
	refusal *InvalidError // nil if it was not refused

	subject string
	shared  *shared
	expiry  int64  // in seconds since the epoch; 0 if the issuer doesn't say
	claims  string // of an opaque token
	keys    *keys.Set

	// token is there instead if the verifier has the token in its memory anyway.
	token *Token

	spellings spellings
}

// shared is what many tokens have in common.
type shared struct {
	kind             SubjectType
	issuer, clientID string
	audience, scopes []string
	members          string // of the claims
}

// commonMembers are claims of which an issuer writes the same in many tokens.
var commonMembers = []string{"iss", "aud", "client_id", "azp", "scope", "token_type", "token_use", "typ"}

// split takes the common members out of the JSON object claims.
func split(claims string) (common, rest string) {
	list, err := readClaims(jsontext.Value(claims))
	if err != nil {
		return "", claims
	}
	var parts [2][]string
	for _, c := range list {
		i := 0
		if !slices.Contains(commonMembers, c.name) {
			i = 1
		}
		name, _ := jsontext.AppendQuote(nil, c.name) // valid: it was read
		parts[i] = append(parts[i], string(name)+":"+compacted(c.value))
	}
	return strings.Join(parts[0], ","), "{" + strings.Join(parts[1], ",") + "}"
}

// goodVerdict returns the verdict on the good token t, presented as p.
func (c *Cache) goodVerdict(p *Presented, t *Token, local bool) *verdict {
	v := &verdict{until: c.until(t, local).UnixMilli(), spellings: spellingsOf(p)}
	if local && t.keys == nil {
		v.token = t
		return v
	}
	v.subject, v.keys = t.Subject, t.keys
	common := shared{issuer: t.Issuer, scopes: t.Scopes}
	if t.keys == nil {
		common.kind, common.clientID, common.audience = t.Type, t.ClientID, t.Audience
		common.members, v.claims = split(t.claims)
		if i := strings.Index(v.claims, t.Subject); i >= 0 {
			v.subject = v.claims[i : i+len(t.Subject)] // the same bytes once, not twice
		}
	}
	if !t.Expiry.IsZero() {
		v.expiry = t.Expiry.Unix()
	}
	v.shared = c.common.share(common)
	return v
}

// result returns what a verifier would say of raw, the token of the verdict.
func (v *verdict) result(raw string) (*Token, error) {
	if v.refusal != nil {
		return nil, v.refusal
	}
	if v.token != nil {
		return v.token, nil
	}
	t := &Token{
		Issuer:   v.shared.issuer,
		Subject:  v.subject,
		Type:     v.shared.kind,
		ClientID: v.shared.clientID,
		Audience: v.shared.audience,
		Scopes:   v.shared.scopes,
		claims:   v.claims,
		common:   v.shared.members,
		keys:     v.keys,
	}
	if v.expiry != 0 {
		t.Expiry = time.Unix(v.expiry, 0)
	}
	if v.keys != nil {
		t.raw = raw
	}
	return t, nil
}

// subjectOf returns whose token the verdict is on; false if it is a refusal.
func (v *verdict) subjectOf() (string, bool) {
	switch {
	case v.refusal != nil:
		return "", false
	case v.token != nil:
		return v.token.Subject, true
	default:
		return v.subject, true
	}
}

// maxCommon bounds what is remembered for being shared.
const maxCommon = 1000

// commons finds what tokens have in common.
type commons struct {
	mu   sync.Mutex
	list map[string]*shared
}

// share returns what is equal to s and shared with other verdicts.
func (c *commons) share(s shared) *shared {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.Join([]string{s.kind.String(), s.issuer, s.clientID, strings.Join(s.audience, " "), strings.Join(s.scopes, " "), s.members}, "\n")
	if have, ok := c.list[key]; ok && slices.Equal(have.audience, s.audience) && slices.Equal(have.scopes, s.scopes) {
		return have
	}
	if c.list == nil || len(c.list) >= maxCommon {
		c.list = make(map[string]*shared) // where each token differs, sharing is lost, no more
	}
	c.list[key] = &s
	return &s
}

// spellings are the other ways to write a token, by the first half of a quarter
// of their SHA-256: if it is another token's, one is judged once more, no harm.
// Each is judged for itself, but an operator who has one forgotten means all. The
// verdict can't be shared: to see that two spellings are one token takes more
// than a look into the cache.
type spellings [2]uint64

// spellingsOf returns the other spellings of p. A signed JWT has at most one:
// base64 has none here (see base64url), what is signed can't be changed, RSA and
// Ed25519 take one form of a signature only; but with ECDSA, if (r, s) is a
// signature, so is (r, n-s). To insist on the lower s, as others do, would refuse
// half of all issuers' tokens: JOSE doesn't ask for it. Of an opaque token only
// its issuer knows; those that decode it from base64 may take it with padding and
// without.
func spellingsOf(p *Presented) (list spellings) {
	if p.JWS != nil {
		if twin := p.JWS.twin(); twin != "" {
			list[0] = spelling(cacheKey(twin))
		}
		return list
	}
	body := strings.TrimRight(p.Raw, "=")
	i := 0
	for _, padding := range []string{"", "=", "=="} {
		if other := body + padding; other != p.Raw && i < len(list) {
			list[i] = spelling(cacheKey(other))
			i++
		}
	}
	return list
}

func spelling(hash [sha256.Size]byte) uint64 { return binary.BigEndian.Uint64(hash[:]) }

// has reports whether the token with this SHA-256 is one of the spellings.
func (s spellings) has(hash [sha256.Size]byte) bool {
	return slices.Contains(s[:], spelling(hash))
}

// twin returns the token with the other form of its ECDSA signature; empty if
// it has none.
func (jws *JWS) twin() string {
	other := keys.Twin(jws.Algorithm, jws.signature)
	if other == nil {
		return ""
	}
	return jws.input + "." + base64.RawURLEncoding.EncodeToString(other)
}
