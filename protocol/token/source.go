package token

import "context"

// Source is a [Verifier] with what is to be known for asking it.
type Source struct {
	// Verifier judges the tokens that it accepts. Required.
	Verifier

	// NoNetwork says that the verifier asks nobody about a token: what it needs,
	// such as keys, serves for all tokens. It is asked first, so that a token that
	// it knows is sent to no issuer, and once for each request that its cache
	// can't answer. Its refusals are not kept: they may rest on keys that are
	// about to change, and to judge again costs no one anything.
	NoNetwork bool

	// Prefixes lists what the opaque tokens of the verifier begin with. A token
	// with another prefix is not sent to it, and a token with one of these is sent
	// to no verifier without it: that would show the tokens of one issuer to
	// another. Empty means that any opaque token may be the verifier's.
	Prefixes []string

	// MorePrefixes says that tokens of the verifier may begin otherwise. One
	// that has nobody's prefix is sent to it if no other verifier asks an issuer
	// about opaque tokens.
	MorePrefixes bool

	// StillGood reports whether t, which the verifier returned before, still
	// stands. If not, the token is judged again. It is called each time the
	// cache has an answer, so it must be fast. Nil means that a good token stays
	// good until it expires.
	StillGood func(ctx context.Context, t *Token) bool

	// Prepare judges what can be judged without asking the issuer, and returns
	// what asks it. An error costs the issuer nothing and says nothing about it.
	// Nil means that Verify asks at once.
	Prepare func(ctx context.Context, p *Presented) (Ask, error)

	// Probe asks the issuer something that no client has a hand in, such as
	// whether a random token is good. It returns an error unless the issuer
	// answers as it should. Nil means that only clients' tokens can tell whether
	// the issuer works.
	Probe func(ctx context.Context) error
}

// Ask asks an issuer about p. Its results are those of [Verifier].
type Ask func(ctx context.Context, p *Presented) (*Token, error)

// Source returns v as a source of verdicts.
func (v *JWT) Source() Source {
	return Source{Verifier: v, NoNetwork: true, StillGood: v.StillGood}
}

// Source returns v as a source of verdicts.
func (v *APIKeys) Source() Source {
	return Source{Verifier: v, NoNetwork: true, StillGood: v.StillGood}
}

// Source returns v as a source of verdicts.
func (v *Introspection) Source() Source {
	return Source{
		Verifier: v, Prefixes: v.config.Prefixes,
		StillGood: v.StillGood, Prepare: v.prepare, Probe: v.Probe,
	}
}

// Source returns v as a source of verdicts.
func (v *Userinfo) Source() Source {
	return Source{Verifier: v, Prefixes: v.config.Prefixes, Probe: v.Probe}
}

// Source returns v as a source of verdicts. Without configured prefixes it knows
// those of today's GitHub only.
func (v *GitHub) Source() Source {
	prefixes, all := v.prefixes()
	return Source{Verifier: v, Prefixes: prefixes, MorePrefixes: !all, Probe: v.Probe}
}
