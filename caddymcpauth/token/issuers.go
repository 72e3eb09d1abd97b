package token

import (
	"context"
	"errors"
)

// Selector is implemented by a [Verifier] that judges only some forms of
// tokens. One that doesn't implement it is asked about every token.
type Selector interface {
	// Accepts reports whether the verifier is one to ask about p.
	Accepts(p *Presented) bool
}

// IssuerVerifiers are the verifiers for the tokens of one issuer, in the order
// in which they are asked.
type IssuerVerifiers struct {
	Issuer    string
	Verifiers []Verifier
}

// Issuers is a [Verifier] for the tokens of several issuers. The token alone
// decides who is asked: a signed JWT is for the issuer that it names, and one
// of an issuer not in the list is invalid without anybody being asked. An opaque
// token names nobody, so the issuers are asked in order.
type Issuers []IssuerVerifiers

// Verify implements [Verifier].
func (list Issuers) Verify(ctx context.Context, p *Presented) (*Token, error) {
	if p.JWS == nil {
		return list.first(ctx, p)
	}
	for i := range list {
		if list[i].Issuer == p.JWS.Issuer {
			return list[i:i+1].first(ctx, p)
		}
	}
	return nil, invalid(UnknownIssuer, "iss is not a configured issuer")
}

// first asks every verifier that accepts p until one says that the token is
// good. If none does but one could not find out, the token may yet be good.
func (list Issuers) first(ctx context.Context, p *Presented) (*Token, error) {
	var refusal, unavailable error
	for _, issuer := range list {
		for _, v := range issuer.Verifiers {
			if s, ok := v.(Selector); ok && !s.Accepts(p) {
				continue
			}
			t, err := v.Verify(ctx, p)
			var inv *InvalidError
			switch {
			case err == nil && t != nil:
				return t, nil
			case errors.As(err, &inv):
				refusal = err
			case err == nil:
				unavailable = errors.New("verifier returned neither a token nor an error")
			default:
				unavailable = err
			}
		}
	}
	switch {
	case unavailable != nil:
		return nil, unavailable
	case refusal != nil:
		return nil, refusal
	case p.JWS == nil:
		return nil, invalid(Malformed, "not a signed JWT, and no verifier takes opaque tokens")
	default:
		return nil, invalid(WrongType, "a signed JWT, and its issuer has no verifier for these")
	}
}
