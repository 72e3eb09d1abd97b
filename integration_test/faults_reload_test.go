package integration_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// Caddy validates, starts and reloads without its issuers, who are asked nothing
// for that; when they come, everything works.
func TestIssuersDownAtStart(t *testing.T) {
	t.Parallel()
	c := newCaddy(t)
	var doors []door
	for i, k := range kinds {
		d := newDoor(c, k, "/door0"+strconv.Itoa(i))
		d.issuer.SetFault(oauthtest.Any, oauthtest.Close())
		doors = append(doors, d)
	}
	// One whose address nobody listens on at all.
	gone := "mcp_auth /gone* SITE/gone {\nissuer http://127.0.0.1:" + strconv.Itoa(testkit.FreePort(t)) + " {\njwt\nuserinfo\n}\n}\n"
	site := gone + siteOf(doors)

	validate := exec.Command(caddyBinary, "validate", "--adapter", "caddyfile", "--config", c.write(c.caddyfile(site)))
	validate.Env = append(os.Environ(), "XDG_DATA_HOME="+c.dir, "XDG_CONFIG_HOME="+c.dir)
	if out, err := validate.CombinedOutput(); err != nil {
		t.Errorf("caddy validate: %v\n%s", err, out)
	}
	c.start(c.caddyfile(site))
	c.reload(site)
	for _, d := range doors {
		if n := d.issuer.Count(oauthtest.Any); n != 0 {
			t.Errorf("%s: validating, starting and reloading asked the issuer %d times", d.name, n)
		}
	}
	if got := c.do("POST", "/gone", "", "Authorization", "Bearer opaque"); got.status != 503 {
		t.Errorf("an issuer that isn't there: got %d, want 503", got.status)
	}
	tokens := make([]string, len(doors))
	for i, d := range doors {
		tokens[i] = d.token(nil)
		d.check(t, d.name+", down", d.try(tokens[i]), 503)
	}
	c.reload(site)
	for i, d := range doors {
		d.check(t, d.name+", down, after a reload", d.try(tokens[i]), 503)
		d.issuer.SetFault(oauthtest.Any, nil)
		d.eventually(t, d.name+", there", tokens[i], 200)
	}
}

// The issuer is served by this very Caddy: it starts, reloads, and judges.
func TestIssuerBehindThisCaddy(t *testing.T) {
	t.Parallel()
	c := newCaddy(t)
	front := "http://localhost:" + strconv.Itoa(testkit.FreePort(t))
	issuer := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256", Metadata: map[string]any{
		"issuer":            front,
		"jwks_uri":          front + "/jwks",
		"userinfo_endpoint": front + "/userinfo",
	}})
	paths := make(map[string]string)
	for name, endpoint := range map[string]oauthtest.Endpoint{"/jwks": oauthtest.JWKS, "/userinfo": oauthtest.Userinfo} {
		paths[name] = strings.TrimPrefix(issuer.Endpoint(endpoint), issuer.URL)
	}
	site := front + " {\nrewrite /jwks " + paths["/jwks"] + "\nrewrite /userinfo " + paths["/userinfo"] +
		"\nreverse_proxy " + strings.TrimPrefix(issuer.URL, "http://") + "\n}\n---\n" +
		"mcp_auth SITE/mcp {\nissuer " + front + " {\njwt\nuserinfo\n}\n}\nrespond in\n"
	c.start(c.caddyfile(site))
	d := door{c, jwtKind, issuer, "/mcp"}
	claims := map[string]any{"iss": front, "aud": c.URL + "/mcp"}
	signed, opaque := issuer.Mint(claims), issuer.Opaque(nil)
	d.check(t, "a JWT", d.try(signed), 200)
	d.check(t, "an opaque token", d.try(opaque), 200)
	d.check(t, "a bad token", d.try("bad"), 401)

	issuer.ForgetRequests()
	c.reload(site)
	d.check(t, "a JWT after a reload", d.try(signed), 200)
	d.check(t, "a new JWT after a reload", d.try(issuer.Mint(claims)), 200)
	d.check(t, "an opaque token after a reload", d.try(opaque), 200)
	if n := issuer.Count(oauthtest.Any); n != 0 {
		t.Errorf("the reload made %d requests to the issuer, want none", n)
	}
	issuer.Rotate(false)
	d.eventually(t, "a new key", issuer.Mint(claims), 200)
}

