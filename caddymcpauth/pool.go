package caddymcpauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/throttle"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// What is known of authorization servers, and what verifiers said of tokens,
// outlives a configuration, so that a reload asks nobody anything.
var (
	issuerPool = caddy.NewUsagePool()
	cachePool  = caddy.NewUsagePool()
)

// pooled is a reference to a value in a pool. The zero value refers to nothing.
type pooled[T caddy.Destructor] struct {
	pool  *caddy.UsagePool
	key   string
	value T
}

// acquire takes a reference to the value for key, which construct makes if there
// is none. Whatever could make two values differ has to be part of the key.
func (p *pooled[T]) acquire(pool *caddy.UsagePool, key []any, construct func() (T, error)) (T, error) {
	var none T
	b, err := json.Marshal(key)
	if err != nil {
		return none, err
	}
	value, _, err := pool.LoadOrNew(string(b), func() (caddy.Destructor, error) { return construct() })
	if err != nil {
		return none, err
	}
	p.pool, p.key, p.value = pool, string(b), value.(T)
	return p.value, nil
}

// release gives the reference back. It may be called twice.
func (p *pooled[T]) release() error {
	if p.pool == nil {
		return nil
	}
	_, err := p.pool.Delete(p.key)
	p.pool = nil
	return err
}

// issuerState is what is known of an authorization server, and what it may be asked.
type issuerState struct {
	*discovery.Issuer
	turns issuerTurns
}

const (
	// maxQuestions is how many questions about tokens an issuer is asked at a
	// time, by all its verifiers together.
	maxQuestions = 32

	// maxOfNetwork is how many of them may be about tokens that one network (a
	// /24, or a /48 in IPv6) sent: a token that takes an issuer long holds its
	// place long.
	maxOfNetwork = maxQuestions / 2

	// maxWaiting is how many may wait.
	maxWaiting = 256
)

// issuerTurns shares the questions to an issuer among the networks of clients.
type issuerTurns struct{ *throttle.Slots }

func newTurns() issuerTurns {
	return issuerTurns{throttle.NewSlots(maxQuestions, maxWaiting, maxOfNetwork)}
}

// Take implements [judge.Turns].
func (t issuerTurns) Take(ctx context.Context, client string) (release func(), err error) {
	return t.TakeAs(ctx, throttle.Claim{From: client, For: throttle.Network(client)})
}

// Destruct implements [caddy.Destructor].
func (s issuerState) Destruct() error {
	s.Close()
	return nil
}

// acquire takes a reference to what is known of the issuer.
func (iss *Issuer) acquire() (issuerState, error) {
	// The authorization server may be one of this very Caddy's.
	client := outbound.NewClient()
	client.Transport = inprocess.Transport(iss.Issuer, client.Transport)
	config := discovery.Config{
		Issuer:     iss.Issuer,
		Client:     client,
		Metadata:   iss.Metadata,
		OnFetch:    fetchObserver(iss.Issuer),
		OnMetadata: metadataObserver(iss.Issuer),
	}
	if iss.Discovery == "off" {
		config.Off = true
	} else {
		config.Location = iss.Discovery
	}
	key := []any{iss.Issuer, iss.Discovery, iss.Metadata}
	return iss.state.acquire(issuerPool, key, func() (issuerState, error) {
		issuer, err := discovery.New(config)
		return issuerState{issuer, newTurns()}, err
	})
}

// cacheState holds the verdicts of one verifier.
type cacheState struct {
	*judge.Cache
	// issuer is whose tokens the verdicts are on.
	issuer string
}

// Destruct implements [caddy.Destructor].
func (s cacheState) Destruct() error {
	s.Close()
	return nil
}

// acquireCache takes a reference to the verdicts of a verifier with the given
// settings. Two sites share them only if they would judge alike: a token that
// one site accepted must not pass at another for that (Oathkeeper,
// GHSA-4mq7-pvjg-xp2r).
func (iss *Issuer) acquireCache(info IssuerInfo, turns judge.Turns, settings json.RawMessage, module any) (cacheState, error) {
	reference := new(pooled[cacheState])
	// The module too: what its placeholders stood for may have changed.
	key := []any{iss.Issuer, iss.Discovery, iss.Metadata, info.Resource, info.Audience, settings, module, iss.Cache}
	state, err := reference.acquire(cachePool, key, func() (cacheState, error) {
		config := iss.Cache.config()
		config.Turns = turns
		cache, err := judge.NewCache(config)
		return cacheState{cache, iss.Issuer}, err
	})
	if err != nil {
		return cacheState{}, fmt.Errorf("making cache: %w", err)
	}
	iss.caches = append(iss.caches, reference)
	return state, nil
}

// forget drops what the issuer's verifiers said of the token raw.
func (iss *Issuer) forget(raw string) {
	for _, reference := range iss.caches {
		reference.value.ForgetToken(sha256.Sum256([]byte(raw)))
	}
}

// release gives back every reference that the issuer holds.
func (iss *Issuer) release() error {
	errs := []error{iss.state.release()}
	for _, reference := range iss.caches {
		errs = append(errs, reference.release())
	}
	return errors.Join(errs...)
}
