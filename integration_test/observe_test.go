package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// collector is an OpenTelemetry collector that keeps what it gets, undecoded.
type collector struct {
	mu  sync.Mutex
	got bytes.Buffer
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.Copy(&c.got, r.Body)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// has reports whether a span with the attribute has arrived. In protobuf, a key and a
// value are strings after their lengths.
func (c *collector) has(key, value string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	// KeyValue{1: key, 2: AnyValue{1: value}}
	want := "\n" + string(rune(len(key))) + key + "\x12" + string(rune(len(value)+2)) + "\n" + string(rune(len(value))) + value
	return bytes.Contains(c.got.Bytes(), []byte(want))
}

// What happens is in the logs, the spans and the metrics that the example sets up.
func TestWhatHappened(t *testing.T) {
	t.Parallel()
	spans := new(collector)
	receiver := httptest.NewServer(spans)
	t.Cleanup(receiver.Close)
	text, err := os.ReadFile(filepath.Join("..", "examples", "what-happened.caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	c := newCaddy(t)
	c.env = []string{
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT=" + receiver.URL,
		"OTEL_BSP_SCHEDULE_DELAY=50", "OTEL_TRACES_SAMPLER=always_on",
	}
	audit, decisions := filepath.Join(t.TempDir(), "audit.log"), filepath.Join(t.TempDir(), "decisions.log")
	c.start(strings.NewReplacer(
		"{\n\t# Every decision", "{\n\tadmin "+c.admin+"\n\tdefault_bind 127.0.0.1\n\tauto_https disable_redirects\n\tskip_install_trust\n\t# Every decision",
		"# output file /var/log/caddy/decisions.log", "output file "+decisions,
		"# output file /var/log/caddy/audit.log", "output file "+audit,
		"https://mcp.example.com", c.URL,
		"mcp.example.com {", c.URL+" {",
		"demo $2a$14$3WWLyD32YRPAcmgQyZqTZe0CpGSe1AsagUPH5nFnmc2v9jznvRMsa", "demo $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu",
		"reverse_proxy /mcp* 127.0.0.1:3000", "mcp_whoami /mcp*",
	).Replace(string(text)))

	// One line says what is protected, by whom, and who may sign in.
	c.logs(`"msg":"protecting ` + c.URL + `/mcp","issuers":["` + c.URL + `"],"sign_in":["1 user with a password"]`)
	if n := strings.Count(c.log.String(), "protecting "); n != 1 {
		t.Errorf("%d lines say what is protected, want 1", n)
	}
	g := connectGoClientAs(t, c, c.URL+"/mcp", registering, asPerson(t, c, "demo"))
	source, err := g.handler.TokenSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"render", "delete_all"} {
		c.do("POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":{}}}`,
			"Authorization", "Bearer "+token.AccessToken, "Content-Type", "application/json", "Accept", "application/json, text/event-stream")
	}
	c.do("POST", "/mcp", "{}", "Authorization", "Bearer x.y.z", "Content-Type", "application/json")

	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(decisions)
			t.Logf("the log of decisions:\n%s", text)
		}
	})
	for file, wants := range map[string][]map[string]any{
		audit: {
			{"event": "registration", "outcome": "ok", "level": "debug"},
			{"event": "sign_in", "outcome": "ok", "method": "password", "user": "demo", "level": "info", "client_ip": "127.0.0.1"},
			{"event": "consent", "outcome": "approved", "user": "demo", "scopes": "mcp:tools", "resource": c.URL + "/mcp", "level": "info"},
			{"event": "token", "outcome": "ok", "method": "authorization_code", "user": "demo", "level": "debug"},
		},
		decisions: {
			{"outcome": "allowed", "subject": "demo", "mcp_method": `"tools/call"`, "mcp_name": `"render"`, "rule": "tools:2", "level": "debug"},
			{"outcome": "denied", "reason": "nobody", "subject": "demo", "mcp_name": `"delete_all"`, "rule": "tools:1", "level": "info"},
			{"outcome": "refused", "reason": "no_credentials", "level": "debug"},
			{"outcome": "refused", "reason": "opaque", "level": "debug"},
		},
	} {
		for _, want := range wants {
			testkit.Eventually(t, fmt.Sprintf("the record %v in %s", want, filepath.Base(file)), func() bool { return hasRecord(file, want) })
		}
		log, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{token.AccessToken, token.RefreshToken, "demo-password"} {
			if bytes.Contains(log, []byte(secret)) {
				t.Errorf("%s has a secret", filepath.Base(file))
			}
		}
	}
	for _, logger := range []string{"http.mcp_auth.decision", "http.mcp_auth.audit"} {
		if c.log.contains(logger) {
			t.Errorf("records of %s are in the default log, too", logger)
		}
	}
	for key, value := range map[string]string{"mcp.method.name": "tools/call", "gen_ai.tool.name": "render", "enduser.id": "demo"} {
		testkit.Eventually(t, "a span with "+key+" "+value, func() bool { return spans.has(key, value) })
	}
}

// hasRecord reports whether a line of the log file has all of these fields.
func hasRecord(file string, want map[string]any) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			continue // half written
		}
		all := true
		for name, value := range want {
			all = all && got[name] == value
		}
		if all {
			return true
		}
	}
	return false
}