// A reload asks the issuers nothing about what is known, good or bad, also while
// they are down.
func TestReloadAsksNothing(t *testing.T) {
	t.Parallel()
	c, doors := startDoors(t, kinds...)
	tokens := make([]string, len(doors))
	for i, d := range doors {
		tokens[i] = d.token(nil)
		d.check(t, d.name, d.try(tokens[i]), 200)
		d.check(t, d.name+", bad", d.try("bad"), 401)
		d.issuer.ForgetRequests()
		d.issuer.SetFault(oauthtest.Any, oauthtest.Close())
	}
	for _, options := range []string{"", "scope_implies a b\n", "forward_token\n"} {
		c.reload(strings.ReplaceAll(siteOf(doors), "issuer ", options+"issuer "))
		for i, d := range doors {
			d.check(t, d.name+", reloaded", d.try(tokens[i]), 200)
			if !d.opaque {
				d.check(t, d.name+", reloaded, a new token", d.try(d.token(nil)), 200)
			}
		}
	}
	for _, d := range doors {
		if n := d.issuer.Count(oauthtest.Any); n != 0 {
			t.Errorf("%s: three reloads made %d requests to the issuer, want none", d.name, n)
		}
	}
}

// askAdmin sends a request to Caddy's admin endpoint.
func (c *caddyServer) askAdmin(method, path, body string) (int, string) {
	c.t.Helper()
	req, err := http.NewRequest(method, "http://"+c.admin+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// What is revoked stops working when the door is told so, on the real admin
// endpoint; who isn't meant notices nothing.
func TestForgetRevokedToken(t *testing.T) {
	t.Parallel()
	c, doors := startDoors(t, userinfoKind, introspectionKind)
	for _, d := range doors {
		var tokens []string
		for _, user := range []string{"ada", "ada", "bob", "eve"} {
			token := d.token(map[string]any{"sub": user})
			d.check(t, "before", d.try(token), 200)
			tokens = append(tokens, token)
		}
		for _, token := range tokens {
			d.issuer.Revoke(token)
		}
		hash := sha256.Sum256([]byte(tokens[3]))
		for i, step := range []struct {
			request, answer string
			want            [4]int
		}{
			{`{}`, "", [4]int{200, 200, 200, 200}},
			{`{"token":"` + tokens[0] + `"}`, "", [4]int{200, 200, 200, 200}},
			{`{"token_sha256":"` + hex.EncodeToString(hash[:]) + `"}`, `{"forgotten":1}`, [4]int{200, 200, 200, 401}},
			{`{"issuer":"` + d.issuer.Issuer() + `","subject":"ada"}`, `{"forgotten":2}`, [4]int{401, 401, 200, 401}},
			{`{"issuer":"` + d.issuer.Issuer() + `"}`, `{"forgotten":4}`, [4]int{401, 401, 401, 401}},
		} {
			status, body := c.askAdmin("POST", "/mcp_auth/forget", step.request)
			if step.answer == "" {
				if status != 400 || strings.Contains(body, tokens[0]) {
					t.Errorf("%s, step %d: got %d %q, want 400 without the token", d.name, i, status, body)
				}
			} else if status != 200 || body != step.answer {
				t.Errorf("%s, step %d: got %d %q, want 200 %s", d.name, i, status, body, step.answer)
			}
			for n, token := range tokens {
				d.check(t, d.name+", step "+strconv.Itoa(i)+", token "+strconv.Itoa(n), d.try(token), step.want[n])
			}
		}
		if c.log.contains(tokens[0]) {
			t.Error("a token is in the log")
		}
	}
	if status, _ := c.askAdmin("GET", "/mcp_auth/forget", ""); status != 405 {
		t.Errorf("GET: got %d, want 405", status)
	}
}
