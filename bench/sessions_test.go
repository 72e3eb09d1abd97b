//go:build bench

package bench

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// measureSessions compares a door whose sessions are bound with the same door without.
func measureSessions(t *testing.T, results *table) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Mcp-Session-Id", cmp.Or(r.Header.Get("Mcp-Session-Id"), "1868a90c-5f17-4a5c-b5f5-3c1e7d5d4d5a"))
		if r.Header.Get("X-Answer") == "event" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: message\nid: 5c6be3a5-7f0d-4a2e-8f0e-1d2a4f6b8c0e_1764500000000_k3j2h1g0\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`)
	}))
	defer behind.Close()
	off, bound := newKind(t, "ES256", false), newKind(t, "ES256", false)
	off.name, off.options, bound.name = "off", "sessions off\n", "bound"
	c := startCaddy(t, []*kind{off, bound}, strings.TrimPrefix(behind.URL, "http://"))
	tokens := map[string]string{"off": off.mint(c.resource("off")), "bound": bound.mint(c.resource("bound"))}
	for _, q := range []struct{ what, goal, answer string }{
		{"session tags, an answer in JSON", "<= 1.02 x", ""},
		{"session tags, an answer with an event's id", "<= 1.02 x", "event"},
	} {
		t.Run(q.what, func(t *testing.T) {
			c.sessionTurn(t, "off", tokens["off"], q.answer)
			c.sessionTurn(t, "bound", tokens["bound"], q.answer)
			var cpu ratios
			var each float64
			for range rounds {
				without, with := c.sessionTurn(t, "off", tokens["off"], q.answer), c.sessionTurn(t, "bound", tokens["bound"], q.answer)
				cpu = append(cpu, with.cpuPer()/without.cpuPer())
				each += without.cpuPer() / rounds
			}
			results.add(q.what+": CPU per request, against sessions off", q.goal, "%s of %.0f µs", cpu, each)
		})
	}
}

// sessionTurn uses a session for a while.
func (c *caddyProcess) sessionTurn(t *testing.T, site, token, answer string) *turn {
	t.Helper()
	ask := func(session string) (string, error) {
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","arguments":{}}}`
		req, err := http.NewRequest(http.MethodPost, c.resource(site), strings.NewReader(body))
		if err != nil {
			return "", err
		}
		req.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "X-Answer": {answer}}
		if session != "" {
			req.Header.Set("Mcp-Session-Id", session)
		}
		resp, err := c.client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("got %d", resp.StatusCode)
		}
		return resp.Header.Get("Mcp-Session-Id"), err
	}
	session, err := ask("")
	if err != nil {
		t.Fatal(err)
	}
	requests := make([]int, connections/2)
	cpu, start := c.cpu(t), time.Now()
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			for requests[i] < 10 || time.Since(start) < policyTime {
				if again, err := ask(session); err != nil || again != session {
					t.Errorf("%s: got session %q, %v", site, again, err)
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
