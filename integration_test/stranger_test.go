package integration_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// A firewall in front of the issuer refuses what looks like an attack to it, in
// every way that firewalls have. A stranger who knows that shuts nobody out.
func TestFirewallBeforeTheIssuer(t *testing.T) {
	t.Parallel()
	answers := map[string]oauthtest.Fault{
		"403": oauthtest.Status(403), "503": oauthtest.Status(503), "429": oauthtest.RetryAfter(30),
		"401": oauthtest.Status(401), "connection closed": oauthtest.Close(), "a page": oauthtest.Garbage(),
	}
	c := newCaddy(t)
	var doors []door
	var names []string
	for name := range answers {
		for _, k := range []kind{introspectionKind, userinfoKind} {
			doors = append(doors, newDoor(c, k, fmt.Sprintf("/door%02d", len(doors))))
			names = append(names, name)
		}
	}
	c.start(c.caddyfile(siteOf(doors)))
	var wg sync.WaitGroup
	for i, d := range doors {
		refuses := answers[names[i]]
		firewall := func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
			if strings.Contains(r.PostFormValue("token")+r.Header.Get("Authorization"), "../") {
				refuses(w, r, honest)
				return
			}
			honest(w, r)
		}
		d.issuer.SetFault(d.asks, firewall)
		wg.Go(func() {
			for n := range 12 {
				status := d.try("../../../../etc/passwd" + strings.Repeat("x", n)).status
				if status != 503 && (status != 401 || names[i] != "401" || d.asks != oauthtest.Userinfo) {
					t.Errorf("%s, %s: the stranger got %d", d.name, names[i], status)
				}
				d.check(t, fmt.Sprintf("%s, %s: a good token after %d of the stranger's", d.name, names[i], n+1), d.try(d.token(nil)), 200)
			}
		})
	}
	wg.Wait()
}

// A user whose name is not usable, with a good token: the trouble is theirs alone.
func TestUserShutsNobodyOut(t *testing.T) {
	t.Parallel()
	_, doors := startDoors(t, userinfoKind, introspectionKind)
	for _, d := range doors {
		for range 6 {
			if got := d.try(d.token(map[string]any{"sub": "ada "})); got.status == 200 {
				t.Errorf("%s: a name that ends in a blank got in", d.name)
			}
		}
		d.check(t, d.name+", another user", d.try(d.token(nil)), 200)
	}
}

// Six hundred invented tokens at once: the issuer is asked few questions at a time,
// those without a turn are told to come back, and nobody is told that a token is bad
// which wasn't looked at.
func TestInventedTokensAtOnce(t *testing.T) {
	t.Parallel()
	_, doors := startDoors(t, userinfoKind, introspectionKind)
	for _, d := range doors {
		var now, most atomic.Int64
		d.issuer.SetFault(d.asks, func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(100 * time.Millisecond)
			honest(w, r)
		})
		var asked, sent atomic.Int64
		var wg sync.WaitGroup
		for i := range 600 {
			wg.Go(func() {
				sent.Add(1)
				got := d.try(fmt.Sprintf("invented-%d", i))
				switch got.status {
				case 401:
					asked.Add(1)
				default:
					d.check(t, d.name, got, 503)
				}
			})
		}
		wg.Wait()
		if n := most.Load(); n > 16 {
			t.Errorf("%s: %d questions at a time about the tokens of one address, want at most 16", d.name, n)
		}
		// A question whose answer comes too late makes no 401, so there may be more
		// of them; without one, no token is bad.
		if n := int64(d.issuer.Count(d.asks)); n < asked.Load() {
			t.Errorf("%s: %d questions, and %d tokens refused as bad", d.name, n, asked.Load())
		}
		t.Logf("%s: %d of %d were looked at, at most %d at a time", d.name, asked.Load(), sent.Load(), most.Load())
		d.issuer.SetFault(d.asks, nil)
		d.check(t, d.name+", afterwards", d.try(d.token(nil)), 200)
	}
}

// Behind a proxy that isn't trusted all clients share one network's part: whatever
// goes by networks warns of it, and nothing else does.
func TestProxyThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	const warning, header = "requests come through a proxy that isn't trusted", "X-Forwarded-For"
	for _, k := range []kind{introspectionKind, userinfoKind, jwtKind} {
		c, doors := startDoors(t, k)
		d := doors[0]
		d.check(t, k.name, d.try(d.token(nil)), 200)
		if c.log.contains(warning) {
			t.Errorf("%s: a warning without a proxy", k.name)
		}
		if got := c.do("GET", d.path+"/", "", "Authorization", "Bearer "+d.token(nil), header, "192.0.2.1"); got.status != 200 {
			t.Fatalf("%s: got %d %s", k.name, got.status, got.body)
		}
		if k.name == jwtKind.name {
			c.do("GET", d.path+"/", "", header, "192.0.2.1")
			if c.log.contains(warning) {
				t.Errorf("%s: a warning, though no question goes by networks", k.name)
			}
			continue
		}
		c.logs(warning)
	}
	server := startEmbedded(t, embedded)
	server.do("POST", "/oauth/register", "{}", header, "192.0.2.1")
	server.logs(warning)
}

