package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nodeDir holds the Node side.
const nodeDir = "node"

// needNode skips the test if the Node side isn't installed.
func needNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		skip(t, "node is not installed")
	}
	if _, err := os.Stat(filepath.Join(nodeDir, "node_modules", ".package-lock.json")); err != nil {
		skip(t, "the Node side is not installed: run `npm ci` in integration_test/node, or `make test`")
	}
}

// node returns a command that runs a script of the Node side, trusting ca.
func node(ctx context.Context, ca, script string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	cmd.Dir = nodeDir
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca, "NODE_NO_WARNINGS=1")
	return cmd
}

// startPatience is how long a server of the Node side may take to say that it listens.
// Node at times stops for good while it starts, if many processes start together: then
// it is started again.
const startPatience = 30 * time.Second

// serve runs a server of the Node side until the test ends and decodes its first
// line into ready. cmd gets its process.
func serve(t *testing.T, cmd *exec.Cmd, ready any) {
	t.Helper()
	if cmd.Err != nil {
		t.Fatal(cmd.Err)
	}
	for attempt := 1; ; attempt++ {
		line, log, err := startServer(t, cmd)
		if err == nil {
			err = json.Unmarshal([]byte(line), ready)
		}
		switch {
		case err == nil:
			return
		case !errors.Is(err, errStuck) || attempt == 3:
			t.Fatalf("%s did not start: %q %v\n%s", cmd.Args[1], line, err, log.String())
		}
		t.Logf("%s says nothing: starting it again", cmd.Args[1])
	}
}

var errStuck = errors.New("it says nothing")

// startServer runs the server and returns its first line.
func startServer(t *testing.T, cmd *exec.Cmd) (string, *logBuffer, error) {
	t.Helper()
	log := new(logBuffer)
	running := &exec.Cmd{Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, Stderr: log}
	// It ends with its standard input: this process can't leave it behind.
	stdin, err := running.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := running.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	cmd.Process = running.Process
	t.Cleanup(func() {
		stdin.Close()
		_ = running.Process.Kill()
		_ = running.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", cmd.Args[1], log.tail(30))
		}
	})
	stuck := time.AfterFunc(startPatience, func() { _ = running.Process.Kill() })
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if !stuck.Stop() && err != nil {
		return line, log, errStuck
	}
	if err == nil {
		go io.Copy(io.Discard, lines)
	}
	return line, log, err
}

// authServer is a running oidc-provider.
type authServer struct {
	t      *testing.T
	cmd    *exec.Cmd
	Issuer string `json:"issuer"`
}

// stop ends it for good.
func (s *authServer) stop() { _ = s.cmd.Process.Kill() }

// startAuthServer runs oidc-provider. It trusts the certificate authority in the
// file ca when it fetches client metadata.
func startAuthServer(t *testing.T, ca string, config map[string]any) *authServer {
	t.Helper()
	needNode(t)
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &authServer{t: t, cmd: node(t.Context(), ca, "authserver.mjs", string(b))}
	serve(t, s.cmd, s)
	return s
}

// requests returns how often each method and path was asked for.
func (s *authServer) requests() map[string]int {
	s.t.Helper()
	resp, err := http.Get(s.Issuer + "/test/requests")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var counts map[string]int
	if err := json.NewDecoder(resp.Body).Decode(&counts); err != nil {
		s.t.Fatal(err)
	}
	return counts
}

// machineToken returns an access token for resource by the client credentials
// grant.
func (s *authServer) machineToken(client, secret, resource, scope string) string {
	s.t.Helper()
	return s.clientToken(client, secret, url.Values{"resource": {resource}, "scope": {scope}})
}

// clientToken returns an access token by the client credentials grant, asked for
// with the further parameters in form.
func (s *authServer) clientToken(client, secret string, form url.Values) string {
	s.t.Helper()
	all := url.Values{"grant_type": {"client_credentials"}}
	maps.Copy(all, form)
	req, err := http.NewRequest(http.MethodPost, s.Issuer+"/token", strings.NewReader(all.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var grant struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&grant); err != nil || grant.AccessToken == "" {
		s.t.Fatalf("token endpoint answered %d: %v", resp.StatusCode, err)
	}
	return grant.AccessToken
}

// clientLine is a line that client-v1.mjs and client-v2.mjs print.
type clientLine struct {
	ProtocolVersion string          `json:"protocolVersion"`
	Tools           []string        `json:"tools"`
	Result          json.RawMessage `json:"result"`
	Registered      string          `json:"registered"`
	Scope           string          `json:"scope"`
	BeforeCall      int             `json:"beforeCall"`
	Authorizations  int             `json:"authorizations"`
	TokenType       string          `json:"tokenType"`
	Progress        json.RawMessage `json:"progress"`
	Error           json.RawMessage `json:"error"`
}

// output runs cmd to its end and returns what it printed.
func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.Bytes()
}

// toolText returns the structured content of a tool's result, which must be the
// same as its text.
func toolText(t *testing.T, result []byte) map[string]any {
	t.Helper()
	var r struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		StructuredContent map[string]any `json:"structuredContent"`
	}
	if err := json.Unmarshal(result, &r); err != nil || len(r.Content) != 1 {
		t.Fatalf("not a tool result: %s", result)
	}
	var text map[string]any
	if err := json.Unmarshal([]byte(r.Content[0].Text), &text); err != nil {
		t.Fatalf("the tool's text is not JSON: %s", r.Content[0].Text)
	}
	if got, want := mustJSON(t, r.StructuredContent), mustJSON(t, text); got != want {
		t.Errorf("structured content %s, text %s", got, want)
	}
	return text
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
