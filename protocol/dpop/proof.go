package dpop

// This file reads a proof: a JSON Web Signature (RFC 7515) in compact serialization.

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// MaxSize is the longest proof that is looked at, in bytes. One with an RSA key of 8192
// bits is half as long.
const MaxSize = 8 << 10

// Proof is a proof whose sender has the key in it.
type Proof struct {
	algorithm string // alg
	key       *keys.Public
	input     string // what is signed: header and payload as they came
	signature []byte

	id        string // jti
	method    string // htm
	url       string // htu
	tokenHash string // ath
	nonce     string
	issuedAt  time.Time
	notBefore time.Time
	expiry    time.Time
}

// Thumbprint returns the thumbprint of the sender's key, as cnf.jkt has it.
func (p *Proof) Thumbprint() string { return p.key.Thumbprint() }

// base64url decodes without padding. It refuses stray bits after the last byte. It
// passes over line breaks, which [parse] has refused.
var base64url = base64.RawURLEncoding.Strict()

// parse reads a proof and checks its form. Nothing in it is verified.
func parse(raw string) (*Proof, error) {
	switch {
	case len(raw) > MaxSize:
		return nil, breaks(RuleForm, "longer than %d bytes", MaxSize)
	case strings.ContainsAny(raw, "\r\n"):
		return nil, breaks(RuleForm, "contains a line break")
	case strings.Count(raw, ".") != 2:
		return nil, breaks(RuleForm, "not a JWS of three parts")
	}
	dot := strings.LastIndexByte(raw, '.')
	p := &Proof{input: raw[:dot]}
	first, second, _ := strings.Cut(p.input, ".")
	header, err := base64url.DecodeString(first)
	if err != nil {
		return nil, breaks(RuleForm, "header is not base64url")
	}
	payload, err := base64url.DecodeString(second)
	if err != nil {
		return nil, breaks(RuleForm, "payload is not base64url")
	}
	if p.signature, err = base64url.DecodeString(raw[dot+1:]); err != nil {
		return nil, breaks(RuleForm, "signature is not base64url")
	}
	if err := p.readHeader(header); err != nil {
		return nil, err
	}
	return p, p.readPayload(payload)
}

// headerMembers and claims are the members that are read. A spelling of them in other
// letter case is refused.
var (
	headerMembers = []string{"typ", "alg", "jwk", "crit", "b64", "enc", "zip"}
	claims        = []string{"jti", "htm", "htu", "iat", "ath", "nonce", "exp", "nbf"}
)

func (p *Proof) readHeader(header []byte) error {
	var typ string
	var jwk jsontext.Value
	err := strictjson.MembersOf(header, headerMembers, func(name string, value jsontext.Value) (err error) {
		switch name {
		case "typ":
			typ, err = strictjson.String(value)
		case "alg":
			p.algorithm, err = strictjson.String(value)
		case "jwk":
			jwk = value
		case "crit", "b64", "enc", "zip":
			err = errors.New("not supported")
		}
		if err != nil {
			return errors.New(name + ": " + err.Error())
		}
		return nil
	})
	switch {
	case err != nil:
		return breaks(RuleForm, "header: %v", err)
	case typ != "dpop+jwt":
		return breaks(RuleType, "typ is not dpop+jwt")
	case !supported(p.algorithm):
		return breaks(RuleAlgorithm, "alg is not allowed")
	case jwk == nil:
		return breaks(RuleKey, "no jwk")
	}
	p.key, err = keys.ParsePublic(jwk)
	switch {
	case errors.Is(err, keys.ErrPrivateKey):
		return breaks(RuleKey, "jwk has a private key")
	case err != nil:
		return breaks(RuleKey, "jwk is not a key that is supported")
	case !p.key.For(p.algorithm):
		return breaks(RuleKey, "jwk is not a key for alg")
	}
	return nil
}

func (p *Proof) readPayload(payload []byte) error {
	err := strictjson.MembersOf(payload, claims, func(name string, value jsontext.Value) (err error) {
		switch name {
		case "jti":
			p.id, err = strictjson.String(value)
		case "htm":
			p.method, err = strictjson.String(value)
		case "htu":
			p.url, err = strictjson.String(value)
		case "ath":
			p.tokenHash, err = strictjson.String(value)
		case "nonce":
			p.nonce, err = strictjson.String(value)
		case "iat":
			p.issuedAt, err = strictjson.NumericDate(value)
		case "exp":
			p.expiry, err = strictjson.NumericDate(value)
		case "nbf":
			p.notBefore, err = strictjson.NumericDate(value)
		}
		if err != nil {
			return errors.New(name + ": " + err.Error())
		}
		return nil
	})
	switch {
	case err != nil:
		return breaks(RuleForm, "payload: %v", err)
	case p.id == "":
		return breaks(RuleOnce, "no jti")
	case p.method == "":
		return breaks(RuleMethod, "no htm")
	case p.url == "":
		return breaks(RuleURL, "no htu")
	case p.issuedAt.IsZero():
		return breaks(RuleTime, "no iat")
	}
	return nil
}
