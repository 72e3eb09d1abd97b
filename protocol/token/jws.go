package token

// This file reads JSON Web Signatures (RFC 7515) in compact serialization. Not
// supported, and refused: the JSON serializations, encryption (RFC 7516), any
// critical extension, unencoded payloads (RFC 7797).

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// MaxSize is the longest token that is looked at, in bytes. Access tokens full
// of group memberships reach half of it.
const MaxSize = 16 << 10

// AssertionParameter is in the header of the assertions that a door makes for the
// server behind it (see package assertion), also of those that are access tokens to
// that server. No door lets one in, even if its issuers include a door: a server must
// not be able to act as the user to whom it answers. Other readers ignore it (RFC
// 7515, section 4).
const AssertionParameter = "mcp_auth_assertion"

// Presented is a bearer token as a client presented it. Nothing of it is
// verified.
type Presented struct {
	// Raw is the token as it came.
	Raw string
	// Client is the address that it came from, by which requests to the issuer
	// are shared fairly. Empty if not known.
	Client string
	// JWS is the token's parts if it has the form of a signed JWT; nil for an
	// opaque token.
	JWS *JWS
}

// JWS is a JSON Web Signature of which only the form has been checked.
type JWS struct {
	Algorithm string // alg, as the token claims
	KeyID     string // kid; empty if absent
	Type      string // typ, lower-cased, without "application/"; empty if absent

	// Issuer is the iss of the payload, as the token claims. It only selects
	// the issuer whose keys are tried.
	Issuer string

	// assertion says that it is for the server behind a door.
	assertion bool

	claims    claims
	payload   []byte
	input     string // what is signed: header and payload as they came
	signature []byte
}

// base64url decodes without padding and refuses stray bits after the last byte:
// they would give one token several spellings, and lists of revoked tokens are
// keyed by spelling. For the same reason line breaks, which it passes over, are
// refused before.
var base64url = base64.RawURLEncoding.Strict()

// Present parses a bearer token. It returns an [*InvalidError] for a token that has
// the form of a JOSE object but isn't a well-formed signed JWT. A token of any other
// form, including an encrypted JWT, is opaque: only its issuer can judge it.
func Present(raw string) (*Presented, error) {
	if len(raw) > MaxSize {
		return nil, invalid(Malformed, "longer than %d bytes", MaxSize)
	}
	if strings.ContainsAny(raw, "\r\n") {
		return nil, invalid(Malformed, "contains a line break")
	}
	if strings.HasSuffix(raw, "===") {
		// Base64 has two at most. With any number the same token could be
		// written in any number of ways.
		return nil, invalid(Malformed, "ends in more than two padding characters")
	}
	first, rest, ok := strings.Cut(raw, ".")
	if !ok {
		return &Presented{Raw: raw}, nil
	}
	header, err := base64url.DecodeString(first)
	if err != nil || jsontext.Value(header).Kind() != '{' {
		return &Presented{Raw: raw}, nil
	}
	switch dots := strings.Count(rest, "."); {
	case dots == 3:
		// A JWE. It is encrypted for another party, usually its issuer, so to
		// us it is opaque. Auth0 issues such tokens if the client asks for no
		// audience.
		return &Presented{Raw: raw}, nil
	case dots != 1:
		return nil, invalid(Malformed, "not a JWS of three parts")
	}
	jws, err := parseJWS(raw, header)
	if err != nil {
		return nil, err
	}
	return &Presented{Raw: raw, JWS: jws}, nil
}

func parseJWS(raw string, header []byte) (*JWS, error) {
	jws := new(JWS)
	if err := jws.readHeader(header); err != nil {
		return nil, invalid(Malformed, "header: %v", err)
	}
	if jws.assertion {
		return nil, invalid(WrongType, "an assertion for the server behind a door")
	}
	dot := strings.LastIndexByte(raw, '.')
	jws.input = raw[:dot]
	var err error
	if jws.signature, err = base64url.DecodeString(raw[dot+1:]); err != nil {
		return nil, invalid(Malformed, "signature is not base64url")
	}
	_, payload, _ := strings.Cut(jws.input, ".")
	if jws.payload, err = base64url.DecodeString(payload); err != nil {
		return nil, invalid(Malformed, "payload is not base64url")
	}
	if err := jws.claims.read(jws.payload); err != nil {
		return nil, err
	}
	jws.Issuer = jws.claims.issuer
	return jws, nil
}

func (jws *JWS) readHeader(header []byte) error {
	err := strictjson.Members(header, func(name string, value jsontext.Value) (err error) {
		switch name {
		case "alg":
			jws.Algorithm, err = strictjson.String(value)
		case "kid":
			jws.KeyID, err = strictjson.String(value)
		case "typ":
			jws.Type, err = strictjson.String(value)
			jws.Type = strings.TrimPrefix(strings.ToLower(jws.Type), "application/")
			if err == nil && jws.Type == "" {
				err = errEmpty
			}
		case "crit":
			// Whatever it lists, we don't understand it; an empty list is
			// forbidden (RFC 7515, section 4.1.11).
			err = errors.New("critical extensions are not supported")
		case "b64", "enc", "zip":
			err = errors.New("not supported")
		case AssertionParameter:
			jws.assertion = true
		}
		// jwk, jku, x5u and x5c are not even looked at: a key that the token
		// brings along proves nothing.
		if err != nil {
			return errors.New(name + ": " + err.Error())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if jws.Algorithm == "" {
		return errors.New("no alg")
	}
	return nil
}
