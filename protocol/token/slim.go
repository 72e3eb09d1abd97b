package token

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// Slim is a [Token] in a form that takes little memory, for keeping many. It has what
// every request needs. The claims are kept as text and parsed when a request needs
// them; those of a JWT aren't kept, because each request brings the JWT along.
type Slim struct {
	subject string
	shared  *shared
	expiry  int64  // in seconds since the epoch; 0 if the issuer doesn't say
	claims  string // of an opaque token
	keys    *keys.Set
}

// shared is what many tokens have in common.
type shared struct {
	kind             SubjectType
	issuer, clientID string
	audience, scopes []string
	members          string // of the claims
	// binding is that of one token: it isn't shared. It is here because few tokens
	// have one.
	binding Binding
}

// Subject returns the token's subject.
func (s *Slim) Subject() string { return s.subject }

// Token returns the token; raw is how it came, and kept is what earlier requests have
// selected from it. See [Token.Full] for what it lacks.
func (s *Slim) Token(raw string, kept *Kept) *Token {
	t := &Token{
		Issuer:   s.shared.issuer,
		Subject:  s.subject,
		Type:     s.shared.kind,
		ClientID: s.shared.clientID,
		Audience: s.shared.audience,
		Scopes:   s.shared.scopes,
		claims:   s.claims,
		common:   s.shared.members,
		Binding:  s.shared.binding,
		keys:     s.keys,
		kept:     kept,
	}
	if s.expiry != 0 {
		t.Expiry = time.Unix(s.expiry, 0)
	}
	if s.keys != nil {
		t.raw = raw
	}
	return t
}

// Signed reports whether t is a JWT that was verified by a key.
func (t *Token) Signed() bool { return t.keys != nil }

// Slimmer makes tokens slim, and stores what they have in common once. The zero value
// is ready to use. It is safe for concurrent use.
type Slimmer struct {
	mu   sync.Mutex
	list map[string]*shared
}

// Slim returns t in its slim form.
func (s *Slimmer) Slim(t *Token) Slim {
	slim := Slim{subject: t.Subject, keys: t.keys}
	common := shared{issuer: t.Issuer, scopes: t.Scopes}
	if !t.Signed() {
		common.kind, common.clientID, common.audience = t.Type, t.ClientID, t.Audience
		common.members, slim.claims = split(t.claims)
		if i := strings.Index(slim.claims, t.Subject); i >= 0 {
			slim.subject = slim.claims[i : i+len(t.Subject)] // the same bytes once, not twice
		}
	}
	if !t.Expiry.IsZero() {
		slim.expiry = t.Expiry.Unix()
	}
	slim.shared = s.share(common)
	if !t.Binding.IsZero() {
		own := *slim.shared
		own.binding = t.Binding
		slim.shared = &own
	}
	return slim
}

// maxShared bounds how many shared parts are remembered.
const maxShared = 1000

// share returns a value equal to common that other tokens may have too.
func (s *Slimmer) share(common shared) *shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.Join([]string{
		common.kind.String(), common.issuer, common.clientID,
		strings.Join(common.audience, " "), strings.Join(common.scopes, " "), common.members,
	}, "\n")
	if have, ok := s.list[key]; ok && slices.Equal(have.audience, common.audience) && slices.Equal(have.scopes, common.scopes) {
		return have
	}
	if s.list == nil || len(s.list) >= maxShared {
		s.list = make(map[string]*shared) // begin again: only the sharing is lost
	}
	s.list[key] = &common
	return &common
}

// commonMembers are claims that are often the same in many tokens of an issuer.
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
