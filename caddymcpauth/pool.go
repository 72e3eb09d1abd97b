package caddymcpauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/throttle"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// The state of authorization servers and the verdicts on tokens outlive a
// configuration, so that a reload sends no requests.
var (
	issuerPool = pool.New[issuerState]()
	cachePool  = pool.New[cacheState]()
)

// issuerState is what is known about an authorization server, and the limits on
// what it is asked.
type issuerState struct {
	*discovery.Issuer
	name  string
	turns issuerTurns
}

const (
	// maxQuestions is how many questions about tokens an issuer is asked at a
	// time, by all its verifiers together.
	maxQuestions = 32

	// maxOfNetwork is how many of them may be about tokens that one network (a
	// /24, or a /48 in IPv6) sent: a token that an issuer takes long to answer
	// occupies its place that long.
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

// acquire takes a reference to the state of the issuer.
func (iss *Issuer) acquire() (issuerState, error) {
	// The authorization server may run in this same Caddy.
	client := outbound.NewClient()
	client.Transport = timed{iss.Issuer, inprocess.Transport(iss.Issuer, client.Transport)}
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
	return issuerPool.Acquire(&iss.shared, key, func() (issuerState, error) {
		issuer, err := discovery.New(config)
		return issuerState{issuer, iss.Issuer, newTurns()}, err
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
// settings. Two sites share them only if they would judge alike: a token must not
// pass at one site because another accepted it (Oathkeeper, GHSA-4mq7-pvjg-xp2r).
func (iss *Issuer) acquireCache(info IssuerInfo, turns judge.Turns, settings json.RawMessage, module any) (cacheState, error) {
	// The module is part of the key, because the values of its placeholders may
	// have changed.
	key := []any{iss.Issuer, iss.Discovery, iss.Metadata, info.Resource, info.Audience, settings, module, iss.Cache}
	state, err := cachePool.Acquire(&iss.shared, key, func() (cacheState, error) {
		config := iss.Cache.config()
		config.Turns = turns
		cache, err := judge.NewCache(config)
		return cacheState{cache, iss.Issuer}, err
	})
	if err != nil {
		return cacheState{}, fmt.Errorf("making cache: %w", err)
	}
	iss.caches = append(iss.caches, state)
	return state, nil
}

// forget drops the verdicts of the issuer's verifiers on the token raw.
func (iss *Issuer) forget(raw string) {
	for _, cache := range iss.caches {
		cache.ForgetToken(sha256.Sum256([]byte(raw)))
	}
}
