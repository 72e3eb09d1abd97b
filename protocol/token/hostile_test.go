package token_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// The keys were asked for when the first token came, at the very moment of all
// others, so that none of them justifies another fetch.
func TestHostileRefused(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	cases := oauthtest.Hostile(srv, mcpResource)
	good := srv.Mint(map[string]any{"aud": mcpResource})
	v := newJWT(t, srv, c.Now, nil)

	if len(cases) < 200 {
		t.Errorf("got %d hostile tokens, want hundreds", len(cases))
	}
	for _, tc := range cases {
		t.Run(tc.Name, func(t *testing.T) {
			tok, err := judge(t.Context(), v, tc.Token)
			var inv *token.InvalidError
			if tok != nil || !errors.As(err, &inv) {
				t.Fatalf("got %s (%v), want an *InvalidError: %s", outcome(tok, err), err, tc.Want)
			}
			checkSilent(t, err, tc.Token)
		})
	}
	if got := outcome(judge(t.Context(), v, good)); got != "verified" {
		t.Errorf("a good token after all the hostile ones: got %s, want verified", got)
	}
	if got := srv.Count(oauthtest.JWKS); got != 1 {
		t.Errorf("got %d fetches of the key set, want 1", got)
	}
	if got := srv.Count(oauthtest.Other); got != 0 {
		t.Errorf("got %d requests to addresses that tokens name, want 0", got)
	}
}

// checkSilent checks that the error gives away nothing of the token.
func checkSilent(t *testing.T, err error, raw string) {
	t.Helper()
	text := strings.ReplaceAll(err.Error(), mcpResource, "") // that is ours
	for part := range strings.SplitSeq(raw, ".") {
		if len(part) >= 8 && strings.Contains(text, part) {
			t.Errorf("error %q contains a part of the token", text)
		}
	}
	_, payload, _ := strings.Cut(raw, ".")
	payload, _, _ = strings.Cut(payload, ".")
	b, _ := base64.RawURLEncoding.DecodeString(payload)
	var claims map[string]any
	if json.Unmarshal(b, &claims) != nil {
		return
	}
	for name, value := range claims {
		s, ok := value.(string)
		if ok && len(s) > 3 && strings.Contains(text, s) {
			t.Errorf("error %q contains the value of the claim %s", text, name)
		}
	}
}

func TestBenignAccepted(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	alone := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	for _, matrix := range []struct {
		srv   *oauthtest.Server
		cases []oauthtest.Case
	}{
		{srv, oauthtest.Benign(srv, mcpResource)},
		{alone, oauthtest.BenignWithoutKid(alone, mcpResource)},
	} {
		v := newJWT(t, matrix.srv, c.Now, nil)
		for _, tc := range matrix.cases {
			t.Run(tc.Name, func(t *testing.T) {
				tok, err := judge(t.Context(), v, tc.Token)
				if err != nil {
					t.Fatalf("got %v, want verified: %s", err, tc.Want)
				}
				if tok.Issuer != matrix.srv.Issuer() || tok.Subject == "" || tok.Expiry.IsZero() {
					t.Errorf("got issuer %q, subject %q, expiry %v, want all of them filled", tok.Issuer, tok.Subject, tok.Expiry)
				}
				for name, want := range map[string]string{"(subject client-1)": "client-1", "名前)": "Zoë 名前", "of 255": strings.Repeat("u", 255)} {
					if strings.Contains(tc.Name, name) && tok.Subject != want {
						t.Errorf("got subject %q, want %q", tok.Subject, want)
					}
				}
				if !strings.Contains(tc.Name, "(subject") && tok.Subject != "user-1" {
					t.Errorf("got subject %q, want user-1", tok.Subject)
				}
			})
		}
		if got := matrix.srv.Count(oauthtest.JWKS); got != 1 {
			t.Errorf("got %d fetches of the key set, want 1", got)
		}
	}
}

// All hostile tokens at once: the bad signatures and unknown keys among them may
// cause a fetch per second, not more, and a good token is never kept waiting for it.
func TestHostileFlood(t *testing.T) {
	t.Parallel()
	oauthtest.Bubble(t, oauthtest.Options{}, func(t *testing.T, srv *oauthtest.Server, network *testkit.Network) {
		cases := oauthtest.Hostile(srv, mcpResource)
		good := srv.Mint(map[string]any{"aud": mcpResource})
		v := newJWT(t, srv, nil, func(c *token.JWTConfig) {
			c.Keys = newKeys(t, discovery.Config{Issuer: srv.Issuer(), Client: network.Through(t, outbound.NewClient())})
		})
		if got := outcome(judge(t.Context(), v, good)); got != "verified" {
			t.Fatalf("before the flood: got %s, want verified", got)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		var flood sync.WaitGroup
		for _, tc := range cases {
			flood.Go(func() {
				if tok, err := judge(ctx, v, tc.Token); tok != nil || err == nil {
					t.Errorf("%s: got %s, want a refusal: %s", tc.Name, outcome(tok, err), tc.Want)
				}
			})
		}
		for range 100 {
			if got := outcome(judge(t.Context(), v, good)); got != "verified" {
				t.Errorf("a good token in the flood: got %s, want verified", got)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("good tokens waited %v for the flood", took)
		}
		flood.Wait()
		if got, most := srv.Count(oauthtest.JWKS), 2+int(time.Since(start)/time.Second); got > most {
			t.Errorf("got %d fetches of the key set in %v, want at most %d", got, time.Since(start), most)
		}
	})
}

// What the claims or the form give away needs no key.
func TestClaimsRefusedWithoutFetch(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	v := newJWT(t, srv, c.Now, nil)
	for _, tc := range oauthtest.Hostile(srv, mcpResource) {
		group, _, _ := strings.Cut(tc.Name, ":")
		switch group {
		case "iss", "aud", "exp", "nbf", "iat", "sub", "scope", "other token", "payload":
			t.Run(tc.Name, func(t *testing.T) {
				if tok, err := judge(t.Context(), v, tc.Token); tok != nil || err == nil {
					t.Fatalf("got %s, want a refusal: %s", outcome(tok, err), tc.Want)
				}
			})
		}
	}
	if got := srv.Count(oauthtest.Any); got != 0 {
		t.Errorf("got %d requests to the issuer, want 0", got)
	}
}