// A client that never sends the body it announced gets the refusal all the same:
// from the door, the authorization server and the façade.
func TestRefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	issuer := oauthtest.New(t, oauthtest.Options{})
	c := startCaddy(t, `
		mcp_auth /mcp* SITE/mcp {
			issuer `+issuer.Issuer()+`
		}
		handle /mcp* {
			respond in
		}
		handle {
			mcp_auth_facade SITE/o {
				preset django-oauth-toolkit
				register static mcp-client {
					redirect_uris https://client.example/callback
				}
			}
			respond 200
		}
	`)
	for _, request := range []struct{ line, headers string }{
		{"POST /mcp", ""},
		{"POST /mcp", "Authorization: Bearer bad\r\n"},
		{"POST /mcp", "Authorization: Bearer\r\n"},
		{"POST /mcp", "Origin: https://evil.example\r\n"},
		{"PUT /mcp", ""},
		{"POST /.well-known/oauth-protected-resource/mcp", ""},
		{"POST /.well-known/oauth-authorization-server/o", ""},
		{"PUT /o/oauth/register", ""},
		{"PUT /o/token/", ""},
		{"PUT /o/authorize/", ""},
	} {
		for _, body := range []string{
			"Content-Length: 100000\r\n", "Content-Length: 10\r\nExpect: 100-continue\r\n", "Transfer-Encoding: chunked\r\n",
		} {
			refusedUnread(t, c, request.line, request.headers+body)
		}
	}
	server := startEmbedded(t, embedded)
	for _, line := range []string{"PUT /oauth/token", "PUT /oauth/register", "PUT /oauth/authorize"} {
		refusedUnread(t, server, line, "Content-Length: 100000\r\n")
		refusedUnread(t, server, line, "Content-Length: 10\r\nExpect: 100-continue\r\n")
	}
}

// refusedUnread sends a request without its body and wants a refusal.
func refusedUnread(t *testing.T, c *caddyServer, line, headers string) {
	t.Helper()
	conn, err := tls.Dial("tcp", c.Host, c.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testkit.Patience / 6)) // there are many
	fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", line, c.Host, headers)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("%s %q: no answer: %v", line, headers, err)
		return
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("%s %q: %v", line, headers, err)
	}
	if resp.StatusCode < 400 || resp.StatusCode > 499 || !resp.Close {
		t.Errorf("%s %q: got %d, closes %t; want a refusal, and the end of the connection", line, headers, resp.StatusCode, resp.Close)
	}
}

// The same over HTTP/2 and HTTP/3, from the door and the authorization server: a
// refusal doesn't wait for a body that never comes.
func TestRefusedBeforeTheBodyInFrames(t *testing.T) {
	t.Parallel()
	issuer := oauthtest.New(t, oauthtest.Options{})
	c := startCaddy(t, `
		mcp_auth /mcp* SITE/mcp {
			issuer `+issuer.Issuer()+`
		}
		respond in
	`)
	server := startEmbedded(t, embedded)
	for _, site := range []*caddyServer{c, server} {
		h3 := &http3.Transport{TLSClientConfig: site.tls()}
		t.Cleanup(func() { h3.Close() })
		for proto, transport := range map[string]http.RoundTripper{"HTTP/2.0": site.client().Transport, "HTTP/3.0": h3} {
			for _, line := range []struct{ method, path, authorization, origin string }{
				{"POST", "/mcp", "", ""},
				{"POST", "/mcp", "Bearer bad", ""},
				{"POST", "/mcp", "Bearer", ""},
				{"POST", "/mcp", "", "https://evil.example"},
				{"PUT", "/mcp", "", ""},
				{"PUT", "/oauth/register", "", ""},
			} {
				if (line.path != "/mcp") != (site == server) {
					continue
				}
				body, never := io.Pipe()
				req, err := http.NewRequestWithContext(t.Context(), line.method, site.URL+line.path, body)
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = 100_000
				req.Header.Set("Content-Type", "application/json")
				if line.authorization != "" {
					req.Header.Set("Authorization", line.authorization)
				}
				if line.origin != "" {
					req.Header.Set("Origin", line.origin)
				}
				resp, err := (&http.Client{Transport: transport, Timeout: testkit.Patience / 6}).Do(req)
				if err != nil {
					t.Errorf("%s %+v: no answer: %v", proto, line, err)
				} else {
					if resp.StatusCode < 400 || resp.StatusCode > 499 || resp.Proto != proto {
						t.Errorf("%s %+v: got %s %s, want a refusal", proto, line, resp.Proto, resp.Status)
					}
					resp.Body.Close()
				}
				never.Close()
			}
		}
	}
}
