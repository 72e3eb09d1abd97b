package caddymcpauth_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// The tests of this file run Caddy itself, of which there is one in a process:
// none is parallel.

// runCaddy starts Caddy, or reloads it, with one site on a loopback port.
func runCaddy(t *testing.T, address, site string) {
	t.Helper()
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(fmt.Sprintf(`{
		admin off
		persist_config off
		storage file_system %q
		log {
			level FATAL
		}
	}
	http://%s {
		%s
	}`, t.TempDir(), address, site)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(raw, &config); err != nil {
		t.Fatal(err)
	}
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	if err := caddy.Run(&config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// The access log says who it was, or why not, and never what the token is.
func TestAccessLog(t *testing.T) {
	issuer := newIssuer(t)
	address, file := testkit.FreeAddress(t), filepath.Join(t.TempDir(), "access.log")
	runCaddy(t, address, "log {\noutput file "+file+"\n}\n"+frontDoor(issuer.Issuer(), "scopes read")+"\nrespond ok")

	good := issuer.Mint(nil)
	_, signature, _ := strings.Cut(good[strings.Index(good, ".")+1:], ".")
	for _, test := range []struct {
		name, authorization string
		status              int
		userID, refusal     string
		cause               bool
	}{
		{"accepted", "Bearer " + good, 200, "user-1", "", false},
		{"no token", "", 401, "", "no_credentials", false},
		{"malformed", "Bearer", 400, "", "invalid_request", true},
		{"expired", "Bearer " + issuer.Mint(map[string]any{"exp": 1, "sub": "secret-sub"}), 401, "", "expired", true},
		{"scope", "Bearer " + issuer.Mint(map[string]any{"scope": "x"}), 403, "", "insufficient_scope", false},
		{"unknown issuer", "Bearer " + issuer.Mint(map[string]any{"iss": "https://secret-iss"}), 401, "", "unknown_issuer", true},
		{"unknown key", "Bearer " + issuer.Mint(nil, oauthtest.WithHeader("kid", "secret-kid")), 401, "", "unknown_key", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, _ := os.ReadFile(file)
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/mcp", nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != test.status {
				t.Errorf("status: got %d, want %d", resp.StatusCode, test.status)
			}
			line := awaitLine(t, file, len(before))
			var entry struct {
				UserID  string  `json:"user_id"`
				Refusal string  `json:"mcp_auth_refusal"`
				Cause   *string `json:"mcp_auth_cause"`
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if entry.UserID != test.userID || entry.Refusal != test.refusal || (entry.Cause != nil) != test.cause {
				t.Errorf("got user_id %q, mcp_auth_refusal %q, mcp_auth_cause %t; want %q, %q, %t",
					entry.UserID, entry.Refusal, entry.Cause != nil, test.userID, test.refusal, test.cause)
			}
			for _, secret := range []string{"secret-", signature, good[:strings.Index(good, ".")]} {
				if strings.Contains(line, secret) {
					t.Errorf("%q is in the log: %s", secret, line)
				}
			}
		})
	}
}

// awaitLine returns the line that begins at offset of file, once it is there.
func awaitLine(t *testing.T, file string, offset int) string {
	t.Helper()
	var line string
	testkit.Eventually(t, "a line of the log", func() bool {
		all, err := os.ReadFile(file)
		if err != nil || len(all) <= offset || !strings.HasSuffix(string(all), "\n") {
			return false
		}
		line = string(all[offset:])
		return true
	})
	return line
}

// A reload in the middle of a call lets it finish, ends the streams, and asks the
// issuer nothing. So does the end.
func TestReloadUnderWay(t *testing.T) {
	entered, proceed := make(chan string, 4), make(chan struct{})
	upstream := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun\n")
		_ = http.NewResponseController(w).Flush()
		entered <- r.Method
		if r.Method == "GET" || r.Header.Get("Mcp-Method") == "subscriptions/listen" {
			<-r.Context().Done()
			return
		}
		<-proceed
		_, _ = io.WriteString(w, "done\n")
	})
	issuer := newIssuer(t)
	address := testkit.FreeAddress(t)
	site := frontDoor(issuer.Issuer(), "") + "\nreverse_proxy " + strings.TrimPrefix(upstream.URL, "http://") + " {\nflush_interval -1\n}"
	runCaddy(t, address, site)

	type result struct {
		body string
		err  error
	}
	open := func(method, mcpMethod string) <-chan result {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/mcp", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+issuer.Mint(nil))
		if mcpMethod != "" {
			r.Header.Set("Mcp-Method", mcpMethod)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := bufio.NewReader(resp.Body)
		if line, err := body.ReadString('\n'); err != nil || line != "begun\n" {
			t.Fatalf("%s: got %q, %v", method, line, err)
		}
		<-entered
		done := make(chan result, 1)
		go func() {
			defer resp.Body.Close()
			rest, err := io.ReadAll(body)
			done <- result{string(rest), err}
		}()
		return done
	}
	get, listen, call := open("GET", ""), open("POST", "subscriptions/listen"), open("POST", "tools/call")
	runCaddy(t, address, site)
	testkit.Receive(t, "the end of the GET stream", get)
	testkit.Receive(t, "the end of the subscription", listen)
	close(proceed)
	if got := testkit.Receive(t, "the end of the call", call); got.err != nil || got.body != "done\n" {
		t.Errorf("the call: got %q, %v", got.body, got.err)
	}
	if n := issuer.Count(oauthtest.JWKS); n != 1 {
		t.Errorf("the key set was fetched %d times, want 1", n)
	}

	get = open("GET", "")
	stopped := make(chan error, 1)
	go func() { stopped <- caddy.Stop() }() // which waits for what is under way
	testkit.Receive(t, "the end of the GET stream", get)
	if err := testkit.Receive(t, "the end of Caddy", stopped); err != nil {
		t.Error(err)
	}
}
