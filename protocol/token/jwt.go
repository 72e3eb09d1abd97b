package token

// This file judges JWT access tokens (RFC 9068; RFC 7519; RFC 8725, the best
// current practices). It is stricter than RFC 9068 where leniency has let attacks
// through, and more lenient in one point: typ may be JWT or absent, as it is with
// most issuers.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// DefaultLeeway is how far an issuer's clock may be ahead of ours.
const DefaultLeeway = 30 * time.Second

// JWTConfig says what a [JWT] accepts.
type JWTConfig struct {
	// Issuer is exactly what iss must be. Required.
	Issuer string

	// Keys has the issuer's keys. Required.
	Keys keys.Source

	// Audience lists the values of which one must be in aud. Required.
	Audience []string

	// Algorithms lists the algorithms that a token may be signed with. Empty
	// means all asymmetric ones known here.
	Algorithms []string

	// Leeway is how far nbf and iat may lie in the future. Zero means
	// [DefaultLeeway]. It does not prolong exp.
	Leeway time.Duration

	// AllowBound accepts tokens that are bound to a key which the sender must prove to
	// have. The caller must then look at [Token.Binding]. Without it, such tokens are
	// refused.
	AllowBound bool

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// JWT verifies signed JWT access tokens of one issuer.
type JWT struct {
	config JWTConfig
}

// NewJWT returns a verifier, or an error that says what is wrong with config.
func NewJWT(config JWTConfig) (*JWT, error) {
	switch {
	case config.Issuer == "":
		return nil, errors.New("no issuer")
	case config.Keys == nil:
		return nil, errors.New("no key source")
	case len(config.Audience) == 0:
		return nil, errors.New("no audience: any token of the issuer would be accepted, whatever it was issued for")
	case config.Leeway < 0:
		return nil, errors.New("negative leeway")
	}
	for _, name := range config.Algorithms {
		if !keys.Supported(name) {
			return nil, fmt.Errorf("unsupported algorithm %q: use one of %v", name, keys.Algorithms())
		}
	}
	if config.Leeway == 0 {
		config.Leeway = DefaultLeeway
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &JWT{config: config}, nil
}

// Verify implements [Verifier]. It checks the claims first. That is cheap, and only
// a token whose claims are good is worth a signature check or a fetch of keys.
func (v *JWT) Verify(ctx context.Context, p *Presented) (*Token, error) {
	if p.JWS == nil {
		return nil, invalid(Malformed, "not a signed JWT")
	}
	now := v.config.Now()
	if err := v.check(p.JWS, now); err != nil {
		return nil, err
	}
	set, err := signer(ctx, v.config.Keys, p.JWS, now)
	if err != nil {
		return nil, err
	}
	c := &p.JWS.claims
	subject, err := c.whose(c.subject)
	if err != nil {
		return nil, err // not after check
	}
	t := Token{
		Issuer:   v.config.Issuer,
		Subject:  subject,
		Type:     c.subjectType(subject),
		ClientID: c.clientID,
		Audience: c.audience,
		Scopes:   c.scopes,
		Expiry:   c.expiry,
		Binding:  c.binding,
		keys:     set,
	}
	return New(t, p.JWS.payload), nil
}

// check judges everything that needs no key.
func (v *JWT) check(jws *JWS, now time.Time) error {
	c := &jws.claims
	if !keys.Supported(jws.Algorithm) || len(v.config.Algorithms) > 0 && !slices.Contains(v.config.Algorithms, jws.Algorithm) {
		return breaks(ruleAlgorithm, WrongAlgorithm, "alg is not allowed")
	}
	if jws.Type != "" && !isJWTType(jws.Type) {
		return breaks(ruleType, WrongType, "typ is not the type of an access token")
	}
	if c.issuer != v.config.Issuer {
		return breaks(ruleIssuer, UnknownIssuer, "iss is not the issuer's identifier")
	}
	if err := c.kind(jws.Type); err != nil {
		return err
	}
	if !matchAudience(c.audience, v.config.Audience) {
		return breaks(ruleAudience, WrongAudience, "aud names none of %q", v.config.Audience)
	}
	switch latest := now.Add(v.config.Leeway); {
	case c.expiry.IsZero():
		return breaks(ruleExpiry, BadClaims, "no exp")
	case !now.Before(c.expiry):
		return breaks(ruleExpiry, Expired, "expired %s ago", now.Sub(c.expiry).Round(time.Second))
	case c.notBefore.After(latest):
		return breaks(ruleTimes, NotYetValid, "nbf is %s in the future", c.notBefore.Sub(now).Round(time.Second))
	case c.issuedAt.After(latest):
		return breaks(ruleTimes, NotYetValid, "iat is %s in the future", c.issuedAt.Sub(now).Round(time.Second))
	}
	if err := c.checkBinding(v.config.AllowBound); err != nil {
		return err
	}
	_, err := c.whose(c.subject)
	return err
}

// IsFor reports whether the token claims to be for one of the audiences. That is not
// verified; an opaque token claims nothing.
func (p *Presented) IsFor(audience []string) bool {
	return p.JWS != nil && matchAudience(p.JWS.claims.audience, audience)
}

// matchAudience reports whether aud names one of the wanted audiences.
func matchAudience(aud, wanted []string) bool {
	return slices.ContainsFunc(aud, func(claimed string) bool {
		return slices.ContainsFunc(wanted, func(w string) bool { return resource.Same(claimed, w) })
	})
}

// signer tries the known keys. If none fits, it asks their owner once: there may be a
// new key, even under an old kid. It returns the key set that had the key.
func signer(ctx context.Context, source keys.Source, jws *JWS, now time.Time) (*keys.Set, error) {
	set, err := source.KeySet(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	refusal := verify(set, jws)
	if refusal == nil {
		return set, nil
	}
	newer, err := source.KeySet(ctx, now)
	switch {
	case err == nil && newer == set:
		return nil, refusal
	case err == nil:
		return newer, verify(newer, jws)
	case set.Has(jws.KeyID):
		// The key with this kid did not sign the token. Issuers don't change a
		// key under its kid, so a forged token is refused even while the issuer
		// can't be asked whether this one did.
		return nil, refusal
	default:
		return nil, err
	}
}

// StillGood reports whether the key of t is still published, see [Source]. While the
// issuer publishes the same keys, the set is the same; when it changes, the token
// is verified again.
func (v *JWT) StillGood(ctx context.Context, t *Token) bool {
	set, err := v.config.Keys.KeySet(ctx, time.Time{})
	return err == nil && set == t.keys
}

var (
	errUnknownKey   = breaks(ruleKey, UnknownKey, "the issuer publishes no key with this kid and algorithm")
	errBadSignature = breaks(ruleSignature, BadSignature, "no key of the issuer made this signature")
)

// verify checks the signature of jws by the keys in set.
func verify(set *keys.Set, jws *JWS) error {
	err := set.Verify(jws.Algorithm, jws.KeyID, []byte(jws.input), jws.signature)
	switch {
	case errors.Is(err, keys.ErrUnknownKey):
		return errUnknownKey
	case err != nil:
		return errBadSignature
	}
	return nil
}

// Accepts implements [Verifier]: an opaque token is for others.
func (v *JWT) Accepts(p *Presented) bool { return p.JWS != nil }

// Interface guard
var _ Verifier = (*JWT)(nil)
