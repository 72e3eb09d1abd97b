package integration_test

import (
	"crypto/rand"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// kind is a way of verifying tokens that asks another server.
type kind struct {
	name    string
	options string             // of the issuer
	asks    oauthtest.Endpoint // beside the metadata
	opaque  bool
	prefix  string // of opaque tokens
}

// withPrefix is the kind with opaque tokens that begin with prefix, and whose
// issuer is asked about no others.
func (k kind) withPrefix(prefix string) kind {
	if !k.opaque {
		return k
	}
	k.prefix = prefix
	if rest, ok := strings.CutSuffix(k.options, "\n}"); ok {
		k.options = rest + "\ntoken_prefix " + prefix + "\n}"
	} else {
		k.options += " {\ntoken_prefix " + prefix + "\n}"
	}
	return k
}

var (
	jwtKind           = kind{"jwt", "jwt", oauthtest.JWKS, false, ""}
	userinfoKind      = kind{"userinfo", "userinfo", oauthtest.Userinfo, true, ""}
	introspectionKind = kind{"introspection", "introspection {\nclient_id front-door\nclient_secret secret\n}", oauthtest.Introspection, true, ""}

	kinds = []kind{jwtKind, userinfoKind, introspectionKind}
)

// door is one of several front doors of a Caddy, at a path of its own and with an
// issuer of its own.
type door struct {
	*caddyServer
	kind
	issuer *oauthtest.Server
	path   string
}

// newDoor returns a front door that is still to be written into a configuration.
func newDoor(c *caddyServer, k kind, path string) door {
	return door{c, k, oauthtest.New(c.t, oauthtest.Options{Algorithm: "ES256", ClientSecret: "secret"}), path}
}

// directive returns the door as it is written in a site.
func (d door) directive() string {
	return fmt.Sprintf("mcp_auth %s* SITE%s {\nissuer %s {\n%s\n}\n}\n", d.path, d.path, d.issuer.Issuer(), d.options)
}

// siteOf is a site with front doors that tells accepted requests so.
func siteOf(doors []door) string {
	var b strings.Builder
	for _, d := range doors {
		b.WriteString(d.directive())
	}
	return b.String() + "handle {\nrespond in\n}\n"
}

// startDoors runs a Caddy with a door of each kind.
func startDoors(t *testing.T, kinds ...kind) (*caddyServer, []door) {
	t.Helper()
	c := newCaddy(t)
	var doors []door
	for i, k := range kinds {
		doors = append(doors, newDoor(c, k, fmt.Sprintf("/door%02d", i)))
	}
	c.start(c.caddyfile(siteOf(doors)))
	return c, doors
}

// token returns a good token for what is behind the door, but for claims.
func (d door) token(claims map[string]any) string {
	all := map[string]any{"aud": d.URL + d.path}
	maps.Copy(all, claims)
	if d.opaque {
		token := d.prefix + rand.Text()
		d.issuer.AddOpaque(token, all)
		return token
	}
	return d.issuer.Mint(all)
}

// try sends a request with token.
func (d door) try(token string) answer {
	return d.do("POST", d.path, "{}", "Authorization", "Bearer "+token)
}

// check compares an answer with the table of answers.
func (d door) check(t *testing.T, what string, got answer, want int) {
	t.Helper()
	retryAfter, challenge := got.header.Get("Retry-After"), got.header.Get("WWW-Authenticate")
	switch {
	case got.status != want:
		t.Errorf("%s: got %d %q, want %d", what, got.status, got.body, want)
	case want == 200 && got.body != "in":
		t.Errorf("%s: got 200 %q, want what is behind the door", what, got.body)
	case want == 401 && !strings.Contains(challenge, `error="invalid_token"`):
		t.Errorf("%s: got 401 with the challenge %q, want invalid_token", what, challenge)
	case want == 503:
		if seconds, err := strconv.Atoi(retryAfter); err != nil || seconds < 1 || seconds > 60 {
			t.Errorf("%s: got 503 with Retry-After %q, want some seconds", what, retryAfter)
		}
		if challenge != "" {
			t.Errorf("%s: got 503 with the challenge %q: it would make the client throw its token away", what, challenge)
		}
	}
	for _, inside := range []string{"127.0.0.1", "upstream-secret"} {
		if strings.Contains(got.body, inside) {
			t.Errorf("%s: the answer tells about the inside: %q", what, got.body)
		}
	}
}

// eventually tries the token until the answer is final. Until then the door may only say that it doesn't know.
func (d door) eventually(t *testing.T, what, token string, want int) {
	t.Helper()
	testkit.Eventually(t, what+": a final answer", func() bool {
		got := d.try(token)
		if got.status == want || got.status != 503 {
			d.check(t, what, got, want)
			return true
		}
		d.check(t, what+", meanwhile", got, 503)
		return false
	})
}

// together tries all tokens at the same time.
func (d door) together(t *testing.T, what string, want int, tokens ...string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, token := range tokens {
		wg.Go(func() { d.check(t, what, d.try(token), want) })
	}
	wg.Wait()
}

// Every way in which an issuer can fail, for all who ask it: while nobody knows,
// the answer is 503; what is known stays known; what is certainly bad is 401; and
// when the issuer is back, so is everything else.
func TestFaults(t *testing.T) {
	t.Parallel()
	elsewhere := oauthtest.New(t, oauthtest.Options{})
	faults := []struct {
		name  string
		fault oauthtest.Fault
		only  oauthtest.Endpoint
		// refuses says that the status is the honest one: enough for a refusal.
		refuses bool
	}{
		{"kill", oauthtest.Close(), "", false},
		{"hang", oauthtest.Hang(), "", false},
		{"hang in the middle", oauthtest.HangBody(), "", false},
		{"500", oauthtest.Status(500), "", false},
		{"403", oauthtest.Status(403), "", false},
		{"404", oauthtest.Status(404), "", false},
		{"204", oauthtest.Answer(204, "application/json", ""), "", false},
		{"429", oauthtest.RetryAfter(2), "", false},
		{"garbage", oauthtest.Garbage(), "", false},
		{"nothing", oauthtest.Answer(200, "application/json", ""), "", false},
		{"null", oauthtest.Answer(200, "application/json", "null"), "", false},
		{"{}", oauthtest.Empty(), "", false},
		{"no keys", oauthtest.EmptyKeys(), oauthtest.JWKS, false},
		{"cut off", oauthtest.Truncate(), "", true},
		{"huge", oauthtest.Huge(64), "", true},
		{"drip", oauthtest.Drip(500 * time.Millisecond), "", true},
		{"redirect", oauthtest.Redirect(302, elsewhere.URL+"/x"), "", false},
		{"redirect that repeats the request", oauthtest.Redirect(307, elsewhere.URL+"/x"), "", false},
		{"wrong issuer", oauthtest.WrongIssuer("https://evil.example"), oauthtest.Metadata, false},
		{"issuer but for a slash", oauthtest.Rewrite(map[string]any{"issuer": elsewhere.URL + "/"}), oauthtest.Metadata, false},
	}
	type scene struct {
		door
		what     string
		endpoint oauthtest.Endpoint
		fault    oauthtest.Fault
		// good and bad are what is answered to unknown tokens when the metadata
		// is known.
		good, bad int
	}
	c := newCaddy(t)
	var scenes []scene
	var doors []door
	for _, k := range kinds {
		for _, endpoint := range []oauthtest.Endpoint{oauthtest.Metadata, k.asks} {
			for _, f := range faults {
				if f.only != "" && f.only != endpoint {
					continue
				}
				d := newDoor(c, k, fmt.Sprintf("/door%03d", len(doors)))
				doors = append(doors, d)
				s := scene{d, fmt.Sprintf("%s, %s, %s", k.name, endpoint, f.name), endpoint, f.fault, 503, 503}
				if f.refuses && k.asks == oauthtest.Userinfo { // by a 401
					s.bad = 401
				}
				if f.only == oauthtest.Metadata {
					s.good, s.bad = 200, 401
				}
				scenes = append(scenes, s)
			}
		}
	}
	c.start(c.caddyfile(siteOf(doors)))

	var mu sync.Mutex
	var sent []string
	play := func(s scene) {
		good := []string{s.token(nil), s.token(nil), s.token(nil), s.token(nil)}
		mu.Lock()
		sent = append(sent, good...)
		mu.Unlock()
		s.issuer.SetFault(s.endpoint, s.fault)
		s.together(t, s.what, 503, good[0], good[1])

		s.issuer.SetFault(s.endpoint, nil)
		s.eventually(t, s.what+", cured", good[0], 200)
		s.eventually(t, s.what+", cured, another token", good[1], 200)

		s.issuer.SetFault(oauthtest.Any, s.fault)
		s.together(t, s.what+", again, known tokens", 200, good[0], good[1])
		if s.opaque {
			wg := new(sync.WaitGroup)
			wg.Go(func() { s.check(t, s.what+", again, an unknown token", s.try(good[2]), s.good) })
			wg.Go(func() { s.check(t, s.what+", again, a bad token", s.try("not-a-token"), s.bad) })
			wg.Wait()
		} else {
			s.together(t, s.what+", again, new tokens of known keys", 200, good[2], good[3])
			s.together(t, s.what+", again, certainly bad tokens", 401, "not-a-token",
				s.token(map[string]any{"exp": 1}), s.token(map[string]any{"aud": s.URL}), good[2]+"x")
		}

		s.issuer.SetFault(oauthtest.Any, nil)
		s.eventually(t, s.what+", cured again", good[3], 200)
		s.eventually(t, s.what+", cured again, a bad token", "not-a-token", 401)
	}
	// Not subtests: few of them would run at a time, and most only wait.
	var wg sync.WaitGroup
	for _, s := range scenes {
		wg.Go(func() { play(s) })
	}
	wg.Wait()
	if n := elsewhere.Count(oauthtest.Any); n != 0 {
		t.Errorf("%d redirects were followed to another origin", n)
	}
	log := c.log.String()
	for _, token := range sent {
		if strings.Contains(log, token) {
			t.Error("a token is in the log")
		}
	}
	if strings.Contains(log, "upstream-secret") {
		t.Error("what the issuer's error pages say is in the log")
	}
	t.Logf("%d scenes", len(scenes))
}
