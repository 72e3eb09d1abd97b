package oauthtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// absent is the type of Absent.
type absent struct{}

// Absent as the value of a claim, a header member or a metadata field leaves it
// out. (A nil value is JSON's null.)
var Absent any = absent{}

// set writes the members of over into base, which it returns.
func set(base, over map[string]any) map[string]any {
	maps.Copy(base, over)
	maps.DeleteFunc(base, func(_ string, v any) bool { return v == Absent })
	return base
}

// MintOption changes how a token is made, other than its claims.
type MintOption func(*draft)

// draft is a token in the making.
type draft struct {
	header     map[string]any // changes to the default header
	rawHeader  []byte         // instead of a header
	rawPayload []byte         // instead of claims
	key        any            // *Key.Private, or []byte for HMAC
	kid        string
	alg        string
	edit       func(signature []byte) []byte
}

// WithHeader sets a header member, whatever the token is signed with; Absent
// removes it. Setting "alg" makes the header lie.
func WithHeader(name string, value any) MintOption {
	return func(d *draft) { d.header[name] = value }
}

// WithKey signs with k, and names its kid and algorithm.
func WithKey(k *Key) MintOption {
	return func(d *draft) { d.key, d.kid, d.alg = k.Private, k.ID, k.Algorithm }
}

// WithAlgorithm signs with another algorithm of the same kind of key, and says
// so in the header.
func WithAlgorithm(alg string) MintOption {
	return func(d *draft) { d.alg = alg }
}

// WithSecret signs with an HMAC: HS256, HS384 or HS512.
func WithSecret(alg string, secret []byte) MintOption {
	return func(d *draft) { d.key, d.alg = secret, alg }
}

// WithRawHeader signs b as the header.
func WithRawHeader(b []byte) MintOption {
	return func(d *draft) { d.rawHeader = b }
}

// WithRawPayload signs b as the payload. The claims are ignored.
func WithRawPayload(b []byte) MintOption {
	return func(d *draft) { d.rawPayload = b }
}

// WithSignature passes the good signature through edit.
func WithSignature(edit func(signature []byte) []byte) MintOption {
	return func(d *draft) { d.edit = edit }
}

// ByHand signs without go-jose, which refuses algorithms that it doesn't know
// and curves that aren't the algorithm's.
func ByHand() MintOption {
	return WithSignature(func(signature []byte) []byte { return signature })
}

// Unsigned leaves the signature empty and says "alg":"none".
func Unsigned() MintOption {
	return func(d *draft) {
		d.header["alg"] = "none"
		d.edit = func([]byte) []byte { return nil }
	}
}

// DefaultClaims returns the claims of a good access token (RFC 9068): iss, sub
// "user-1", aud, client_id "client-1", scope "read write", iat, exp in five
// minutes, and a unique jti.
func (s *Server) DefaultClaims() map[string]any {
	now := s.opts.Now()
	return map[string]any{
		"iss":       s.Issuer(),
		"sub":       "user-1",
		"aud":       s.opts.Audience,
		"client_id": "client-1",
		"scope":     "read write",
		"iat":       now.Unix(),
		"exp":       now.Add(5 * time.Minute).Unix(),
		"jti":       fmt.Sprintf("jti-%d", s.number()),
	}
}

// Mint returns a JWT with the default claims, changed by claims: a value
// replaces, Absent removes. Its header is {"typ":"at+jwt","alg":…,"kid":…}, its
// signature the current key's.
//
// Whatever go-jose agrees to sign is signed by it, so that a verifier is judged
// by another implementation than its own. What it refuses (a header that lies
// about the algorithm, or isn't one) is put together by hand.
func (s *Server) Mint(claims map[string]any, opts ...MintOption) string {
	d := &draft{header: make(map[string]any)}
	WithKey(s.CurrentKey())(d)
	for _, opt := range opts {
		opt(d)
	}
	payload := d.rawPayload
	if payload == nil {
		payload = mustJSON(set(s.DefaultClaims(), claims))
	}
	header := map[string]any{"typ": "at+jwt", "alg": d.alg}
	if d.kid != "" {
		header["kid"] = d.kid
	}
	set(header, d.header)

	if d.rawHeader == nil && d.edit == nil && header["alg"] == d.alg {
		return signByJose(d, header, payload)
	}
	rawHeader := d.rawHeader
	if rawHeader == nil {
		rawHeader = mustJSON(header)
	}
	signature := sign(d.alg, d.key, signingInput(rawHeader, payload))
	if d.edit != nil {
		signature = d.edit(signature)
	}
	return Compact(rawHeader, payload, signature)
}

// signByJose signs an honest header and any payload.
func signByJose(d *draft, header map[string]any, payload []byte) string {
	extra := make(map[jose.HeaderKey]any, len(header))
	for name, value := range header {
		if name != "alg" {
			extra[jose.HeaderKey(name)] = value
		}
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(d.alg), Key: d.key},
		&jose.SignerOptions{ExtraHeaders: extra},
	)
	if err != nil {
		panic(fmt.Sprintf("oauthtest: making %s signer: %v", d.alg, err))
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		panic(fmt.Sprintf("oauthtest: signing: %v", err))
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		panic(fmt.Sprintf("oauthtest: serializing: %v", err))
	}
	return token
}

// Compact puts the three parts of a JWS in compact serialization.
func Compact(header, payload, signature []byte) string {
	return string(signingInput(header, payload)) + "." + b64(signature)
}

func signingInput(header, payload []byte) []byte {
	return []byte(b64(header) + "." + b64(payload))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("oauthtest: encoding JSON: %v", err))
	}
	return b
}
