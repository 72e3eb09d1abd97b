package token

import (
	"context"
	"errors"
	"slices"
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
	// Issuer is the issuer identifier.
	Issuer string
	// Verifiers are tried in this order. At least one.
	Verifiers []Verifier
}

// Issuers is a [Verifier] for the tokens of several issuers. The token alone
// decides who is asked: a signed JWT is for the issuer that it names, and one
// of an issuer not in the list is invalid and nobody is asked. An opaque token
// names nobody. It goes to the verifiers whose prefix it has, see [Prefixed];
// without such a prefix, to those that have none. [Local] verifiers come first,
// then the others in order, one after the other: an issuer sees a token only
// after those before it did not vouch for it.
type Issuers []IssuerVerifiers

// TakeOpaque reports whether one of the verifiers judges opaque tokens.
func (list Issuers) TakeOpaque() bool {
	local, remote := list.accepting(&Presented{Raw: "opaque"})
	return len(local)+len(remote) > 0
}

// Judge returns what the issuers say of the token raw. A token that one of them
// has vouched for, and still does, isn't even taken apart. The result may lack its
// claims: see [Token.Full].
func (list Issuers) Judge(ctx context.Context, raw string) (*Token, error) {
	return list.JudgeFor(ctx, raw, "")
}

// JudgeFor is Judge for a caller at the address client, whose network shares the
// questions to an issuer with others.
func (list Issuers) JudgeFor(ctx context.Context, raw, client string) (*Token, error) {
	key := cacheKey(raw)
	for i := range list {
		for _, v := range list[i].Verifiers {
			if c, ok := v.(*cached); ok {
				if t, _ := c.look(ctx, key, raw); t != nil {
					return t, nil
				}
			}
		}
	}
	p, err := Present(raw)
	traceOf(ctx).presented(p, err)
	if err != nil {
		return nil, err
	}
	p.Client = client
	return list.Verify(ctx, p)
}

// Verify implements [Verifier].
func (list Issuers) Verify(ctx context.Context, p *Presented) (*Token, error) {
	if p.JWS != nil && !slices.ContainsFunc(list, func(i IssuerVerifiers) bool { return i.Issuer == p.JWS.Issuer }) {
		configured := make([]string, len(list))
		for i := range list {
			configured[i] = list[i].Issuer
		}
		return nil, invalid(UnknownIssuer, "iss is not exactly one of the configured issuers %q", configured)
	}
	local, remote := list.accepting(p)
	if p.JWS != nil {
		o := outcome{refusal: invalid(WrongType, "a signed JWT, but its issuer has no verifier for JWTs")}
		return o.ask(ctx, append(local, remote...), p)
	}
	o := outcome{refusal: invalid(Opaque, "not a signed JWT, and no verifier takes opaque tokens that begin like this one")}
	return o.ask(ctx, append(local, claimed(remote, p.Raw)...), p)
}

// candidate is one of the verifiers of [Issuers].
type candidate struct {
	Verifier
	issuer, position int
}

// unwrap lets [find] see the verifier itself.
func (c candidate) unwrap() Verifier { return c.Verifier }

// accepting returns the verifiers to ask about p: for a signed JWT, those of the
// issuer that it names.
func (list Issuers) accepting(p *Presented) (local, remote []candidate) {
	for i, issuer := range list {
		if p.JWS != nil && issuer.Issuer != p.JWS.Issuer {
			continue
		}
		for n, v := range issuer.Verifiers {
			if s, ok := find[Selector](v); ok && !s.Accepts(p) {
				continue
			}
			if _, ok := find[Local](v); ok {
				local = append(local, candidate{v, i, n})
			} else {
				remote = append(remote, candidate{v, i, n})
			}
		}
	}
	return local, remote
}

// outcome sums up what several verifiers said. One that says the token is good
// settles it. If none does but one could not find out, the token may yet be good.
type outcome struct {
	token       *Token
	refusal     error
	unavailable error
}

// add takes in a verifier's answer and reports whether it settles the matter.
func (o *outcome) add(t *Token, err error) bool {
	var inv *InvalidError
	switch {
	case err == nil && t != nil:
		o.token = t
	case errors.As(err, &inv):
		o.refusal = err
	case err == nil:
		o.unavailable = errors.New("verifier returned neither a token nor an error")
	default:
		o.unavailable = err
	}
	return o.token != nil
}

func (o *outcome) result() (*Token, error) {
	switch {
	case o.token != nil:
		return o.token, nil
	case o.unavailable != nil:
		return nil, o.unavailable
	default:
		return nil, o.refusal
	}
}

// ask asks verifiers in order until one settles the matter, all have answered, or
// the caller has left.
func (o *outcome) ask(ctx context.Context, verifiers []candidate, p *Presented) (*Token, error) {
	trace := traceOf(ctx)
	for _, v := range verifiers {
		if ctx.Err() != nil {
			o.add(nil, &UnavailableError{Err: context.Cause(ctx)})
			break
		}
		t, err := v.Verify(ctx, p)
		trace.answered(Answer{Issuer: v.issuer, Verifier: v.position, Token: t, Err: err})
		if o.add(t, err) {
			break
		}
	}
	return o.result()
}
