package storage

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// holdEnv has the test's program hold a lock on the storage that it names, until
// it is killed or its input ends.
const holdEnv = "MCP_AUTH_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		_, err := New(&certmagic.FileStorage{Path: dir}, "mcp_auth_server", lockIssuer).Lock(context.Background(), "grants/a")
		if err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("held\n")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const lockIssuer = "https://mcp.example.com"

// hold starts another process that holds the lock, and returns when it does.
func hold(t *testing.T, dir string) (kill func()) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	if _, err := cmd.StdinPipe(); err != nil { // which ends with this process
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	t.Cleanup(kill)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return kill
}

// The lock of a process that was killed is free, also for a process that has held
// the lock itself just before.
func TestLockOfKilledProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := New(&certmagic.FileStorage{Path: dir}, "mcp_auth_server", lockIssuer)
	for range 3 {
		unlock, err := r.Lock(t.Context(), "grants/a")
		if err != nil {
			t.Fatal(err)
		}
		unlock()
		kill := hold(t, dir)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.Lock(ended, "grants/a"); !errors.Is(err, context.Canceled) {
			t.Fatalf("while the other process holds it: got %v", err)
		}
		kill()
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		unlock, err = r.Lock(ctx, "grants/a")
		cancel()
		if err != nil {
			t.Fatalf("after the other process was killed: %v", err)
		}
		unlock()
	}
}

// Of many that want one lock of a file, through locks that don't know of each
// other, one has it.
func TestLockFileExcludes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var holders, most atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				unlock, err := lockFile(t.Context(), dir, "a")
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n > 1 {
					most.Store(n)
				}
				holders.Add(-1)
				unlock()
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 1 {
		t.Errorf("%d hold one lock", n)
	}
}
