package dpop_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
)

func TestNonces(t *testing.T) {
	t.Parallel()
	_, prover, c := newProver(t, "ES256")
	p := proofs{prover, c}
	key := bytes.Repeat([]byte{1}, 32)
	nonces := dpop.NewNonces(key, resource)
	current := nonces.Current(c.Now())
	changed := []byte(current)
	changed[3] ^= 1
	for _, tc := range []struct {
		name  string
		nonce any
		after time.Duration
		want  string
	}{
		{"current", current, 0, "good"},
		{"a minute old", current, time.Minute, "good"},
		{"two minutes old", current, 2 * time.Minute, "renew"},
		{"four minutes old", current, 4 * time.Minute, "renew"},
		{"five minutes old", current, 5 * time.Minute, "refused"},
		{"an hour old", current, time.Hour, "refused"},
		{"of a server a minute ahead", nonces.Current(c.Now().Add(time.Minute)), 0, "good"},
		{"of a server an hour ahead", nonces.Current(c.Now().Add(time.Hour)), 0, "refused"},
		{"of the same key", dpop.NewNonces(key, resource).Current(c.Now()), 0, "good"},
		{"of another key", dpop.NewNonces(bytes.Repeat([]byte{2}, 32), resource).Current(c.Now()), 0, "refused"},
		{"for another server", dpop.NewNonces(key, resource+"2").Current(c.Now()), 0, "refused"},
		{"changed", string(changed), 0, "refused"},
		{"cut off", current[:len(current)-1], 0, "refused"},
		{"longer", current + "AAAA", 0, "refused"},
		{"padded", current + "=", 0, "refused"},
		{"with a line break", current[:4] + "\n" + current[4:], 0, "refused"},
		{"empty", "", 0, "refused"},
		{"absent", oauthtest.Absent, 0, "refused"},
		{"not one of ours", "definitely-not-the-server-nonce", 0, "refused"},
	} {
		renew, err := nonces.Check(p.next(t, map[string]any{"nonce": tc.nonce}), c.Now().Add(tc.after))
		got := map[bool]string{false: "good", true: "renew"}[renew]
		if refused, ok := errors.AsType[*dpop.Error](err); ok && refused.Rule == dpop.RuleNonce {
			got = "refused"
		} else if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}
