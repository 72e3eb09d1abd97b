package judge

import (
	"context"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Meant reports whether raw is meant for the resource whose issuers these are, as far
// as that can be told without asking an issuer. These are:
//
//   - a JWT of one of the issuers, for one of the audiences that audience returns
//     for the issuer at position i;
//   - an opaque token that was found to be good, or has a configured prefix.
//
// The token may be a forged one: use Meant only to withhold tokens from others.
func (list Issuers) Meant(ctx context.Context, raw string, audience func(i int) []string) bool {
	p, err := token.Present(raw)
	if err != nil {
		return false
	}
	key := cacheKey(raw)
	for i := range list {
		if p.JWS != nil {
			if list[i].Issuer == p.JWS.Issuer && p.IsFor(audience(i)) {
				return true
			}
			continue
		}
		for _, v := range list[i].Verifiers {
			if t, _ := v.remembered(ctx, key, raw); t != nil {
				return true
			}
			if v.NoNetwork {
				if t, err := v.judge(ctx, key, p); err == nil && t != nil {
					return true
				}
			}
			// Prefixes that aren't configured don't count: gho_ is GitHub's, whatever
			// the token is meant for.
			if !v.MorePrefixes && slices.ContainsFunc(v.Prefixes, func(prefix string) bool { return strings.HasPrefix(raw, prefix) }) {
				return true
			}
		}
	}
	return false
}
