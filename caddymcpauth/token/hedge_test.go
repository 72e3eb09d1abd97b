package token_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/token"
)

// Issuers of opaque tokens are asked one after the other, but a slow one doesn't
// keep the others' tokens waiting. The clock of a bubble makes times exact.
func TestHedge(t *testing.T) {
	t.Parallel()
	const (
		good  = "verified"
		bad   = "inactive"
		away  = "unavailable"
		never = time.Hour
		ms    = time.Millisecond
	)
	type issuer struct {
		takes time.Duration
		says  string
	}
	for _, tc := range []struct {
		name    string
		issuers []issuer
		want    string
		by      string // who vouched
		took    time.Duration
		asked   string
	}{
		{"the first knows it", []issuer{{10 * ms, good}, {0, good}}, good, "a", 10 * ms, "a"},
		{"in order", []issuer{{10 * ms, bad}, {20 * ms, bad}, {30 * ms, good}}, good, "c", 60 * ms, "a b c"},
		{"nobody knows it", []issuer{{10 * ms, bad}, {20 * ms, bad}}, bad, "", 30 * ms, "a b"},
		{"the first is away", []issuer{{10 * ms, away}, {20 * ms, good}}, good, "b", 30 * ms, "a b"},
		{"one away, nobody knows it", []issuer{{10 * ms, away}, {20 * ms, bad}}, away, "", 30 * ms, "a b"},
		{"the first hangs", []issuer{{never, good}, {10 * ms, good}}, good, "b", 260 * ms, "a b"},
		{"two hang", []issuer{{never, good}, {never, good}, {10 * ms, good}}, good, "c", 510 * ms, "a b c"},
		{"the first hangs, the second doesn't know it", []issuer{{never, good}, {10 * ms, bad}, {10 * ms, good}}, good, "c", 270 * ms, "a b c"},
		{"the first is slow, and right", []issuer{{300 * ms, good}, {never, good}}, good, "a", 300 * ms, "a b"},
		{"the first is slow, and the only one who knows", []issuer{{time.Second, good}, {10 * ms, bad}}, good, "a", time.Second, "a b"},
		{"a hang is no refusal", []issuer{{never, good}, {10 * ms, bad}}, away, "", 5 * time.Second, "a b"},
		{"one alone has all the time", []issuer{{4 * time.Second, good}}, good, "a", 4 * time.Second, "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var asked []string
				var list token.Issuers
				for i, iss := range tc.issuers {
					name := string(rune('a' + i))
					v := &counted{verify: func(ctx context.Context, _ string) (*token.Token, error) {
						mu.Lock()
						asked = append(asked, name)
						mu.Unlock()
						select {
						case <-time.After(iss.takes):
						case <-ctx.Done():
							return nil, ctx.Err()
						}
						switch iss.says {
						case good:
							return &token.Token{Subject: name}, nil
						case bad:
							return nil, &token.InvalidError{Reason: token.Inactive}
						default:
							return nil, &token.UnavailableError{Err: errors.New("away")}
						}
					}}
					list = append(list, token.IssuerVerifiers{Issuer: "https://" + name + ".example", Verifiers: []token.Verifier{v}})
				}
				// The request's end. A goroutine that outlives it, the bubble
				// would not let pass.
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				start := time.Now()
				tok, err := judge(ctx, list, "opaque")
				if took := time.Since(start); took != tc.took {
					t.Errorf("took %s, want %s", took, tc.took)
				}
				if got := outcome(tok, err); got != tc.want {
					t.Errorf("got %s (%v), want %s", got, err, tc.want)
				}
				if tok != nil && tok.Subject != tc.by {
					t.Errorf("got it from %s, want from %s", tok.Subject, tc.by)
				}
				mu.Lock()
				defer mu.Unlock()
				if got := strings.Join(asked, " "); got != tc.asked {
					t.Errorf("got %q asked, want %q", got, tc.asked)
				}
			})
		})
	}
}

// A caller that leaves is not kept by issuers that take their time.
func TestHedgeCallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := holding(nil)
		list := token.Issuers{{Issuer: "https://a.example", Verifiers: []token.Verifier{slow, slow, slow}}}
		ctx, leave := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer leave()
		start := time.Now()
		if got := outcome(judge(ctx, list, "opaque")); got != "unavailable" {
			t.Errorf("got %s, want unavailable", got)
		}
		if took := time.Since(start); took != 300*time.Millisecond {
			t.Errorf("took %s, want 300ms", took)
		}
		checkCalls(t, "in 300ms", &slow.calls, 2)
	})
}
