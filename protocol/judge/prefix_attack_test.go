package judge_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// raceDetector says whether the race detector is on, which takes ten times as long.
var raceDetector bool

// prefixHour is an hour of five issuers that introspect, one of them without a prefix.
// A token is shown to its own issuer only, whatever strangers do and whichever issuer is away.
type prefixHour struct {
	t      *testing.T
	random *rand.Rand
	list   judge.Issuers
	// owners are the tokens that there are, and whose they are.
	owners map[string]string
	// away is the issuer that doesn't answer, "" for none. Breakers ask in the
	// background.
	away atomic.Value
	// hostile is how the issuers answer what is invented.
	hostile []error
	shown   int
}

// prefixes are those of the issuers. One begins with another, and one differs from it
// in the case of a letter.
var prefixes = map[string]string{"a": "aa_", "b": "bb_", "nested": "bb_aa_", "case": "AA_", "none": ""}

func newPrefixHour(t *testing.T, seed int) *prefixHour {
	h := &prefixHour{
		t: t, random: rand.New(rand.NewPCG(14, uint64(seed))), owners: make(map[string]string),
		hostile: []error{
			outage("503"), outage("time-out"), &token.InvalidError{Reason: token.Inactive},
			&token.UnavailableError{Err: errors.New("429"), Outage: true, RetryAfter: time.Hour}, errors.New("anything"),
		},
	}
	for _, issuer := range slices.Sorted(maps.Keys(prefixes)) { // a seed is the same hour each time
		prefix := prefixes[issuer]
		v := &probing{
			counted: &counted{verify: func(_ context.Context, raw string) (*token.Token, error) { return h.introspect(issuer, raw) }},
			probe: func(context.Context) error {
				if h.away.Load() == issuer {
					return outage("away")
				}
				return nil
			},
		}
		source := v.Source()
		if prefix != "" {
			source.Prefixes = []string{prefix}
		}
		cached := newCache(t, judge.CacheConfig{MaxEntries: 1000}).Cached(source)
		h.list = append(h.list, judge.Issuer{Issuer: issuer, Verifiers: []*judge.Verifier{cached}})
	}
	h.random.Shuffle(len(h.list), func(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] })
	return h
}

// introspect is what an issuer says of what it is shown.
func (h *prefixHour) introspect(issuer, raw string) (*token.Token, error) {
	h.shown++
	owner, exists := h.owners[raw]
	if exists && owner != issuer {
		h.t.Errorf("a token of %s is shown to %s: %s", owner, issuer, raw)
	}
	switch {
	case h.away.Load() == issuer:
		return nil, outage("away")
	case exists:
		return &token.Token{Issuer: issuer, Subject: raw, Expiry: time.Now().Add(time.Hour)}, nil
	}
	return nil, h.hostile[h.random.IntN(len(h.hostile))]
}

// mint returns a new token of an issuer.
func (h *prefixHour) mint(issuer string) string {
	raw := prefixes[issuer] + strconv.FormatUint(h.random.Uint64(), 36)
	h.owners[raw] = issuer
	return raw
}

// invent returns what a stranger sends: something near the prefixes.
func (h *prefixHour) invent() string {
	raw := strconv.FormatUint(h.random.Uint64(), 36)
	issuer := h.list[h.random.IntN(len(h.list))].Issuer
	prefix := prefixes[issuer]
	switch h.random.IntN(6) {
	case 0:
		return raw
	case 1:
		return strings.ToUpper(prefix) + raw
	case 2:
		return prefix + prefixes[h.list[h.random.IntN(len(h.list))].Issuer] + raw
	case 3:
		return raw + prefix
	case 4:
		return prefix[:len(prefix)/2] + raw
	}
	return prefix + raw
}

// An hour of a stranger who sends an invented token every two seconds, while every
// issuer is away for some minutes: no issuer is shown another's token, and every token
// whose issuer is there passes.
func TestPrefixesUnderAttack(t *testing.T) {
	t.Parallel()
	seeds := 200
	if testing.Short() || raceDetector {
		seeds = 10
	}
	names := []string{"a", "b", "case", "nested", "none"}
	good, passed, shown := 0, 0, 0
	for seed := range seeds {
		h := newPrefixHour(t, seed)
		synctest.Test(t, func(t *testing.T) {
			var known []string
			for second := 0; second < 3600; second += 2 {
				// Away for the first three minutes of every ten, one after the other. A
				// token isn't expected to pass until the longest pause of a breaker has
				// ended.
				h.away.Store("")
				if second%600 < 180 && second/600 < len(names) {
					h.away.Store(names[(second/600+seed)%len(names)])
				}
				_, _ = h.list.JudgeFor(t.Context(), h.invent(), fmt.Sprintf("192.0.2.%d", h.random.IntN(256)))
				if second%10 == 0 {
					// A user with a new token, or with one that was good before.
					raw := h.mint(names[h.random.IntN(len(names))])
					if len(known) > 0 && h.random.IntN(2) == 0 {
						raw = known[h.random.IntN(len(known))]
					}
					tok, _ := h.list.JudgeFor(t.Context(), raw, "198.51.100.1")
					late := second%600 < 240 && names[(second/600+seed)%len(names)] == h.owners[raw]
					if tok != nil && tok.Subject != raw {
						t.Fatalf("the token of %s is good for %s", raw, tok.Subject)
					}
					if !late {
						good++
						if tok != nil {
							passed++
						}
					}
					if !slices.Contains(known, raw) {
						known = append(known, raw)
					}
				}
				time.Sleep(2 * time.Second)
			}
			shown += h.shown
		})
	}
	share := float64(passed) / float64(good)
	t.Logf("%d of %d good tokens passed (%.2f %%); issuers were shown %d tokens", passed, good, 100*share, shown)
	if share < 0.99 {
		t.Errorf("%.2f %% of good tokens passed, want 99", 100*share)
	}
}
