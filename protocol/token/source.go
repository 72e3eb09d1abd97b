package token

import "context"

// Source is a [Verifier] and how to ask it.
type Source struct {
	// Verifier judges the tokens that it accepts. Required.
	Verifier

	// NoNetwork says that the verifier sends no token anywhere. What it fetches,
	// such as keys, serves for all tokens. It is asked before others, so that a
	// token that it knows isn't sent to an issuer. Its refusals are not cached:
	// they may rest on keys that are about to change.
	NoNetwork bool

	// Prefixes lists what the opaque tokens of this verifier begin with. Other
	// tokens are not sent to it, and tokens with such a prefix are sent to no
	// other verifier, so that no issuer sees the tokens of another. Empty means
	// that its tokens may begin with anything.
	Prefixes []string

	// MorePrefixes says that Prefixes is not complete. A token with an unknown
	// prefix is sent to the verifier too if no other one asks an issuer about
	// opaque tokens.
	MorePrefixes bool

	// StillGood reports whether t, which the verifier returned before, still
	// stands. If not, the token is verified again. It is called for each request
	// whose token is cached, so it must be fast. Nil means that t stands until it
	// expires.
	StillGood func(ctx context.Context, t *Token) bool

	// Prepare checks what can be checked without asking the issuer, and returns
	// the function that asks it. Its errors don't count against the issuer. Nil
	// means that there is nothing to check first: Verify asks the issuer.
	Prepare func(ctx context.Context, p *Presented) (Ask, error)

	// Probe finds out whether the issuer works, with a request that no client can
	// influence: it asks about a random token, for example. It returns an error
	// unless the answer is as it should be. Nil means that only requests about
	// clients' tokens can tell.
	Probe func(ctx context.Context) error
}

// Ask asks the issuer about p. Its results are those of [Verifier].
type Ask func(ctx context.Context, p *Presented) (*Token, error)

// Source returns v and how to ask it.
func (v *JWT) Source() Source {
	return Source{Verifier: v, NoNetwork: true, StillGood: v.StillGood}
}

// Source returns v and how to ask it.
func (v *APIKeys) Source() Source {
	return Source{Verifier: v, NoNetwork: true, StillGood: v.StillGood}
}

// Source returns v and how to ask it.
func (v *Introspection) Source() Source {
	return Source{
		Verifier: v, Prefixes: v.config.Prefixes,
		StillGood: v.StillGood, Prepare: v.prepare, Probe: v.Probe,
	}
}

// Source returns v and how to ask it.
func (v *Userinfo) Source() Source {
	return Source{Verifier: v, Prefixes: v.config.Prefixes, Probe: v.Probe}
}

// Source returns v and how to ask it. Its own prefixes are not complete: GitHub's
// tokens of before April 2021 have none.
func (v *GitHub) Source() Source {
	prefixes, all := v.prefixes()
	return Source{Verifier: v, Prefixes: prefixes, MorePrefixes: !all, Probe: v.Probe}
}
