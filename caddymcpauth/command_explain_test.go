package caddymcpauth_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// explain runs the command with a Caddyfile. Loading one sets Caddy's globals.
func explain(t testing.TB, site, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	return command(t, stdin, append([]string{"explain", "--config", file}, args...)...)
}

func TestExplainCommand(t *testing.T) {
	t.Parallel()
	issuer, other := newIssuer(t), newIssuer(t)
	hash := "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"
	site := "http://mcp.example.com {\n" + frontDoor(issuer.Issuer()+" {\njwt\nuserinfo\nstatic {\nkey ci "+hash+" read\n}\n}", "scopes read") + "\n}\n"
	for _, tc := range []struct {
		name, stdin string
		code        int
		want        []string
	}{
		{"good", issuer.Mint(nil), 0, []string{"ok    jwt: signature\n", `accepted: the request goes on, for user "user-1"`}},
		{"as a header", "authorization: bearer " + issuer.Mint(nil) + "\r\n", 0, []string{"accepted"}},
		{"expired", issuer.Mint(map[string]any{"exp": 1}), 1, []string{"FAIL  jwt: exp            expired ", "-     jwt: signature", `401 invalid_token: The access token has expired.`}},
		{"audience", issuer.Mint(map[string]any{"aud": "https://secret.example.com"}), 1, []string{"FAIL  jwt: aud", "another resource"}},
		{"foreign", other.Mint(nil), 1, []string{"FAIL  issuer", `"` + other.Issuer() + `"`, "configured are"}},
		{"scope", issuer.Mint(map[string]any{"scope": "write"}), 1, []string{`FAIL  scopes              missing read; granted "write"`, "403 insufficient_scope"}},
		{"terminal", issuer.Mint(map[string]any{"iss": "https://\x1b[2J"}), 1, []string{`\x1b[2J`}},
		{"opaque", issuer.Opaque(nil), 1, []string{"ok    form                opaque", "FAIL  static", "ok    userinfo", "FAIL  scopes"}},
		{"opaque, of nobody", "abcdefghijklmnop", 1, []string{"FAIL  userinfo            inactive"}},
		{"a key", "test", 0, []string{"ok    static", `for user "ci"`}},
		{"encrypted", "eyJhbGciOiJkaXIifQ.YWJj.YWJj.YWJj.YWJj", 1, []string{"JWE"}},
		{"two tokens", "abc, def", 1, []string{"FAIL  form", "400 invalid_request"}},
	} {
		code, out, stderr := explain(t, site, tc.stdin)
		if code != tc.code {
			t.Errorf("%s: got exit code %d, want %d; %s", tc.name, code, tc.code, stderr)
		}
		for _, want := range tc.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: got\n%s\nwant in it %q", tc.name, out, want)
			}
		}
		for _, secret := range append(strings.Split(tc.stdin, "."), "secret", "\x1b") {
			if len(secret) > 10 && strings.Contains(out+stderr, secret) {
				t.Errorf("%s: %q is in the output", tc.name, secret)
			}
		}
	}
	issuer.SetFault(oauthtest.Any, oauthtest.Status(500))
	code, out, _ := explain(t, site, issuer.Mint(nil))
	if code != 3 || !strings.Contains(out, "?     jwt: key") || !strings.Contains(out, "could not find out: the client gets 503") {
		t.Errorf("issuer broken: got %d and\n%s", code, out)
	}
}

// Several front doors each have their say.
func TestExplainCommandSeveral(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	site := ""
	for _, host := range []string{"mcp", "other"} {
		site += "http://" + host + ".example.com, http://" + host + ".example.net {\nroute {\nmcp_auth https://" + host + ".example.com/mcp {\nissuer " + issuer.Issuer() + "\n}\n}\n}\n"
	}
	raw := issuer.Mint(nil)
	code, out, _ := explain(t, site, raw)
	if code != 0 || strings.Count(out, "MCP server ") != 2 || strings.Count(out, "accepted") != 1 || strings.Count(out, "refused") != 1 {
		t.Errorf("both: got %d and\n%s", code, out)
	}
	code, out, _ = explain(t, site, raw, "--resource", "https://OTHER.example.com/mcp/")
	if code != 1 || strings.Count(out, "MCP server ") != 1 {
		t.Errorf("one: got %d and\n%s", code, out)
	}
}

