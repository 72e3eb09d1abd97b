//go:build bench

package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// policyTime is how long each door has a turn.
const policyTime = 500 * time.Millisecond

// question is a request whose costs are compared.
type question struct {
	name, goal string
	body       string
	// site is the door with rules.
	site string
	// of is the answer that the server behind gives.
	of string
}

// measurePolicy compares a door with rules with the same door without them.
func measurePolicy(t *testing.T, results *table) {
	measureDecisions(t, results)

	behind := httptest.NewServer(newPolicyServer())
	defer behind.Close()
	open, ruled, lined := newKind(t, "ES256", false), newKind(t, "ES256", false), newKind(t, "ES256", false)
	open.name, ruled.name, lined.name = "open", "ruled", "lined"
	ruled.options = "tools delete_* nobody\ntools get_*\nmax_body 8MiB\n"
	var lines strings.Builder
	for i := range 98 {
		fmt.Fprintf(&lines, "tools other_%02d_* need scope s%d\n", i, i)
	}
	lined.options = lines.String() + "tools tool_*7 nobody\ntools tool_*\n"
	kinds := []*kind{open, ruled, lined}
	c := startCaddy(t, kinds, strings.TrimPrefix(behind.URL, "http://"))
	tokens := make(map[string]string)
	for _, k := range kinds {
		tokens[k.name] = k.mint(c.resource(k.name))
	}

	text := func(size int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","arguments":{"text":%q}}}`, strings.Repeat("x", size))
	}
	rows := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","arguments":{"rows":[` + strings.Repeat(`{"id":12345,"name":"someone","tags":["a","b"],"note":"`+strings.Repeat("some words ", 20)+`"},`, 370) + `null]}}}`
	list := `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, q := range []question{
		{"tools, a message of 1 kB", "<= 1.05 x", text(900), "ruled", ""},
		{"tools, a message of 100 kB in 370 rows", "<= 1.4 x", rows, "ruled", ""},
		{"tools, a message of 4 MB, one text", "<= 2.2 x", text(4 << 20), "ruled", ""},
		{"a list of 300 tools under 100 lines", "<= 1.5 x", list, "lined", "list"},
		{"1,000 events of progress, one by one, and a list", "<= 1.3 x", list, "lined", "progress"},
	} {
		t.Run(q.name, func(t *testing.T) {
			c.policyTurn(t, "open", tokens["open"], q)
			c.policyTurn(t, q.site, tokens[q.site], q)
			var cpu ratios
			var each float64
			for range rounds {
				without, with := c.policyTurn(t, "open", tokens["open"], q), c.policyTurn(t, q.site, tokens[q.site], q)
				cpu = append(cpu, with.cpuPer()/without.cpuPer())
				each += without.cpuPer() / rounds
			}
			results.add(q.name+": CPU per request, against no rules", q.goal, "%s of %.0f µs", cpu, each)
		})
	}
	measureUploads(t, results, c, tokens["ruled"])
}

// policyTurn asks a question of a door for a while.
func (c *caddyProcess) policyTurn(t *testing.T, site, token string, q question) *turn {
	t.Helper()
	requests := make([]int, connections/2)
	cpu, start := c.cpu(t), time.Now()
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			// A turn has some requests at least, for processor time comes in hundredths.
			for requests[i] < 10 || time.Since(start) < policyTime {
				req, err := http.NewRequest(http.MethodPost, c.resource(site), strings.NewReader(q.body))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "X-Answer": {q.of}}
				resp, err := c.client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%s at %s: got %d", q.name, site, resp.StatusCode)
					return
				}
				requests[i]++
			}
		})
	}
	wg.Wait()
	sum := &turn{cpu: c.cpu(t) - cpu, wall: time.Since(start)}
	for _, n := range requests {
		sum.requests += n
	}
	return sum
}

// newPolicyServer is the MCP server behind the doors.
func newPolicyServer() http.Handler {
	var tools []json.RawMessage
	for i := range 300 {
		tools = append(tools, json.RawMessage(fmt.Sprintf(`{"name":"tool_%d","description":"%s","inputSchema":{"type":"object","properties":{"path":{"type":"string","description":"where"},"limit":{"type":"integer"}},"required":["path"]}}`, i, strings.Repeat("does something with it ", 8))))
	}
	list, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "result": map[string]any{"tools": tools}})
	if err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.Header.Get("X-Answer") {
		case "list":
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(list)
		case "progress":
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 1000 {
				fmt.Fprintf(w, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":%d,\"message\":\"still at it\"}}\n\n", i)
				_ = http.NewResponseController(w).Flush()
			}
			fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"tool_1\"}]}}\n\n")
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`)
		}
	})
}

// measureDecisions measures what the rules take of a request's time.
func measureDecisions(t *testing.T, results *table) {
	hundred := make([]policy.Line, 100)
	for i := range hundred[:99] {
		hundred[i].Names = []string{fmt.Sprintf("tool_%02d_*", i), fmt.Sprintf("other_%02d", i)}
	}
	hundred[99].Names = []string{"get_*"}
	when := []policy.Line{{Names: []string{"get_x"}, When: "arguments.amount > 0 && arguments.amount <= 1000"}}
	message := &mcp.Message{Method: "tools/call", Kind: mcp.Tool, Name: "get_x", ID: json.RawMessage("1"), Arguments: json.RawMessage(`{"amount":500,"to":"bob"}`)}
	for _, tc := range []struct {
		what, goal string
		tools      []policy.Line
	}{
		{"a decision over 100 lines", "<= 2 µs", hundred},
		{"a decision with one `when`", "<= 5 µs", when},
	} {
		p, _, err := policy.Compile(policy.Rules{Tools: tc.tools})
		if err != nil {
			t.Fatal(err)
		}
		result := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				if d := p.Decide(&policy.Caller{Subject: "ada"}, message); d.Outcome != policy.Allowed {
					b.Fatal(d)
				}
			}
		})
		results.add(tc.what, tc.goal, "%.2f µs, %d allocations", float64(result.NsPerOp())/1000, result.AllocsPerOp())
	}
}

// measureUploads has many messages begin and not go on.
func measureUploads(t *testing.T, results *table, c *caddyProcess, token string) {
	const uploads = 200
	address := strings.TrimPrefix(c.sites["ruled"], "http://")
	before := c.memory(t)
	for range uploads {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		w := bufio.NewWriter(conn)
		fmt.Fprintf(w, "POST /mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", address, token, 4<<20, strings.Repeat(" ", 1<<10))
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Second) // they arrive; nothing is asserted
	results.add("200 uploads of 4 MB that stop after 1 kB: more memory", "< 20 MB", "%.1f MB", c.memory(t)-before)
}
