package policy

import (
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// Caller is who asks. It must not change after a [Policy] has seen it, and may then
// be used by several goroutines.
type Caller struct {
	// Anonymous says that there is no token. All else is empty then.
	Anonymous bool
	// Key is the name of the API key that was sent instead of a token. Such a caller
	// is neither a user nor an OAuth client, and can't be granted further scopes.
	Key string
	// Subject is the user, Issuer the authorization server that says so.
	Subject, Issuer string
	// ClientID returns the OAuth client, empty if the issuer doesn't say. Called
	// when a rule asks. May be nil.
	ClientID func() string
	// Scopes are the granted scopes.
	Scopes []string
	// Satisfies reports whether granted covers needed. If nil, granted must contain
	// them.
	Satisfies func(granted, needed []string) bool
	// Includes returns scopes, and those that they include. If nil, they include no
	// others.
	Includes func(scopes []string) []string
	// Claims are the verified claims. May be nil.
	Claims Claims

	// A list asks the same question for each of its entries, so the answers are kept.
	mu     sync.Mutex
	claims map[*when]decoded
	seen   map[*need][]standing
}

// decoded are claims for an expression, or why they can't be decoded.
type decoded struct {
	values map[string]any
	err    error
}

// Claims are verified claims.
type Claims interface {
	// Claim returns the value of a claim, JSON; nil if there is none. Where there is
	// no claim of that name, a dot leads into an object.
	Claim(name string) []byte
	// Object returns all claims, a JSON object.
	Object() []byte
}

// oauth reports whether the caller came with a token of an authorization server.
func (c *Caller) oauth() bool { return !c.Anonymous && c.Key == "" }

func (c *Caller) clientID() string {
	if c.ClientID == nil || !c.oauth() {
		return ""
	}
	return c.ClientID()
}

// missing returns the scopes of needed that weren't granted.
func (c *Caller) missing(needed []string) (missing []string) {
	for i, scope := range needed {
		granted := false
		if c.Satisfies != nil {
			granted = c.Satisfies(c.Scopes, needed[i:i+1])
		} else {
			granted = slices.Contains(c.Scopes, scope)
		}
		if !granted {
			missing = append(missing, scope)
		}
	}
	return missing
}

// claimValues returns the claims that w reads.
func (c *Caller) claimValues(w *when) (map[string]any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.claims[w]
	if !ok {
		d.values, d.err = c.decodeClaims(w)
		if c.claims == nil {
			c.claims = make(map[*when]decoded)
		}
		c.claims[w] = d
	}
	return d.values, d.err
}

func (c *Caller) decodeClaims(w *when) (map[string]any, error) {
	switch {
	case c.Claims == nil:
		return map[string]any{}, nil
	case w.claims == nil:
		// Rounding matters in what a server reads as well, which claims aren't.
		values, _, err := decodeObject(c.Claims.Object())
		return values, err
	}
	values := make(map[string]any, len(w.claims))
	for _, name := range w.claims {
		claim := c.Claims.Claim(name)
		if claim == nil {
			continue
		}
		value, err := newDecoder(claim).value()
		if err != nil {
			return nil, err
		}
		values[name] = value
	}
	return values, nil
}

// answer is the result of a condition. The negation of a condition that can't be
// judged can't be judged either.
type answer uint8

const (
	unclear answer = iota
	no
	yes
)

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return no
}

func (a answer) not() answer {
	switch a {
	case yes:
		return no
	case no:
		return yes
	}
	return unclear
}

// holds judges all conditions except those about scopes.
func (c *condition) holds(caller *Caller) bool {
	a := c.answer(caller)
	if c.Not {
		a = a.not()
	}
	return a == yes
}

func (c *condition) answer(caller *Caller) answer {
	switch {
	case len(c.Key) > 0:
		// A caller that signs in never becomes an API key.
		return answerOf(caller.Key != "" && slices.Contains(c.Key, caller.Key))
	case caller.Anonymous:
		return unclear
	case c.Claim != "":
		if caller.Claims == nil {
			return unclear
		}
		return hasValue(caller.Claims.Claim(c.Claim), c.Values)
	case caller.Key != "":
		return no // an API key is neither a user nor a client, whatever its name
	case len(c.User) > 0:
		return answerOf(slices.Contains(c.User, caller.Subject) && (c.At == "" || c.At == caller.Issuer))
	default:
		id := caller.clientID()
		if id == "" {
			return unclear
		}
		return answerOf(slices.ContainsFunc(c.clients, func(g glob) bool { return g.match(id) }))
	}
}

// hasValue reports whether the claim, or one of its elements, is one of values.
func hasValue(claim []byte, values []string) answer {
	value := jsontext.Value(claim)
	if value.Kind() != '[' {
		return isValue(value, values)
	}
	dec := jsontext.NewDecoder(newBuffer(value))
	if _, err := dec.ReadToken(); err != nil {
		return unclear
	}
	found := no
	for dec.PeekKind() != ']' {
		elem, err := dec.ReadValue()
		if err != nil {
			return unclear
		}
		switch isValue(elem, values) {
		case yes:
			return yes
		case unclear:
			found = unclear // an element that can't be compared
		}
	}
	return found
}

func isValue(value jsontext.Value, values []string) answer {
	switch value.Kind() {
	case '"':
		s, err := strictjson.String(value)
		if err != nil {
			return unclear
		}
		return answerOf(slices.Contains(values, s))
	case '0', 't', 'f':
		return answerOf(slices.Contains(values, string(value)))
	default: // null is absent; an object has no text
		return unclear
	}
}