func TestExplainCommandUsage(t *testing.T) {
	t.Parallel()
	good := "http://mcp.example.com {\n" + frontDoor("https://as.example.com", "") + "\n}\n"
	for _, tc := range []struct {
		name, site, stdin string
		args              []string
		want              string
	}{
		{"no token", good, " \n", nil, "no token on stdin"},
		{"no mcp_auth", "http://mcp.example.com\n", "x", nil, "the configuration has no mcp_auth"},
		{"no such resource", good, "x", []string{"--resource", "https://x.example.com"}, "only for"},
		{"not a Caddyfile", "}", "x", nil, "adapting config"},
		{"refused at provision", strings.Replace(good, "https://as", "http://as", 1), "x", nil, "issuer: not https"},
		{
			"metadata at the resource itself", strings.Replace(good, testResource, "https://mcp.example.com/.well-known/oauth-protected-resource", 1),
			"x", nil, "give the resource another path",
		},
		{"an argument", good, "x", []string{"token"}, "unknown command"},
		{"config from stdin", good, "x", []string{"--config", "-"}, "that is for the token"},
	} {
		code, out, stderr := explain(t, tc.site, tc.stdin, tc.args...)
		if code != 2 || out != "" || !strings.Contains(stderr, tc.want) {
			t.Errorf("%s: got %d, %q and %q, want 2, nothing and %q", tc.name, code, out, stderr, tc.want)
		}
	}
}

// What is wrong comes with what to do about it.
func TestExplainCures(t *testing.T) {
	t.Parallel()
	issuer, other := newIssuer(t), newIssuer(t)
	site := "http://mcp.example.com {\n" + frontDoor(issuer.Issuer(), "scopes read") + "\n}\n"
	for _, tc := range []struct{ name, stdin, detail, cure string }{
		{"audience", issuer.Mint(map[string]any{"aud": "https://other.example.com"}), `but "https://other.example.com"`, "put " + testResource + " into aud"},
		{"audiences", issuer.Mint(map[string]any{"aud": []string{"account", "a\nb"}}), `but "account", "a\nb"`, "`audience` in the block of the issuer"},
		{"no audience", issuer.Mint(map[string]any{"aud": nil}), "the token has none", "into aud"},
		{"expired", issuer.Mint(map[string]any{"exp": 1}), "expired", "set the clocks"},
		{"clock ahead", issuer.Mint(map[string]any{"iat": 1 << 33}), "iat is", "set the clocks of this machine and of the authorization server"},
		{"not yet", issuer.Mint(map[string]any{"nbf": 1 << 33}), "nbf is", "leeway"},
		{"issuer", other.Mint(nil), "not configured", "slash at the end included"},
		{"signature", issuer.Mint(nil)[:40] + "x", "", "->"},
		{"scope", issuer.Mint(map[string]any{"scope": "write"}), "missing read", "take it out of `scopes`"},
		{"opaque", "abcdefghijkl", "no verifier takes opaque tokens", "introspection or userinfo"},
		{"quoted", `"abc"`, "characters", "without quotes"},
	} {
		_, out, stderr := explain(t, site, tc.stdin)
		if !strings.Contains(out, tc.detail) || !strings.Contains(out, tc.cure) && tc.name != "signature" {
			t.Errorf("%s: got\n%s%s\nwant in it %q and %q", tc.name, out, stderr, tc.detail, tc.cure)
		}
	}
}

