package integration_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// storageUnderTest is where Caddys of a test keep what they share.
type storageUnderTest struct {
	// binary is a Caddy that has the storage's module.
	binary string
	// redis is nil for the file system.
	redis *redisServer
}

// onStorages runs a test on each storage that the manual names.
func onStorages(t *testing.T, test func(*testing.T, *storageUnderTest)) {
	t.Parallel()
	t.Run("file system", func(t *testing.T) {
		t.Parallel()
		test(t, &storageUnderTest{binary: caddyBinary})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, startRedis(t))
	})
}

// start runs a Caddy with the site and an authorization server on the storage.
func (st *storageUnderTest) start(t *testing.T, site string) *caddyServer {
	t.Helper()
	// The first Caddy of a folder makes its certificate authority there.
	c := startCaddy(t, "respond 503")
	site = strings.ReplaceAll(site, "CAFILE", c.CA)
	if st.redis == nil {
		c.reload(site)
		return c
	}
	c.kill()
	c.binary = st.binary
	c.global = fmt.Sprintf(`	storage redis {
		host 127.0.0.1
		port %d
		timeout 5
	}
	pki {
		ca local {
			root {
				cert %q
				key %q
			}
		}
	}
`, st.redis.port, c.CA, filepath.Join(filepath.Dir(c.CA), "root.key"))
	c.start(c.caddyfile(site))
	return c
}

// startTwo runs two Caddys that are one authorization server: as behind a load
// balancer, the issuer and the resource are the first one's.
func (st *storageUnderTest) startTwo(t *testing.T, site string) (one, two *caddyServer) {
	t.Helper()
	one = st.start(t, site)
	two = newCaddy(t)
	two.dir, two.CA, two.binary, two.global = one.dir, one.CA, one.binary, one.global
	two.start(two.caddyfile(strings.ReplaceAll(strings.ReplaceAll(site, "CAFILE", one.CA), "SITE", one.URL)))
	return one, two
}

// redisServer is a Redis that keeps what it has said it has.
type redisServer struct {
	t    *testing.T
	port int
	dir  string
	cmd  *exec.Cmd
	log  logBuffer
}

func startRedis(t *testing.T) *storageUnderTest {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		skip(t, "redis-server (Debian)")
	}
	binary, err := redisCaddy()
	if err != nil {
		t.Fatalf("building a Caddy with its Redis module: %v", err)
	}
	r := &redisServer{t: t, port: testkit.FreePort(t), dir: t.TempDir()}
	t.Cleanup(r.stop)
	r.start()
	return &storageUnderTest{binary: binary, redis: r}
}

func (r *redisServer) start() {
	r.t.Helper()
	r.cmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(r.port), "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no")
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	testkit.Eventually(r.t, "an answer of Redis", r.answers)
}

func (r *redisServer) answers() bool {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)))
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte("PING\r\n"))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.HasPrefix(line, "+PONG")
}

// stop kills Redis in the middle of what it does.
func (r *redisServer) stop() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

// redisModule is the storage that the manual names.
const redisModule = "github.com/pberkel/caddy-storage-redis@v1.8.1"

// redisDir is where a Caddy with the Redis module is built.
var redisDir string

// redisCaddy builds, once, the Caddy under test with the Redis module beside it. It
// is a program of its own, so that nobody else needs the module.
var redisCaddy = sync.OnceValues(func() (string, error) {
	checkout, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(redisDir, 0o700); err != nil {
		return "", err
	}
	path, _, _ := strings.Cut(redisModule, "@")
	main := fmt.Sprintf("package main\n\nimport (\n\tcaddycmd \"github.com/caddyserver/caddy/v2/cmd\"\n\t_ \"github.com/caddyserver/caddy/v2/modules/standard\"\n\t_ %q\n\n\t_ %q\n)\n\nfunc main() { caddycmd.Main() }\n", path, module)
	if err := os.WriteFile(filepath.Join(redisDir, "main.go"), []byte(main), 0o600); err != nil {
		return "", err
	}
	binary := filepath.Join(redisDir, filepath.Base(caddyBinary))
	for _, args := range [][]string{
		{"mod", "init", "caddy"},
		{"mod", "edit", "-replace", module + "=" + checkout, "-require", module + "@v0.0.0", "-require", redisModule},
		append(append([]string{"build", "-mod=mod"}, buildFlags...), "-o", binary, "."),
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = redisDir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return binary, nil
})
