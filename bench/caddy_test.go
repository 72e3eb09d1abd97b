//go:build bench

package bench

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

const (
	// rounds is how often bare proxy and front door take turns.
	rounds = 3
	// roundTime is how long each has a turn.
	roundTime = 2 * time.Second
	// connections is how many clients ask at a time.
	connections = 8
)

// kind is a kind of token, with its own issuer and its own path in Caddy.
type kind struct {
	name   string
	issuer *oauthtest.Server
	mint   func(aud string) string
	sizes  []int
	// goals are those for CPU per request.
	goals []string
}

// measureCaddy compares requests through the front door with the same requests
// through a bare reverse_proxy of the same Caddy.
func measureCaddy(t *testing.T, results *table) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	defer behind.Close()
	kinds := []*kind{newKind(t, "RS256", false), newKind(t, "ES256", false), newKind(t, "opaque", true)}
	kinds[0].sizes, kinds[0].goals = []int{10, 10_000}, []string{"<= 1.05 x", "<= 1.08 x"}
	if os.Getenv("BENCH_FULL") != "" { // minting takes minutes
		kinds[0].sizes, kinds[0].goals = append(kinds[0].sizes, 100_000), append(kinds[0].goals, "<= 1.15 x")
	}
	kinds[1].sizes, kinds[1].goals = []int{10, 10_000, 100_000}, []string{"<= 1.05 x", "<= 1.08 x", "<= 1.15 x"}
	kinds[2].sizes, kinds[2].goals = []int{10, 10_000, 100_000}, []string{"<= 1.05 x", "<= 1.08 x", "<= 1.15 x"}

	c := startCaddy(t, kinds, strings.TrimPrefix(behind.URL, "http://"))
	known := make(map[string][]string)
	for _, k := range kinds {
		path := "/" + k.name
		var tokens []string
		for i, n := range k.sizes {
			for len(tokens) < n {
				tokens = append(tokens, k.mint(c.url+path))
			}
			c.warm(t, path, tokens)
			door, bare := new(turn), new(turn)
			for range rounds {
				bare.add(c.load(t, "/bare", tokens))
				door.add(c.load(t, path, tokens))
			}
			what := fmt.Sprintf("%s, %d known tokens: ", k.name, n)
			results.add(what+"CPU per request", k.goals[i], "%.2f x  (%.0f / %.0f µs)", door.cpuPer()/bare.cpuPer(), door.cpuPer(), bare.cpuPer())
			results.add(what+"requests per second", ">= 0.95 x", "%.2f x  (%.0f / %.0f)", door.rate()/bare.rate(), door.rate(), bare.rate())
			results.add(what+"p50, p99", "", "%.2f x, %.2f x", door.quantile(0.5)/bare.quantile(0.5), door.quantile(0.99)/bare.quantile(0.99))
			known[path] = tokens[:min(n, 1000)]
		}
	}

	asked := 0
	for _, k := range kinds {
		asked -= k.issuer.Count(oauthtest.Any)
	}
	c.reload(t)
	for _, k := range kinds {
		c.warm(t, "/"+k.name, known["/"+k.name])
		if k.name != "opaque" {
			c.send(t, "/"+k.name, k.mint(c.url+"/"+k.name)) // the keys are known too
		}
		asked += k.issuer.Count(oauthtest.Any)
	}
	results.add("requests to issuers caused by a reload, 3,000 known tokens", "0", "%d", asked)
}

func newKind(t *testing.T, name string, opaque bool) *kind {
	k := &kind{name: name}
	if opaque {
		k.issuer = oauthtest.New(t, oauthtest.Options{})
		k.mint = func(aud string) string { return k.issuer.Opaque(map[string]any{"aud": aud}) }
		return k
	}
	k.issuer = oauthtest.New(t, oauthtest.Options{Algorithm: name})
	k.mint = func(aud string) string { return k.issuer.Mint(map[string]any{"aud": aud}) }
	return k
}

// caddyProcess is the Caddy that is measured.
type caddyProcess struct {
	binary, dir, admin, url, text string
	cmd                           *exec.Cmd
	client                        *http.Client
	next                          atomic.Int64 // of the tokens
}

