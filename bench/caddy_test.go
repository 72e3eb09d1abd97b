//go:build bench

package bench

import (
	"cmp"
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
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

const (
	// rounds is how often bare proxy and front door take turns. Each pair of turns
	// is a ratio; what is told is their median, and the least and the greatest.
	rounds = 9
	// roundTime is how long each has a turn.
	roundTime = time.Second
	// connections is how many clients ask at a time.
	connections = 8
)

// kind is a kind of token, with its own issuer and its own site in Caddy. What a
// request costs depends on how many routes its site has: each site has one door.
type kind struct {
	name   string
	issuer *oauthtest.Server
	mint   func(aud string) string
	// options are those of the door, besides the issuer.
	options string
	sizes   []int
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
	kinds := []*kind{newKind(t, "RS256", false), newKind(t, "ES256", false), newKind(t, "opaque", true), newKind(t, "RS256", false)}
	kinds[3].name = "claims"
	kinds[3].options = "header X-User {http.auth.user.id}\nheader X-Email {http.auth.user.email}\nheader X-Name {http.auth.user.name}\n"
	kinds[3].sizes, kinds[3].goals = []int{10}, []string{"<= 1.12 x"}
	kinds[3].mint = func(aud string) string {
		return kinds[3].issuer.Mint(map[string]any{"aud": aud, "exp": expiry(), "email": "ada@example.com", "name": "Ada Lovelace"})
	}
	kinds[0].sizes, kinds[0].goals = []int{10, 10_000}, []string{"<= 1.05 x", "<= 1.08 x"}
	if os.Getenv("BENCH_FULL") != "" { // minting takes minutes
		kinds[0].sizes, kinds[0].goals = append(kinds[0].sizes, 100_000), append(kinds[0].goals, "<= 1.15 x")
	}
	kinds[1].sizes, kinds[1].goals = []int{10, 10_000, 100_000}, []string{"<= 1.05 x", "<= 1.08 x", "<= 1.15 x"}
	kinds[2].sizes, kinds[2].goals = []int{10, 10_000, 100_000}, []string{"<= 1.05 x", "<= 1.08 x", "<= 1.15 x"}

	c := startCaddy(t, kinds, strings.TrimPrefix(behind.URL, "http://"))
	known := make(map[string][]string)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { known[k.name] = measureKind(t, results, c, k) })
	}

	asked := 0
	for _, k := range kinds {
		asked -= k.issuer.Count(oauthtest.Any)
	}
	c.reload(t)
	c.client.CloseIdleConnections() // of the configuration that is gone
	for _, k := range kinds {
		if known[k.name] == nil {
			continue // not measured in this run
		}
		c.warm(t, k.name, known[k.name])
		if k.name != "opaque" {
			c.send(t, k.name, k.mint(c.resource(k.name))) // the keys are known too
		}
		asked += k.issuer.Count(oauthtest.Any)
	}
	results.add("requests to issuers caused by a reload, 3,000 known tokens", "0", "%d", asked)
}

// measureKind adds the rows for one kind of token, and returns some of those that are
// known then.
func measureKind(t *testing.T, results *table, c *caddyProcess, k *kind) []string {
	site := k.name
	var tokens []string
	c.load(t, "bare", []string{"x"}) // warms up
	empty := c.memory(t)
	for i, n := range k.sizes {
		for len(tokens) < n {
			tokens = append(tokens, k.mint(c.resource(site)))
		}
		c.warm(t, site, tokens)
		var cpu, rate, middle, slow ratios
		for range rounds {
			bare, door := c.load(t, "bare", tokens), c.load(t, site, tokens)
			cpu = append(cpu, door.cpuPer()/bare.cpuPer())
			rate = append(rate, door.rate()/bare.rate())
			middle = append(middle, door.quantile(0.5)/bare.quantile(0.5))
			slow = append(slow, door.quantile(0.99)/bare.quantile(0.99))
		}
		what := fmt.Sprintf("%s, %d known tokens: ", k.name, n)
		results.add(what+"CPU per request", k.goals[i], "%s", cpu)
		results.add(what+"requests per second", ">= 0.95 x", "%s", rate)
		results.add(what+"p50", "", "%s", middle)
		results.add(what+"p99", "", "%s", slow)
		if k.name == "claims" {
			var static ratios
			for range rounds {
				static = append(static, c.load(t, "static", tokens).cpuPer()/c.load(t, "bare", tokens).cpuPer())
			}
			results.add("three headers of reverse_proxy's own: CPU per request", "", "%s", static)
		}
		if n >= 100_000 {
			results.add(what+"more memory", "<= 100 MB", "%.0f MB", c.memory(t)-empty)
		}
	}
	return tokens[:min(len(tokens), 1000)]
}

