package judge

import (
	"fmt"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// claimed returns those of verifiers that an opaque token may be sent to: those with
// the longest prefix that the token has or, if it has none of the prefixes, those
// without prefixes. An API key of ours is sent to no issuer, even if it is no longer
// listed.
func claimed(verifiers []candidate, raw string) []candidate {
	if strings.HasPrefix(raw, token.APIKeyPrefix) {
		return nil
	}
	longest := 0
	var chosen []candidate
	for _, v := range verifiers {
		has := 0
		for _, prefix := range v.Prefixes {
			if strings.HasPrefix(raw, prefix) {
				has = max(has, len(prefix))
			}
		}
		switch {
		case has < longest || has == 0 && len(v.Prefixes) > 0:
			continue
		case has > longest:
			longest, chosen = has, nil
		}
		chosen = append(chosen, v)
	}
	if len(chosen) == 0 && len(verifiers) == 1 && verifiers[0].MorePrefixes {
		return verifiers
	}
	return chosen
}

// CheckPrefixes returns an error if two issuers have the same prefix. It also returns
// the issuers that see each other's opaque tokens: those with a verifier that accepts
// opaque tokens, asks an issuer, and has no prefix. It returns none or at least two.
func (list Issuers) CheckPrefixes() (open []string, err error) {
	owners := make(map[string]string)
	for _, issuer := range list {
		_, remote := Issuers{issuer}.accepting(&token.Presented{Raw: "opaque"})
		isOpen := false
		for _, v := range remote {
			isOpen = isOpen || len(v.Prefixes) == 0
			for _, prefix := range v.Prefixes {
				if other, ok := owners[prefix]; ok && other != issuer.Issuer {
					return nil, fmt.Errorf("issuers %q and %q have the same token_prefix %q: tokens of one would be sent to the other", other, issuer.Issuer, prefix)
				}
				owners[prefix] = issuer.Issuer
			}
		}
		if isOpen {
			open = append(open, issuer.Issuer)
		}
	}
	if len(open) < 2 {
		open = nil
	}
	return open, nil
}