// buildCaddy returns a Caddy that isn't running yet.
func buildCaddy(t *testing.T) *caddyProcess {
	t.Helper()
	dir := t.TempDir()
	c := &caddyProcess{binary: filepath.Join(dir, "caddy"), dir: dir, admin: freeAddress(t), url: "http://" + freeAddress(t)}
	c.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}
	if out, err := exec.Command("go", "build", "-o", c.binary, "../cmd/caddy").CombinedOutput(); err != nil {
		t.Fatalf("building Caddy: %v\n%s", err, out)
	}
	return c
}

func startCaddy(t *testing.T, kinds []*kind, upstream string) *caddyProcess {
	t.Helper()
	c := buildCaddy(t)
	var doors strings.Builder
	for _, k := range kinds {
		verifier := "jwt"
		if k.name == "opaque" {
			verifier = "introspection {\n client_id front-door\n client_secret \"s3cr3t & more: 100%\"\n }\n cache {\n ttl 10m\n }"
		}
		fmt.Fprintf(&doors, "mcp_auth /%[1]s* %[2]s/%[1]s {\n issuer %[3]s {\n %[4]s\n }\n }\n", k.name, c.url, k.issuer.Issuer(), verifier)
	}
	c.text = fmt.Sprintf("{\n admin %s\n default_bind 127.0.0.1\n}\n%s {\n%sreverse_proxy %s\n}\n", c.admin, c.url, doors.String(), upstream)
	c.start(t)
	return c
}

// start runs Caddy with the text that is its configuration.
func (c *caddyProcess) start(t *testing.T) {
	t.Helper()
	c.cmd = exec.Command(c.binary, "run", "--adapter", "caddyfile", "--config", c.write(t))
	c.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(c.dir, "data"), "XDG_CONFIG_HOME="+c.dir)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := c.client.Get(c.url + "/bare"); err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("Caddy did not start")
		}
	}
}

func (c *caddyProcess) write(t *testing.T) string {
	name := filepath.Join(c.dir, "Caddyfile")
	if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (c *caddyProcess) reload(t *testing.T) {
	t.Helper()
	out, err := exec.Command(c.binary, "reload", "--force", "--adapter", "caddyfile", "--config", c.write(t), "--address", c.admin).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// warm sends every token once.
func (c *caddyProcess) warm(t *testing.T, path string, tokens []string) {
	t.Helper()
	work := make(chan string)
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for token := range work {
				c.send(t, path, token)
			}
		})
	}
	for _, token := range tokens {
		work <- token
	}
	close(work)
	wg.Wait()
}

func (c *caddyProcess) send(t *testing.T, path, token string) {
	req, err := http.NewRequest(http.MethodPost, c.url+path, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s: got %d", path, resp.StatusCode)
	}
}

// turn is what was measured under load.
type turn struct {
	requests int
	cpu      time.Duration
	wall     time.Duration
	times    []time.Duration
}

func (a *turn) add(b *turn) {
	a.requests += b.requests
	a.cpu += b.cpu
	a.wall += b.wall
	a.times = append(a.times, b.times...)
}

func (a *turn) cpuPer() float64 { return float64(a.cpu.Microseconds()) / float64(a.requests) }
func (a *turn) rate() float64   { return float64(a.requests) / a.wall.Seconds() }

func (a *turn) quantile(q float64) float64 {
	slices.Sort(a.times)
	return float64(a.times[int(q*float64(len(a.times)-1))])
}

// load asks for path with each of tokens in turn for a while. The next call goes
// on where this one ended.
func (c *caddyProcess) load(t *testing.T, path string, tokens []string) *turn {
	t.Helper()
	results := make([]turn, connections)
	cpu, start := c.cpu(t), time.Now()
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			for time.Since(start) < roundTime {
				token := tokens[int(c.next.Add(1))%len(tokens)]
				began := time.Now()
				c.send(t, path, token)
				results[i].times = append(results[i].times, time.Since(began))
				results[i].requests++
			}
		})
	}
	wg.Wait()
	sum := &turn{cpu: c.cpu(t) - cpu, wall: time.Since(start)}
	for _, r := range results {
		sum.requests += r.requests
		sum.times = append(sum.times, r.times...)
	}
	return sum
}

// cpu returns the processor time that Caddy has used (Linux: proc_pid_stat(5)).
func (c *caddyProcess) cpu(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		t.Skip("processor time is read from /proc, which is not there")
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
