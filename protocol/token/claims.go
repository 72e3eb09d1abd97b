package token

import (
	"cmp"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// claims are the claims of a JWT that decide whether it is good (RFC 7519,
// section 4.1; RFC 9068, section 2.2), and those that show that it is something
// other than an access token.
type claims struct {
	issuer    string
	subject   string
	clientID  string
	audience  []string
	scopes    []string
	expiry    time.Time
	notBefore time.Time
	issuedAt  time.Time

	// ownClientID is the client as the issuer names it outright; azp, the party
	// that an ID token was issued to, says less.
	ownClientID, cid, appid, azp string
	// username is what the user is called.
	username string
	// scp and scopesClaim are what some issuers write for scope.
	scp, scopesClaim []string

	otherKind  bool // called something else than an access token, see dialect.go
	ofUser     bool // something is there only for a user
	forClient  bool // said to be a client's own
	idToken    bool // at_hash, c_hash or s_hash: OpenID Connect Core, section 3
	events     bool // a security event or a logout token (RFC 8417)
	binding    Binding
	unprovable bool // bound to a key in a way that isn't supported
	ofDPoP     bool // said to be bound to a key, which cnf must name
	nonce      bool
}

// read fills c from a JWT's payload. It returns an [*InvalidError].
func (c *claims) read(payload []byte) error {
	err := strictjson.Members(payload, func(name string, value jsontext.Value) error {
		if value.Kind() == 'n' {
			return nil // issuers write null for what they don't know
		}
		if err := c.member(name, value); err != nil {
			return invalid(BadClaims, "%s: %v", name, err)
		}
		return nil
	})
	if err != nil {
		if _, ok := err.(*InvalidError); ok {
			return err
		}
		return invalid(Malformed, "payload: %v", err)
	}
	c.settle()
	return nil
}

// settle fills the fields that some issuers write under another name.
func (c *claims) settle() {
	c.ownClientID = cmp.Or(c.clientID, c.cid, c.appid)
	c.clientID = cmp.Or(c.ownClientID, c.azp)
	for _, other := range [][]string{c.scopesClaim, c.scp} {
		if c.scopes == nil {
			c.scopes = other
		}
	}
}

func (c *claims) member(name string, value jsontext.Value) (err error) {
	switch name {
	case "iss":
		c.issuer, err = strictjson.String(value)
	case "sub":
		c.subject, err = identifier(value)
	case "client_id":
		c.clientID, err = identifier(value)
	case "cid":
		c.cid, err = identifier(value)
	case "appid":
		c.appid, err = identifier(value)
	case "azp":
		c.azp, err = identifier(value)
	case "username", "preferred_username":
		// Not an identity here, and no reason to refuse what has a sub.
		if name, err := strictjson.String(value); err == nil && c.username == "" {
			c.username = name
		}
	case "aud":
		if value.Kind() == '"' {
			c.audience = make([]string, 1)
			c.audience[0], err = strictjson.String(value)
		} else {
			c.audience, err = strictjson.Strings(value)
		}
	case "exp":
		c.expiry, err = strictjson.NumericDate(value)
	case "nbf":
		c.notBefore, err = strictjson.NumericDate(value)
	case "iat":
		c.issuedAt, err = strictjson.NumericDate(value)
	case "scope":
		c.scopes, err = scopeValue(value)
	case "scopes":
		c.scopesClaim, err = scopeValue(value)
	case "scp":
		c.scp, err = scopeValue(value)
	case "typ", "token_use", "token_type", "tok_type", "tokenName", "tokenType", "tty":
		err = c.names(value)
	case "type", "use", "purpose":
		c.mayName(value)
	case "idtyp":
		c.grantOf(value, "app")
	case "gty", "grant_type":
		c.grantOf(value, "client_credentials", "client-credentials")
	case "sub_type":
		c.grantOf(value, "client")
	case "aut":
		c.grantOf(value, "APPLICATION")
	case "auth_type":
		c.grantOf(value, "2L")
	case "sid", "session_state", "auth_time", "acr", "amr", "uid", "user_id", "user_name", "upn", "unique_name", "email",
		"phone_number", "given_name", "family_name", "nickname", "birthdate":
		c.ofUser = c.ofUser || saysSomething(value)
	case "at_hash", "c_hash", "s_hash":
		c.idToken = true
	case "nonce":
		c.nonce = true
	case "events":
		c.events = true
	case "cnf":
		c.readBinding(value)
	}
	return err
}

// identifier returns a string that names a user or client. It ends up in logs and
// headers, so with control characters the token is invalid: the name could look
// like another's.
func identifier(v jsontext.Value) (string, error) {
	s, err := strictjson.String(v)
	if err != nil {
		return "", err
	}
	return s, checkIdentifier(s)
}

func checkIdentifier(s string) error {
	switch {
	case s == "":
		return errEmpty
	case strings.ContainsFunc(s, unicode.IsControl):
		return errControl
	case strings.TrimSpace(s) != s:
		// In a header the spaces would be lost.
		return errBlank
	}
	return nil
}

// scopeValue returns the scopes of a space-separated string (RFC 6749, section
// 3.3) or of an array, which several issuers write instead. Never nil.
func scopeValue(v jsontext.Value) ([]string, error) {
	if v.Kind() == '[' {
		list, err := strictjson.Strings(v)
		if list == nil {
			list = []string{}
		}
		return list, err
	}
	s, err := strictjson.String(v)
	if err != nil {
		return nil, err
	}
	return strings.Fields(s), nil
}

// kind returns an error if the payload shows that this JWT was not made to be
// an access token. An issuer that marks its access tokens with typ at+jwt (RFC
// 9068) settles that; for those that don't, these are the marks of ID tokens,
// refresh tokens and security events in the field.
func (c *claims) kind(typ string) error {
	switch {
	case c.events:
		return breaks(ruleKind, WrongType, "a security event or logout token")
	case c.otherKind:
		return breaks(ruleKind, WrongType, "the payload says it is not an access token")
	case typ == "at+jwt":
		return nil
	case c.idToken, c.nonce && c.scopes == nil:
		return breaks(ruleKind, WrongType, "an ID token, not an access token")
	}
	return nil
}

// isJWTType reports whether typ, lower-cased, may stand in an access token.
func isJWTType(typ string) bool {
	return typ == "at+jwt" || typ == "jwt"
}

var (
	errEmpty   = errors.New("empty")
	errBlank   = errors.New("begins or ends with a space")
	errControl = errors.New("contains a control character")
)
