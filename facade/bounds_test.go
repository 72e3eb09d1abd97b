package facade

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// A cookie has room for so many answers; the oldest go.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	asked := func(i int) *question {
		return &question{RedirectURI: fmt.Sprintf("https://client-%d.example/a/rather/long/callback", i), Request: fmt.Sprintf("%022d", i)}
	}
	var a answers
	for i := range 3 * maxConsents {
		a.remember(asked(i), start.Add(time.Duration(i)*time.Minute))
	}
	if len(a.Targets) != maxConsents || len(a.Requests) != maxRequests {
		t.Errorf("%d answers and %d requests, want %d and %d", len(a.Targets), len(a.Requests), maxConsents, maxRequests)
	}
	for i := range 3 * maxConsents {
		_, kept := a.Targets[asked(i).RedirectURI]
		if want := i >= 2*maxConsents; kept != want {
			t.Errorf("client %d: kept %t, want %t", i, kept, want)
		}
	}
	a.Issuer, a.Browser, a.ClientID = "https://auth.example.com/o", fmt.Sprintf("%022d", 1), "mcp-public"
	b, err := json.Marshal(a)
	if err != nil || len(b) > 2900 { // sealed, a third more; browsers keep 4096
		t.Errorf("%d bytes, %v", len(b), err)
	}
	// What is over is not kept.
	a.remember(asked(1), start.Add(consentLifetime+time.Hour))
	if len(a.Targets) != 1 || len(a.Requests) != 1 {
		t.Errorf("much later: %d answers and %d requests, want one of each", len(a.Targets), len(a.Requests))
	}
	// A program on the user's computer is no place to remember.
	for _, uri := range []string{"http://127.0.0.1/cb", "http://localhost:1/cb", "cursor://x/cb", "https://localhost/cb"} {
		var a answers
		a.remember(&question{RedirectURI: uri, Request: "r"}, start)
		if len(a.Targets) != 0 || len(a.Requests) != 1 {
			t.Errorf("%s: remembered as %v, %v", uri, a.Targets, a.Requests)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	l := newLimits()
	passed := func(n int, address func(int) string) (passed int) {
		for i := range n {
			if l.wait(address(i)) == 0 {
				passed++
			}
		}
		return passed
	}
	one := func(address string) func(int) string { return func(int) string { return address } }
	// The clock goes on meanwhile: one more may pass.
	for name, address := range map[string]func(int) string{
		"one address":                    one("192.0.2.1"),
		"one network of IPv6":            func(i int) string { return fmt.Sprintf("2001:db8::%x", i) },
		"an address and its IPv6 form":   func(i int) string { return []string{"192.0.2.2", "::ffff:192.0.2.2"}[i%2] },
		"no address at all, which is so": one(""),
	} {
		if got := passed(3*registrationBurst, address); got < registrationBurst || got > registrationBurst+1 {
			t.Errorf("%s: %d pass, want %d", name, got, registrationBurst)
		}
	}
	if got := passed(100, func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }); got != 100 {
		t.Errorf("a hundred addresses: %d pass", got)
	}
	if wait := l.wait("192.0.2.1"); wait <= 0 || wait > registrationEvery {
		t.Errorf("has to wait %s, want at most %s", wait, registrationEvery)
	}
	passed(3*maxAddresses, func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) })
	if len(l.addresses) > maxAddresses {
		t.Errorf("%d addresses are remembered, want %d at most", len(l.addresses), maxAddresses)
	}
}