// What the command can't check, because it has the token alone, it says.
func TestExplainSender(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	p := issuer.NewProver("ES256")
	_, sum := clientCertificate(t)
	key, certificate := issuer.Mint(p.Bound()), issuer.Mint(map[string]any{"cnf": map[string]any{"x5t#S256": sum}})
	for _, tc := range []struct {
		name, options, stdin string
		code                 int
		want                 []string
	}{
		{"a key, accepted", "dpop accepted", key, 0, []string{"?     sender              bound to a key: each request needs a DPoP proof of it, which can't be checked here", "ok    scopes", "accepted"}},
		{"a key, as a header", "dpop accepted", "Authorization: DPoP " + key, 0, []string{"?     sender"}},
		{"a key, required", "dpop required", key, 0, []string{"?     sender"}},
		{"a key, off", "", key, 1, []string{"FAIL  sender              bound to a key, but dpop is off", "-> set `dpop accepted`", "401 invalid_token"}},
		{"no key, required", "dpop required", issuer.Mint(nil), 1, []string{"FAIL  sender              not bound to a key", "401 invalid_token"}},
		{"no key, accepted", "dpop accepted", issuer.Mint(nil), 0, []string{"ok    scopes"}},
		{"a certificate, accepted", "client_certificates", certificate, 0, []string{"?     sender              bound to a client certificate, which can't be checked here"}},
		{"a certificate, not accepted", "", certificate, 1, []string{"FAIL  sender", "-> set `client_certificates`"}},
		{"something else", "dpop accepted", issuer.Mint(map[string]any{"cnf": map[string]any{"kid": "1"}}), 1, []string{"FAIL  jwt: cnf", "have the client ask for another"}},
	} {
		code, out, stderr := explain(t, "http://mcp.example.com {\n"+frontDoor(issuer.Issuer(), tc.options)+"\n}\n", tc.stdin)
		if code != tc.code {
			t.Errorf("%s: got exit code %d, want %d; %s", tc.name, code, tc.code, stderr)
		}
		for _, want := range tc.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: got\n%s\nwant in it %q", tc.name, out, want)
			}
		}
	}
}

func TestExplainJSON(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	site := "http://mcp.example.com {\n" + frontDoor(issuer.Issuer(), "scopes read") + "\n}\n"
	for _, tc := range []struct {
		name, token string
		code        int
		status      int
		subject     string
	}{
		{"accepted", issuer.Mint(nil), 0, 200, "user-1"},
		{"refused", issuer.Mint(map[string]any{"aud": "x"}), 1, 401, ""},
	} {
		code, out, _ := explain(t, site, tc.token, "--json")
		var got []struct {
			Resource string
			Status   int
			Subject  string
			Steps    []struct{ Rule, Outcome, Detail, Cure string }
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 {
			t.Fatalf("%s: got %v and %s", tc.name, err, out)
		}
		if code != tc.code || got[0].Resource != testResource || got[0].Status != tc.status || got[0].Subject != tc.subject || len(got[0].Steps) < 5 {
			t.Errorf("%s: got %d and %+v", tc.name, code, got[0])
		}
		for _, s := range got[0].Steps {
			if s.Outcome == "FAIL" && s.Cure == "" {
				t.Errorf("%s: %+v has no cure", tc.name, s)
			}
		}
	}
}

// A good token that a second door would refuse isn't called accepted.
func TestExplainOverlap(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	site := "http://mcp.example.com {\nmcp_auth /mcp* " + testResource + " {\nissuer " + issuer.Issuer() + "\n}\nmcp_auth https://mcp.example.com {\nissuer " + issuer.Issuer() + "\n}\nrespond ok\n}\n"
	code, out, stderr := explain(t, site, issuer.Mint(nil))
	if code != 1 || !strings.Contains(out, "FAIL  layout") || strings.Contains(out, "accepted") {
		t.Errorf("got %d and\n%s%s", code, out, stderr)
	}
}
