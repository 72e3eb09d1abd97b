package token

import (
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// Reader reads the claims of a token once, however many of them are asked for. It is
// for the handlers of one request, and safe for concurrent use.
type Reader struct {
	judged *Token

	once   sync.Once
	object []byte
	claims []claim

	fullOnce sync.Once
	full     *Token
}

// claim is a member of the claims.
type claim struct {
	name  string
	value jsontext.Value
}

// NewReader returns a reader of t. It reads nothing yet.
func NewReader(t *Token) *Reader { return &Reader{judged: t} }

// Judged returns the token as it was judged. It may lack what [Token.Full] adds.
func (r *Reader) Judged() *Token { return r.judged }

// Text returns the claim name as a text, see [Token.ClaimText].
func (r *Reader) Text(name string) string {
	r.read()
	return text(lookup(r.claims, name))
}

// Claim returns the value of a claim, JSON; nil if there is none. Where there is no
// claim of that name, a dot leads into an object.
func (r *Reader) Claim(name string) []byte {
	r.read()
	return lookup(r.claims, name)
}

// Object returns all claims, a JSON object.
func (r *Reader) Object() []byte {
	r.read()
	return r.object
}

// read takes the claims apart. They were well-formed when the token was verified.
func (r *Reader) read() {
	r.once.Do(func() {
		if r.judged.raw == "" {
			// Whose verifier it was we don't know, nor how it read them.
			r.object = []byte(r.judged.object())
			r.claims, _ = readClaims(r.object)
		} else {
			r.object, _ = payloadOf(r.judged.raw)
			r.claims, _ = readAgain(r.object)
		}
	})
}

// Token returns the token with all fields and claims, as [Token.Full] does.
func (r *Reader) Token() *Token {
	r.fullOnce.Do(func() {
		r.full = r.judged
		if r.judged.raw == "" {
			return
		}
		r.read()
		var c claims
		for i := range r.claims {
			if value := r.claims[i].value; value.Kind() != 'n' {
				_ = c.member(r.claims[i].name, value) // it was good when it was verified
			}
		}
		c.settle()
		full := *r.judged
		full.raw, full.claims, full.common = "", string(r.object), ""
		full.ClientID, full.Audience, full.Expiry = c.clientID, c.audience, c.expiry
		full.Type = c.subjectType(full.Subject)
		r.full = &full
	})
	return r.full
}

// payloadOf returns the payload of a JWT.
func payloadOf(raw string) ([]byte, error) {
	_, rest, _ := strings.Cut(raw, ".")
	payload, _, _ := strings.Cut(rest, ".")
	return base64url.DecodeString(payload)
}

// ClaimText returns the claim name as a text: a string as it is, a list of
// strings with commas between them, as headers have it, anything else as JSON;
// empty if there is no such claim. Where there is no claim of that name, a dot
// leads into an object, as in realm_access.roles. To ask for several claims, use
// a [Reader].
func (t *Token) ClaimText(name string) string { return NewReader(t).Text(name) }

// readClaims returns the members of a JSON object. They are parts of it.
func readClaims(object jsontext.Value) ([]claim, error) { return collect(object, strictjson.Members) }

// readAgain is readClaims for an object that was read before, when the token was
// judged.
func readAgain(object jsontext.Value) ([]claim, error) {
	return collect(object, strictjson.MembersAgain)
}

func collect(object jsontext.Value, members func([]byte, func(string, jsontext.Value) error) error) ([]claim, error) {
	list := make([]claim, 0, 16)
	err := members(object, func(name string, value jsontext.Value) error {
		list = append(list, claim{name, value})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// member returns the member name of object, as [lookup] finds it.
func member(object jsontext.Value, name string) jsontext.Value {
	if object.Kind() != '{' {
		return nil
	}
	list, _ := readAgain(object)
	return lookup(list, name)
}

// lookup returns the claim name. Names may contain dots themselves, as URLs do, so
// the whole name is tried first.
func lookup(list []claim, name string) jsontext.Value {
	find := func(name string) jsontext.Value {
		for i := range list {
			if list[i].name == name {
				return list[i].value
			}
		}
		return nil
	}
	if value := find(name); value != nil {
		return value
	}
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		if inner := find(name[:i]); inner != nil {
			if value := member(inner, name[i+1:]); value != nil {
				return value
			}
		}
	}
	return nil
}

func text(value jsontext.Value) string {
	switch value.Kind() {
	case '"':
		s, _ := strictjson.String(value) // valid: it was read as a member
		return s
	case '[':
		if list, err := strictjson.Strings(value); err == nil {
			return strings.Join(list, ",")
		}
	case 'n':
		return ""
	}
	return compacted(value)
}

// compacted returns a JSON value without blanks. Issuers may write line breaks
// between members: headers can't have them, and in memory they are of no use.
func compacted(value jsontext.Value) string {
	value = value.Clone()
	if value.Compact() != nil {
		return ""
	}
	return string(value)
}

// claimsOf returns the JSON object claims as a map.
func claimsOf(claims string) map[string]any {
	var m map[string]any
	if err := json.Unmarshal([]byte(claims), &m); err != nil {
		return nil // made by a caller without claims
	}
	return m
}
