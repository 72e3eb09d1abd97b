// Package judge finds out what several issuers say about a token. It decides which
// verifiers are asked, how often, and how many at a time, and remembers what they
// said. What a token says is for the verifiers to find out: see package token.
package judge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Issuer is an issuer whose tokens are accepted.
type Issuer struct {
	// Issuer is the issuer identifier, exactly as its tokens have it. Required.
	Issuer string
	// Verifiers are asked about its tokens, in this order. At least one.
	Verifiers []*Verifier
}

// Verifier is a verifier with the cache of its verdicts.
type Verifier struct {
	token.Source
	// Cache remembers the verdicts. Verifiers that judge alike may share it. Nil
	// means that the verifier is asked each time.
	Cache *Cache
}

// Issuers judges the tokens of several issuers. Only the token decides which
// verifiers are asked:
//
//   - A signed JWT goes to the verifiers of the issuer that it names. If that issuer
//     isn't in the list, the token is invalid, and no verifier is asked.
//   - An opaque token goes to the verifiers that have its prefix (see
//     [token.Source]) or, if none has, to those without prefixes.
//
// Verifiers that use no network are asked first, then the others in order, one at a
// time. An issuer sees a token only if those before it did not vouch for it.
type Issuers []Issuer

// TakeOpaque reports whether any of the verifiers accepts opaque tokens.
func (list Issuers) TakeOpaque() bool {
	local, remote := list.accepting(&token.Presented{Raw: "opaque"})
	return len(local)+len(remote) > 0
}

// Judge returns what the issuers say about the token raw. Its errors are those of
// [token.Verifier]. A token that is remembered as good isn't parsed again; what the
// result then lacks, [token.Token.Full] adds.
func (list Issuers) Judge(ctx context.Context, raw string) (*token.Token, error) {
	return list.JudgeFor(ctx, raw, "")
}

// JudgeFor is Judge for a client at an address. The requests to an issuer are shared
// fairly between the networks of clients, see [Turns].
func (list Issuers) JudgeFor(ctx context.Context, raw, client string) (*token.Token, error) {
	key := cacheKey(raw)
	for i := range list {
		for _, v := range list[i].Verifiers {
			if t, _ := v.remembered(ctx, key, raw); t != nil {
				v.Cache.asked.RecordHits(1)
				return t, nil
			}
		}
	}
	p, err := token.Present(raw)
	traceOf(ctx).presented(p, err)
	if err != nil {
		return nil, err
	}
	p.Client = client
	return list.judge(ctx, key, p)
}

// judge asks the verifiers about p. Its key in the caches is key.
func (list Issuers) judge(ctx context.Context, key [sha256.Size]byte, p *token.Presented) (*token.Token, error) {
	if p.JWS != nil && !slices.ContainsFunc(list, func(i Issuer) bool { return i.Issuer == p.JWS.Issuer }) {
		configured := make([]string, len(list))
		for i := range list {
			configured[i] = list[i].Issuer
		}
		return nil, invalid(token.UnknownIssuer, "iss is not exactly one of the configured issuers %q", configured)
	}
	local, remote := list.accepting(p)
	if p.JWS != nil {
		o := outcome{refusal: invalid(token.WrongType, "a signed JWT, but its issuer has no verifier for JWTs")}
		return o.ask(ctx, append(local, remote...), key, p)
	}
	o := outcome{refusal: invalid(token.Opaque, "not a signed JWT, and no verifier takes opaque tokens that begin like this one")}
	return o.ask(ctx, append(local, claimed(remote, p.Raw)...), key, p)
}

// candidate is a verifier to ask, with its position.
type candidate struct {
	*Verifier
	issuer, position int
}

// accepting returns the verifiers to ask about p: for a signed JWT, those of the
// issuer that it names.
func (list Issuers) accepting(p *token.Presented) (local, remote []candidate) {
	for i, issuer := range list {
		if p.JWS != nil && issuer.Issuer != p.JWS.Issuer {
			continue
		}
		for n, v := range issuer.Verifiers {
			switch {
			case !v.Accepts(p):
			case v.NoNetwork:
				local = append(local, candidate{v, i, n})
			default:
				remote = append(remote, candidate{v, i, n})
			}
		}
	}
	return local, remote
}

// outcome sums up what several verifiers said. The token is good if one of them
// says so. If none does, and one could not find out, the token may still be good.
type outcome struct {
	token       *token.Token
	refusal     error
	unavailable error
}

// add records a verifier's answer and reports whether no more are needed.
func (o *outcome) add(t *token.Token, err error) bool {
	var inv *token.InvalidError
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

func (o *outcome) result() (*token.Token, error) {
	switch {
	case o.token != nil:
		return o.token, nil
	case o.unavailable != nil:
		return nil, o.unavailable
	default:
		return nil, o.refusal
	}
}

// ask asks verifiers in order until one says that the token is good, or ctx ends.
func (o *outcome) ask(ctx context.Context, verifiers []candidate, key [sha256.Size]byte, p *token.Presented) (*token.Token, error) {
	trace := traceOf(ctx)
	for _, v := range verifiers {
		if ctx.Err() != nil {
			o.add(nil, &token.UnavailableError{Err: context.Cause(ctx)})
			break
		}
		t, err := v.judge(ctx, key, p)
		trace.answered(Answer{Issuer: v.issuer, Verifier: v.position, Token: t, Err: err})
		if o.add(t, err) {
			break
		}
	}
	return o.result()
}

// invalid returns a [*token.InvalidError] with a formatted detail.
func invalid(reason token.Reason, format string, args ...any) error {
	return &token.InvalidError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
