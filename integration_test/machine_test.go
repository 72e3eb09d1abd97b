package integration_test

import (
	"net/http"
	"strings"
	"testing"
)

// A program without a user gets in with a token of its own; when the
// authorization server changes its keys, new tokens pass at once and those of
// the withdrawn key no longer do.
func TestMachineTokenAndRotation(t *testing.T) {
	t.Parallel()
	c, as := signInServers(t, frontDoor, "mcp:tools")
	resource := c.URL + "/mcp"
	call := func(token string) answer {
		t.Helper()
		return c.do("POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`,
			append(mcpHeaders(token), "MCP-Protocol-Version", "2025-06-18")...)
	}
	old := as.machineToken("machine", "secret", resource, "mcp:tools")
	if got := call(old); got.status != 200 || !strings.Contains(got.body, `"machine"`) {
		t.Fatalf("got %d %q, want 200 naming the client", got.status, got.body)
	}
	if n := as.requests()["GET /jwks"]; n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}

	resp, err := http.Post(as.Issuer+"/test/rotate", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := call(as.machineToken("machine", "secret", resource, "mcp:tools")); got.status != 200 {
		t.Errorf("with the new key: got %d, want 200", got.status)
	}
	if got := call(old); got.status != 401 || got.challenge(t)["error"] != "invalid_token" {
		t.Errorf("with the withdrawn key: got %d, want 401 invalid_token", got.status)
	}
	if n := as.requests()["GET /jwks"]; n > 3 {
		t.Errorf("the keys were fetched %d times, want at most three", n)
	}
}
