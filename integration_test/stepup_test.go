package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// demanding is frontDoor with one more scope.
var demanding = strings.Replace(frontDoor, "scopes mcp:tools", "scopes mcp:tools mcp:write", 1)

// After a reload that demands one more scope the next call gets 403, the client
// asks its user for the scope, and succeeds.
func TestStepUp(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
	}{
		{"TypeScript SDK v1", []string{"client-v1.mjs"}},
		{"TypeScript SDK v2 legacy", []string{"client-v2.mjs", "--era", "legacy"}},
		{"TypeScript SDK v2 modern", []string{"client-v2.mjs", "--era", "modern"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, as := signInServers(t, frontDoor, "mcp:tools", "mcp:write")
			client := startREPL(t, c, append(test.args, c.URL+"/mcp")...)

			first := client.next()
			if got := strings.Fields(first.Scope); len(got) == 0 || slices.Contains(got, "mcp:write") {
				t.Fatalf("at first the scope is %q, want mcp:tools without mcp:write", first.Scope)
			}
			c.reload(withIssuer(demanding, as))
			second := client.call()
			if second.Error != nil {
				t.Fatalf("after the reload the call failed: %s", second.Error)
			}
			if got := strings.Fields(second.Scope); !slices.Contains(got, "mcp:tools") || !slices.Contains(got, "mcp:write") {
				t.Errorf("then the scope is %q, want mcp:tools and mcp:write", second.Scope)
			}
			if second.Authorizations != first.Authorizations+1 {
				t.Errorf("the user was asked %d more times, want once", second.Authorizations-first.Authorizations)
			}
			if who := toolText(t, second.Result); who["sub"] != "ada" {
				t.Errorf("whoami says %v, want sub ada", who)
			}
			c.logs(`"mcp_auth_refusal":"insufficient_scope"`)
		})
	}
	for name, args := range map[string][]string{
		"TypeScript SDK v2 at the embedded server": {"client-v2.mjs", "--era", "modern"},
		// It answers the refusal by a refresh at the old scope, which has to fail.
		"TypeScript SDK v1 at the embedded server": {"client-v1.mjs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needNode(t)
			c := startEmbedded(t, embedded)
			client := startREPL(t, c, append(args, c.URL+"/mcp")...)
			if first := client.next(); slices.Contains(strings.Fields(first.Scope), "mcp:admin") {
				t.Fatalf("at first the scope is %q", first.Scope)
			}
			c.reload(strings.NewReplacer("CAFILE", c.CA, "scopes mcp:tools\n", "scopes mcp:tools mcp:admin\n").Replace(embedded))
			second := client.call()
			if got := strings.Fields(second.Scope); second.Error != nil || !slices.Contains(got, "mcp:admin") || second.Authorizations != 2 {
				t.Errorf("then the scope is %q, asked %d times, %s; want mcp:admin and twice", second.Scope, second.Authorizations, second.Error)
			}
		})
	}
	t.Run("Go SDK", func(t *testing.T) {
		t.Parallel()
		c, as := signInServers(t, frontDoor, "mcp:tools", "mcp:write")
		g := connectGoClient(t, c, c.URL+"/mcp")
		if who, err := g.whoami(); err != nil || who["scope"] != "mcp:tools" {
			t.Fatalf("at first whoami says %v, %v, want scope mcp:tools", who, err)
		}
		c.reload(withIssuer(demanding, as))
		who, err := g.whoami()
		if err != nil {
			t.Fatalf("after the reload: %v", err)
		}
		if scope, _ := who["scope"].(string); !slices.Contains(strings.Fields(scope), "mcp:write") {
			t.Errorf("then the scope is %q, want mcp:write in it", scope)
		}
		if n := g.authorizations.Load(); n != 2 {
			t.Errorf("the user was asked %d times, want twice", n)
		}
	})
}

// repl is a client that stays and calls its tool when told to.
type repl struct {
	t     *testing.T
	stdin io.Writer
	lines *bufio.Scanner
	cmd   *exec.Cmd
}

func startREPL(t *testing.T, c *caddyServer, args ...string) *repl {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	cmd := node(ctx, c.CA, args[0], append(args[1:], "--repl")...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cancel()
		_ = cmd.Wait()
	})
	return &repl{t: t, stdin: stdin, lines: bufio.NewScanner(stdout), cmd: cmd}
}

// next returns the client's next line.
func (r *repl) next() clientLine {
	r.t.Helper()
	if !r.lines.Scan() {
		r.t.Fatalf("the client ended: %v", r.lines.Err())
	}
	var line clientLine
	if err := json.Unmarshal(r.lines.Bytes(), &line); err != nil {
		r.t.Fatalf("%v: %s", err, r.lines.Text())
	}
	return line
}

// call has the client call its tool once more.
func (r *repl) call() clientLine {
	r.t.Helper()
	if _, err := io.WriteString(r.stdin, "call\n"); err != nil {
		r.t.Fatal(err)
	}
	return r.next()
}
