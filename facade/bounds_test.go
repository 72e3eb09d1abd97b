package facade

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A cookie has room for so many answers; the oldest go.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	asked := func(i int) *question {
		return &question{RedirectURI: fmt.Sprintf("https://client-%d.example/a/rather/long/callback/%s", i, strings.Repeat("x", 300)), Request: "web"}
	}
	var a answers
	for i := range 3 * maxConsents {
		a.remember(asked(i), start.Add(time.Duration(i)*time.Minute))
		a.remember(&question{RedirectURI: "http://127.0.0.1/cb", Request: fmt.Sprintf("%022d", i)}, start.Add(time.Duration(i)*time.Minute))
	}
	if len(a.Targets) != maxConsents || len(a.Requests) != maxRequests {
		t.Errorf("%d answers and %d requests, want %d and %d", len(a.Targets), len(a.Requests), maxConsents, maxRequests)
	}
	for i := range 3 * maxConsents {
		_, kept := a.Targets[targetOf(asked(i).RedirectURI)]
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
	a.remember(&question{RedirectURI: "http://127.0.0.1/cb", Request: "r"}, start.Add(consentLifetime+time.Hour))
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

// How many registrations pass, by whom; what is not tested here is tested in
// internal/throttle.
func TestRegistrationIsThrottled(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newSite(t, "upstream http://127.0.0.1:1/o\nregister static mcp-public {\nredirect_uris https://a.example/cb\n}")
	s.limits = newLimits(func() time.Time { return now })
	register := func(address string) *httptest.ResponseRecorder {
		r := request("POST", "/o/oauth/register", `{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"none"}`, "Content-Type", "application/json")
		return s.do(r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: address})))
	}
	for _, tt := range []struct {
		name    string
		address func(i int) string
		want    int
	}{
		{"an address", func(int) string { return "192.0.2.1" }, 20},
		{"a /64", func(i int) string { return fmt.Sprintf("2001:db8:1::%x", i) }, 20},
		{"a /56", func(i int) string { return fmt.Sprintf("2001:db8:2:%x::1", i) }, 40},
		{"a /48", func(i int) string { return fmt.Sprintf("2001:db8:3:%x::1", i<<8) }, 80},
		{"a /24", func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }, 80},
		{"no address", func(int) string { return "" }, 20},
	} {
		passed := 0
		for i := range 100 {
			w := register(tt.address(i))
			switch w.Code {
			case http.StatusCreated:
				passed++
			case http.StatusTooManyRequests:
				if w.Header().Get("Retry-After") == "" {
					t.Errorf("%s: no Retry-After", tt.name)
				}
			default:
				t.Fatalf("%s: got %d %s", tt.name, w.Code, w.Body)
			}
		}
		if passed != tt.want {
			t.Errorf("%s: %d pass, want %d", tt.name, passed, tt.want)
		}
	}
	now = now.Add(registrationEvery)
	if w := register("192.0.2.1"); w.Code != http.StatusCreated {
		t.Errorf("after the wait: got %d", w.Code)
	}
}
