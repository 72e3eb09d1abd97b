package integration_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// kubernetesCaddyfile returns the global options and the sites of the Caddyfile in the
// guide.
func kubernetesCaddyfile(t *testing.T) (global, sites string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "guides", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, caddyfile, _ := strings.Cut(string(text), "  Caddyfile: |\n    {\n")
	caddyfile, _, found := strings.Cut(caddyfile, "\n---\n")
	global, sites, ok := strings.Cut(strings.ReplaceAll("\n"+caddyfile, "\n    ", "\n"), "\n}\n")
	if !found || !ok {
		t.Fatalf("no Caddyfile in the guide: %.200s", caddyfile)
	}
	return global, sites
}

// replica is one of several Caddys on a Redis.
type replica struct {
	*caddyServer
	site, address string
}

// startReplica starts the Caddyfile of the guide for the public address.
func startReplica(t *testing.T, st *storageUnderTest, balancer *caddyServer, behind string) *replica {
	t.Helper()
	global, sites := kubernetesCaddyfile(t)
	r := &replica{caddyServer: newCaddy(t), address: fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))}
	must := func(text string, pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(text, pairs[i]) {
				t.Fatalf("the guide has no %s", pairs[i])
			}
			text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
		}
		return text
	}
	r.binary, r.CA = st.binary, balancer.CA
	r.global = must(global, "host redis", "host 127.0.0.1", "port 6379", "port "+strconv.Itoa(st.redis.port), "shutdown_delay 15s", "shutdown_delay 3s") +
		fmt.Sprintf("\npki {\nca local {\nroot {\ncert %q\nkey %q\n}\n}\n}\n", balancer.CA, filepath.Join(filepath.Dir(balancer.CA), "root.key"))
	// The second site is there for the test to see that Caddy runs.
	r.site = must(sites, "https://mcp.example.com", balancer.URL, ":8080 {", "http://:"+r.port()+" {", "mcp-server:3000", behind) + "\n---\nrespond 200"
	r.start(r.caddyfile(r.site))
	return r
}

func (r *replica) port() string { return r.address[strings.LastIndexByte(r.address, ':')+1:] }

// health returns the status of the health check, 0 if nothing answers.
func (r *replica) health() int {
	resp, err := http.Get("http://" + r.address + "/healthz")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Two replicas on a Redis behind a load balancer are one server: clients sign in and use
// tools while one after the other is restarted, and keep their sessions.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	needNode(t)
	var stateful struct {
		Port int `json:"port"`
	}
	cmd := node(t.Context(), "", "resumable.mjs")
	cmd.Env = append(cmd.Env, "PORT=0")
	serve(t, cmd, &stateful)
	behind := fmt.Sprintf("127.0.0.1:%d", stateful.Port)

	st := startRedis(t)
	balancer := startCaddy(t, "respond 503") // it makes the certificate authority
	replicas := []*replica{startReplica(t, st, balancer, behind), startReplica(t, st, balancer, behind)}
	balancer.reload(fmt.Sprintf(`
		reverse_proxy %s %s {
			lb_policy round_robin
			lb_try_duration 10s
			health_uri /healthz
			health_interval 300ms
		}
	`, replicas[0].address, replicas[1].address))
	testkit.Eventually(t, "the replicas to be healthy", func() bool {
		return replicas[0].health() == 200 && replicas[1].health() == 200
	})

	asDemo := signingInAs(balancer, "BROWSER_USER=demo", "BROWSER_PASSWORD=demo-password")
	first := connectGoClientAs(t, balancer, balancer.URL+"/mcp", registering, asDemo)
	session := first.session.ID()
	if !strings.Contains(session, ".") {
		t.Errorf("the session is %q", session)
	}
	var calls atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			got, err := first.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "hello"})
			if err != nil || got.IsError {
				t.Errorf("call %d: got %v, %v", calls.Load(), got, err)
				return
			}
			calls.Add(1)
		}
	}()
	for i, r := range replicas {
		before := calls.Load()
		gone := r.terminate()
		testkit.Eventually(t, "the replica to say that it stops", func() bool { return r.health() == 503 })
		// A user signs in, on whichever replica the requests arrive.
		other := connectGoClientAs(t, balancer, balancer.URL+"/mcp", registering, asDemo)
		if _, err := other.session.ListTools(t.Context(), nil); err != nil {
			t.Errorf("replica %d stops: %v", i, err)
		}
		<-gone
		after := calls.Load()
		testkit.Eventually(t, "calls without the replica", func() bool { return calls.Load() > after+10 })
		r.start(r.caddyfile(r.site))
		testkit.Eventually(t, "the replica to be back", func() bool { return r.health() == 200 })
		if calls.Load() == before {
			t.Errorf("replica %d: no calls went through meanwhile", i)
		}
		if _, err := other.session.ListTools(t.Context(), nil); err != nil {
			t.Errorf("replica %d is back: %v", i, err)
		}
		// The balancer sees it before the next one goes.
		seen := strings.Count(r.log.String(), "/healthz")
		testkit.Eventually(t, "a health check", func() bool { return strings.Count(r.log.String(), "/healthz") > seen+2 })
	}
	close(stop)
	<-stopped
	if first.session.ID() != session {
		t.Errorf("the session was %q and is %q", session, first.session.ID())
	}
}
