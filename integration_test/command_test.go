package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// command runs `caddy mcp-auth` and returns its exit code, stdout and stderr.
func (c *caddyServer) command(stdin string, args ...string) (code int, stdout, stderr string) {
	c.t.Helper()
	cmd := exec.Command(caddyBinary, append([]string{"mcp-auth"}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+c.dir, "XDG_CONFIG_HOME="+c.dir)
	cmd.Env = append(cmd.Env, c.env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	c.t.Logf("caddy mcp-auth %s: %d\n%s%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), out.String(), log.String())
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

func TestCheckCommand(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(whoamiSite))

	code, out, _ := c.command("", "check", c.URL+"/mcp", "--ca", c.CA)
	// The fake issuer knows nothing of CORS; nothing else is amiss.
	if code != 0 || strings.Contains(out, "FAIL") || !strings.Contains(out, "it works, with ") {
		t.Errorf("got %d, want 0 and warnings only", code)
	}
	for _, want := range []string{"POST without token", "preflight", "PKCE", "registration", f.Issuer()} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q", want)
		}
	}

	// Without the root certificate it goes as it goes for a client.
	if code, out, _ := c.command("", "check", c.URL+"/mcp"); code != 1 || !strings.Contains(out, "--ca") {
		t.Errorf("got %d, want 1 and the cure", code)
	}
	if code, _, _ := c.command("", "check", c.URL+"/", "--ca", c.CA); code != 1 {
		t.Errorf("something unprotected: got %d, want 1", code)
	}
	if code, _, stderr := c.command("", "check"); code != 2 || stderr == "" {
		t.Errorf("no URL: got %d and %q, want 2 and a reason", code, stderr)
	}

	f.SetFault(oauthtest.Metadata, oauthtest.Rewrite(map[string]any{"code_challenge_methods_supported": oauthtest.Absent}))
	code, out, _ = c.command("", "check", "--json", f.Issuer())
	var report struct {
		Kind     string
		Failures int
		Findings []struct{ Code, Level, Cure string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if code != 1 || report.Kind != "issuer" || report.Failures != 1 || !strings.Contains(out, "pkce_not_supported") {
		t.Errorf("an issuer without PKCE: got %d and %+v", code, report)
	}
}

func TestExplainCommand(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(whoamiSite))
	config := filepath.Join(c.dir, "Caddyfile")

	for _, test := range []struct {
		name, token string
		code        int
		want        []string
	}{
		{"good", f.token(c, nil), 0, []string{"accepted", `"user-1"`, "expires in "}},
		{"expired", f.token(c, map[string]any{"exp": 1}), 1, []string{"FAIL  jwt: exp", " ago", "401 invalid_token"}},
		{"foreign", startFakeIssuer(t).token(c, nil), 1, []string{"FAIL  issuer", "not configured", "401 invalid_token"}},
		{"without the scope", f.token(c, map[string]any{"scope": "write"}), 1, []string{"FAIL  scopes", "missing read", "403 insufficient_scope"}},
	} {
		code, out, log := c.command(test.token+"\n", "explain", "--config", config)
		if code != test.code {
			t.Errorf("%s: got exit code %d, want %d", test.name, code, test.code)
		}
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: the output lacks %q", test.name, want)
			}
		}
		for part := range strings.SplitSeq(test.token, ".") {
			if strings.Contains(out+log, part) {
				t.Errorf("%s: a part of the token is in the output", test.name)
			}
		}
	}
	f.SetFault(oauthtest.Any, oauthtest.Status(500))
	if code, out, _ := c.command(f.token(c, nil), "explain", "--config", config); code != 3 || !strings.Contains(out, "503") {
		t.Errorf("issuer broken: got exit code %d, want 3", code)
	}
}

// What MCP clients will trip over is logged once: not for each token, nor for
// each configuration.
func TestConfigCheckIsLoggedOnce(t *testing.T) {
	t.Parallel()
	f := fakeIssuer{oauthtest.New(t, oauthtest.Options{Metadata: map[string]any{
		"code_challenge_methods_supported": oauthtest.Absent,
		"registration_endpoint":            oauthtest.Absent,
	}})}
	c := startCaddy(t, f.fill(whoamiSite))
	ask := func() {
		t.Helper()
		if got := c.do("POST", "/mcp", "{}", "Authorization", "Bearer "+f.token(c, nil)); got.status == 401 || got.status == 503 {
			t.Errorf("got %d for a good token", got.status)
		}
	}
	if c.log.contains("pkce_not_supported") {
		t.Error("the issuer was asked before there was a token")
	}
	ask()
	ask()
	c.reload(f.fill(whoamiSite) + "\n\theader X-Changed yes\n")
	ask()
	for code, level := range map[string]string{"pkce_not_supported": `"level":"error"`, "dynamic_registration_not_supported": `"level":"warn"`} {
		n := 0
		for line := range strings.SplitSeq(c.log.String(), "\n") {
			if strings.Contains(line, `"`+code+`"`) {
				n++
				if !strings.Contains(line, level) || !strings.Contains(line, `"cure":"`) || !strings.Contains(line, f.Issuer()) {
					t.Errorf("got %s, want %s, the issuer and a cure", line, level)
				}
			}
		}
		if n != 1 {
			t.Errorf("%s is logged %d times, want once", code, n)
		}
	}
}