// ratios are those of several pairs of turns.
type ratios []float64

// String returns the median, the least and the greatest.
func (r ratios) String() string {
	sorted := slices.Sorted(slices.Values(r))
	return fmt.Sprintf("%.2f x  (%.2f to %.2f)", sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1])
}

func newKind(t *testing.T, name string, opaque bool) *kind {
	k := &kind{name: name}
	if opaque {
		k.issuer = oauthtest.New(t, oauthtest.Options{})
		k.mint = func(aud string) string { return k.issuer.Opaque(map[string]any{"aud": aud, "exp": expiry()}) }
		return k
	}
	k.issuer = oauthtest.New(t, oauthtest.Options{Algorithm: name})
	k.mint = func(aud string) string { return k.issuer.Mint(map[string]any{"aud": aud, "exp": expiry()}) }
	return k
}

// expiry outlives a run, also on a machine that is busy.
func expiry() int64 { return time.Now().Add(time.Hour).Unix() }

// caddyProcess is the Caddy that is measured.
type caddyProcess struct {
	binary, dir, admin, url, text string
	sites                         map[string]string // their addresses, by name; others are at url
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

// staticHeaders has reverse_proxy do with headers what a door with three claims does,
// the same for every request.
const staticHeaders = "header_up X-User user-1\nheader_up X-Email ada@example.com\nheader_up X-Name \"Ada Lovelace\"\nheader_up -Authorization\n"

func startCaddy(t *testing.T, kinds []*kind, upstream string) *caddyProcess {
	t.Helper()
	c := buildCaddy(t)
	c.sites = make(map[string]string)
	var sites strings.Builder
	for _, k := range kinds {
		c.sites[k.name] = "http://" + freeAddress(t)
		verifier := "jwt"
		if k.name == "opaque" {
			verifier = "introspection {\n client_id front-door\n client_secret \"s3cr3t & more: 100%\"\n }\n cache {\n ttl 10m\n }"
		}
		fmt.Fprintf(&sites, "%s {\nmcp_auth /mcp* %s {\n issuer %s {\n %s\n }\n %s}\nreverse_proxy %s\n}\n", c.sites[k.name], c.resource(k.name), k.issuer.Issuer(), verifier, k.options, upstream)
	}
	c.sites["static"] = "http://" + freeAddress(t)
	fmt.Fprintf(&sites, "%s {\nreverse_proxy %s {\n%s}\n}\n", c.sites["static"], upstream, staticHeaders)
	c.text = fmt.Sprintf("{\n admin %s\n default_bind 127.0.0.1\n}\n%s {\nreverse_proxy %s\n}\n%s", c.admin, c.url, upstream, sites.String())
	c.start(t)
	return c
}

// resource returns the address of the MCP server of a site.
func (c *caddyProcess) resource(site string) string { return cmp.Or(c.sites[site], c.url) + "/mcp" }

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
	testkit.Eventually(t, "an answer of Caddy", func() bool {
		resp, err := c.client.Get(c.url + "/started")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
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
func (c *caddyProcess) warm(t *testing.T, site string, tokens []string) {
	t.Helper()
	work := make(chan string)
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for token := range work {
				c.send(t, site, token)
			}
		})
	}
	for _, token := range tokens {
		work <- token
	}
	close(work)
	wg.Wait()
}

func (c *caddyProcess) send(t *testing.T, site, token string) {
	req, err := http.NewRequest(http.MethodPost, c.resource(site), strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
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
		t.Errorf("%s: got %d", site, resp.StatusCode)
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

// load asks the MCP server of a site with each of tokens in turn for a while. The
// next call goes on where this one ended.
func (c *caddyProcess) load(t *testing.T, site string, tokens []string) *turn {
	t.Helper()
	results := make([]turn, connections)
	cpu, start := c.cpu(t), time.Now()
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			for time.Since(start) < roundTime {
				token := tokens[int(c.next.Add(1))%len(tokens)]
				began := time.Now()
				c.send(t, site, token)
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

// memory returns the megabytes of memory that Caddy has in use (Linux:
// proc_pid_status(5)).
func (c *caddyProcess) memory(t *testing.T) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Skip("memory is read from /proc, which is not there")
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	fields := strings.Fields(rest)
	kilobytes, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes / 1000
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
