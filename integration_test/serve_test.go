package integration_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// hashOfDemo is the hash of demo-password.
const hashOfDemo = "$2a$14$p1tvdUoc7NlFIDM9FVJMeOdvJbxdWGxcmJFAG8QsfDbxUa6pSNH.S"

// What the command prints is what it would run, before a server that has no idea
// of OAuth.
func TestServeCommandPrints(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("hello " + r.Header.Get("X-User") + r.Header.Get("Authorization")))
	}))
	t.Cleanup(behind.Close)
	c := newCaddy(t)
	c.env = []string{"MCP_AUTH_PASSWORD_HASH=" + hashOfDemo}
	code, text, stderr := c.command("", "serve", "--from", c.Host, "--to", behind.Listener.Addr().String(), "--user", "ada", "--print")
	if code != 0 || !strings.Contains(text, "ada "+hashOfDemo+"\n") || stderr != "" {
		t.Fatalf("got %d, %q and %q, want a Caddyfile with the hash", code, text, stderr)
	}
	c.start(text)
	tokens := c.register(t, callback).signIn(c.person(t), "ada")
	if got := c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+tokens.Access, "X-User", "eve"); got.body != "hello ada" {
		t.Errorf("the server behind was told %d %q, want ada", got.status, got.body)
	}
	if got := c.do("POST", "/mcp", initialize, "X-User", "eve"); got.status != 401 {
		t.Errorf("without a token: got %d, want 401", got.status)
	}
}

// A password that nobody would see isn't made, and secrets don't come by argument.
func TestServeCommandRefuses(t *testing.T) {
	t.Parallel()
	c := newCaddy(t)
	for _, test := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"no terminal", nil, nil, "caddy hash-password"},
		{"no terminal, printing", nil, []string{"--print"}, "caddy hash-password"},
		{"a password for a hash", []string{"MCP_AUTH_PASSWORD_HASH=correct horse"}, nil, "is not a hash"},
		{"the secret of GitHub is missing", nil, []string{"--github-org", "acme", "--github-client-id", "x"}, "client_secret"},
		{"a server with a path", nil, []string{"--to", "http://127.0.0.1:3000/mcp"}, "path in --from"},
		{"an argument", nil, []string{"127.0.0.1:3000"}, "unknown command"},
	} {
		c.env = test.env
		code, stdout, stderr := c.command("", append([]string{"serve", "--from", c.Host}, test.args...)...)
		if code == 0 || stdout != "" || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: got %d, %q, %q, want an error with %q", test.name, code, stdout, stderr, test.want)
		}
		if strings.Contains(stderr, "correct horse") {
			t.Errorf("%s: the password is echoed", test.name)
		}
	}
}
