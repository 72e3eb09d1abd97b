package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// algorithms are those that an ID token may be signed with. They are all
// asymmetric: the client secret isn't a key.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// keySet has the keys of a provider. They are fetched when they are first needed, and
// again for a token that none of them signed. Only the provider itself can send such
// tokens, so that needs no bound.
type keySet struct {
	client  *http.Client
	address string
	flight  singleflight.Group

	mu  sync.Mutex
	set *keys.Set // nil before the first fetch
}

// fetch fetches the keys. Those who ask at the same time share a request, which goes
// on if one of them leaves.
func (k *keySet) fetch(ctx context.Context) (*keys.Set, error) {
	flight := k.flight.DoChan("", func() (any, error) {
		resp, err := k.client.Get(k.address)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, &statusError{resp.StatusCode}
		}
		body, err := io.ReadAll(resp.Body) // bounded by the client
		if err != nil {
			return nil, err
		}
		set, err := keys.ParseSet(body)
		if err != nil {
			return nil, err
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.set = set
		return set, nil
	})
	select {
	case result := <-flight:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*keys.Set), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// signature verifies the signature of one ID token. It implements [oidc.KeySet].
type signature struct {
	keys *keySet
	// unavailable says why the keys could not be fetched: go-oidc doesn't pass
	// errors on as they are.
	unavailable error
}

// VerifySignature implements [oidc.KeySet].
func (s *signature) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return nil, errors.New("it is not a signed JWT")
	}
	verify := func(set *keys.Set) error {
		header := jws.Signatures[0].Header
		return set.Verify(header.Algorithm, header.KeyID, []byte(raw[:strings.LastIndexByte(raw, '.')]), jws.Signatures[0].Signature)
	}
	s.keys.mu.Lock()
	known := s.keys.set
	s.keys.mu.Unlock()
	if known != nil && verify(known) == nil {
		return jws.UnsafePayloadWithoutVerification(), nil
	}
	set, err := s.keys.fetch(ctx)
	if err != nil {
		s.unavailable = fmt.Errorf("the provider's keys are not available: %w", err)
		return nil, s.unavailable
	}
	if err := verify(set); err != nil {
		return nil, err
	}
	return jws.UnsafePayloadWithoutVerification(), nil
}

// statusError means that the provider answered with an unexpected status.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("it answered %d", e.status) }

// okTransport returns a [*statusError] for any answer but 200 and redirects.
type okTransport struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t okTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode/100 == 3 {
		return resp, nil
	}
	resp.Body.Close()
	return nil, &statusError{resp.StatusCode}
}

// Interface guards
var (
	_ oidc.KeySet       = (*signature)(nil)
	_ http.RoundTripper = okTransport{}
)
