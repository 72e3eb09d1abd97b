package assertion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/maypok86/otter/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// maxKept bounds the assertions that a signer keeps, in bytes, with their tokens.
const maxKept = 32 << 20

// SignerConfig describes a [Signer].
type SignerConfig struct {
	Config
	// Key returns the private key to sign with at a time. It is for ES256 and has a
	// kid. An error means that there is none right now. Required.
	Key func(ctx context.Context, now time.Time) (jose.JSONWebKey, error)
	// OnSign is called for each signature, with the error if there was one. Nil
	// means that nobody is told.
	OnSign func(err error)
	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Signer signs assertions for one door, and gives the same one to the requests with
// one token until a third of its life is left.
type Signer struct {
	config SignerConfig
	kept   *otter.Cache[string, *kept]
}

// kept is an assertion.
type kept struct {
	text string
	// of is the token that it was made of. The same text may stand for another
	// user, or say something else, when its issuer is asked again.
	of *token.Token
	// until is when the next one is due, in milliseconds since the epoch.
	until int64
}

// NewSigner returns a signer.
func NewSigner(config SignerConfig) (*Signer, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.Key == nil {
		return nil, errors.New("no key")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	cache, err := otter.New(&otter.Options[string, *kept]{
		MaximumWeight: maxKept,
		Weigher:       func(raw string, k *kept) uint32 { return uint32(len(raw) + len(k.text) + 512) },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, *kept]) time.Duration {
			return max(time.UnixMilli(e.Value.until).Sub(config.Now()), time.Nanosecond)
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("making cache: %w", err)
	}
	return &Signer{config, cache}, nil
}

// Close ends what the signer does in the background. It may still be used.
func (s *Signer) Close() { s.kept.StopAllGoroutines() }

// For returns the assertion about the sender of the verified token raw. The error is
// [ErrExpired], [ErrTooLarge], or an [*outbound.UnavailableError] if there is no key.
//
// A request gets a kept assertion only if its token is the same, letter by letter,
// and if the verdict on it says the same. So nothing of a user can get to another,
// and what an issuer takes back goes with its verdict.
func (s *Signer) For(ctx context.Context, raw string, sender *token.Reader) (string, error) {
	now := s.config.Now()
	if k, ok := s.kept.GetIfPresent(raw); ok && now.UnixMilli() < k.until && k.of.Same(sender.Judged()) {
		return k.text, nil
	}
	text, err := s.sign(ctx, raw, sender, now)
	if s.config.OnSign != nil {
		s.config.OnSign(err)
	}
	return text, err
}

func (s *Signer) sign(ctx context.Context, raw string, sender *token.Reader, now time.Time) (string, error) {
	key, err := s.config.Key(ctx, now)
	if err != nil {
		return "", &outbound.UnavailableError{Err: fmt.Errorf("loading the key of assertions: %w", err)}
	}
	text, expires, err := s.config.sign(key, sender, now)
	if err != nil {
		return "", err
	}
	k := &kept{text: text, of: sender.Judged(), until: expires.Add(-expires.Sub(now) / 3).UnixMilli()}
	s.kept.Set(raw, k)
	return text, nil
}
