package clientdoc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

const (
	// maxKeysLease is how long it may take until a withdrawn key is noticed.
	maxKeysLease = 10 * time.Minute

	// keysCooldown is the least time between two fetches of a key set because of a key
	// that isn't in it. Anyone can sign with such a key. A set that is younger counts
	// as current: clients have to publish a key before they use it (OpenID Connect
	// Core 1.0, section 10.1.1).
	keysCooldown = 10 * time.Second
)

// KeySet returns the JSON Web Key Set at address, the jwks_uri of a client, see
// [keys.Source]. It is fetched like a document, and cached for ten minutes at most. from
// is the address of the client that asks.
//
// The error is an [*InvalidError] for an address that is no URL to fetch from, and
// otherwise an [*outbound.UnavailableError]: a set that can't be fetched or read says
// nothing about a signature.
func (f *Fetcher) KeySet(ctx context.Context, uri, from string, since time.Time) (*keys.Set, error) {
	doc, err := f.load(ctx, address{url: uri, keys: true}, from, since)
	switch {
	case err != nil:
		return nil, err
	case !doc.satisfies(since, f.now()):
		return nil, unavailable(errors.New("the keys could not be fetched again"))
	}
	return doc.set, nil
}

// satisfies reports whether the document is recent enough for a caller that wants it as
// of since. Only key sets have such callers.
func (d *document) satisfies(since, now time.Time) bool {
	return !d.fetched.Before(since) || now.Sub(d.fetched) < keysCooldown
}

// keySetDocument bounds how long a key set is used. A response without usable keys
// doesn't replace the set from before, as that of an issuer wouldn't.
func keySetDocument(doc *document, err error) (*document, error) {
	if wrong, ok := errors.AsType[*InvalidError](err); ok {
		return nil, unavailable(fmt.Errorf("keys: %w", wrong.Err))
	}
	if err != nil {
		return nil, err
	}
	if latest := doc.fetched.Add(maxKeysLease); doc.expires.After(latest) {
		doc.expires = latest
	}
	return doc, nil
}
