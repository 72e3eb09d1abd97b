package upstream

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// signingAlgs are the algorithms that ID tokens may be signed with. None works with
// a secret.
var signingAlgs = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// keySet gives go-oidc the provider's keys for one sign-in.
type keySet struct {
	source keys.Source
	now    func() time.Time
	// err is the [*outbound.UnavailableError] if the keys are not available.
	// go-oidc doesn't wrap it.
	err error
}

// VerifySignature implements [oidc.KeySet]. If the keys at hand don't fit, the
// provider is asked for newer ones.
func (k *keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	algs := make([]jose.SignatureAlgorithm, len(signingAlgs))
	for i, alg := range signingAlgs {
		algs[i] = jose.SignatureAlgorithm(alg)
	}
	jws, err := jose.ParseSignedCompact(raw, algs)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errors.New("not a signed JWT")
	}
	signature := jws.Signatures[0]
	alg, kid := signature.Header.Algorithm, signature.Header.KeyID
	input := []byte(raw[:strings.LastIndexByte(raw, '.')])

	asked := k.now()
	set, err := k.source.KeySet(ctx, time.Time{})
	if err != nil {
		k.err = err
		return nil, err
	}
	if set.Verify(alg, kid, input, signature.Signature) != nil {
		newer, err := k.source.KeySet(ctx, asked)
		switch {
		case err != nil && set.Has(kid):
			return nil, keys.ErrBadSignature // its key is here, and another one signed
		case err != nil:
			k.err = err
			return nil, err
		}
		if err := newer.Verify(alg, kid, input, signature.Signature); err != nil {
			return nil, err
		}
	}
	return jws.UnsafePayloadWithoutVerification(), nil // which was verified above
}

// Interface guard
var _ oidc.KeySet = (*keySet)(nil)
