package integration_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// dismissing is a site with an authorization server, before a server of events.
func dismissing(behind string) string {
	return strings.Replace(embedded, "mcp_whoami /mcp*", "reverse_proxy /mcp* "+behind, 1)
}

// An employee leaves. Their tokens end at once, and so do their streams; those of
// others go on.
func TestDismissedUser(t *testing.T) {
	t.Parallel()
	behind := startEventServer(t)
	c := startEmbedded(t, dismissing(behind.address))
	a := c.register(t, callback)
	leaver, other := a.signIn(c.person(t), "demo", "scope", "mcp:tools offline_access"), a.signIn(c.person(t), "ada", "scope", "mcp:tools offline_access")
	status := func(token string) int {
		return c.do("POST", "/mcp/call/x", initialize, "Authorization", "Bearer "+token).status
	}
	close(behind.call("x"))
	for name, token := range map[string]string{"the leaver's": leaver.Access, "the other's": other.Access} {
		if got := status(token); got != 200 {
			t.Fatalf("%s token: got %d, want 200", name, got)
		}
	}
	d := door{caddyServer: c, path: "/mcp"}
	streams := map[string]*streaming{
		"the leaver's": d.stream(t, c.client(), "GET", "", leaver.Access, "Accept", "text/event-stream"),
		"the other's":  d.stream(t, c.client(), "GET", "", other.Access, "Accept", "text/event-stream"),
	}

	code, out, _ := c.command("", "grants", "--address", c.admin, "--json")
	var grants []struct {
		User   string
		Grants int
		Scopes map[string][]string
	}
	if err := json.Unmarshal([]byte(out), &grants); err != nil || code != 0 || len(grants) != 2 || grants[0].User != "ada" || grants[1].User != "demo" || grants[1].Grants != 1 || len(grants[1].Scopes[c.URL+"/mcp"]) != 1 {
		t.Errorf("grants: got %d %s", code, out)
	}
	if code, out, _ := c.command("", "grants", "--address", c.admin, "--user", "demo"); code != 0 || !strings.Contains(out, "demo ") || strings.Contains(out, "ada") {
		t.Errorf("grants: got %d %s, want those of demo", code, out)
	}
	if code, out, stderr := c.command("", "users", "sign-out", "nobody", "--address", c.admin); code != 1 || out != "" || !strings.Contains(stderr, "nobody called") {
		t.Errorf("an unknown user: got %d %s %s, want an error", code, out, stderr)
	}
	// Without the user's password in the configuration, there is no way back.
	gone := strings.Replace(dismissing(behind.address), "\t\t\tdemo $2a", "\t\t\tsomeone $2a", 1)
	c.reload(strings.ReplaceAll(gone, "CAFILE", c.CA))
	for name := range streams {
		streams[name].ends(t, name+" stream at the reload")
	}
	streams["the other's"] = d.stream(t, c.client(), "GET", "", other.Access, "Accept", "text/event-stream")
	streams["the leaver's"] = d.stream(t, c.client(), "GET", "", leaver.Access, "Accept", "text/event-stream")

	if code, out, _ := c.command("", "users", "sign-out", "demo", "--address", c.admin); code != 0 || !strings.Contains(out, "demo at "+c.URL+": ended 1 session, 1 consent and 1 grant\n") {
		t.Errorf("sign-out: got %d %s", code, out)
	}
	streams["the leaver's"].ends(t, "the leaver's stream")
	streams["the other's"].goesOn(t, "the other's stream")
	for _, when := range []string{"at once", "after a reload"} {
		got := c.do("POST", "/mcp/call/x", initialize, "Authorization", "Bearer "+leaver.Access)
		if got.status != 401 || got.challenge(t)["error"] != "invalid_token" {
			t.Errorf("%s: the leaver's token: got %d %v, want 401 invalid_token", when, got.status, got.header)
		}
		if got := status(other.Access); got != 200 {
			t.Errorf("%s: the other's token: got %d, want 200", when, got)
		}
		if got := a.refresh(leaver.Refresh); got.Error != "invalid_grant" {
			t.Errorf("%s: refreshing: got %d %s, want invalid_grant", when, got.status, got.Error)
		}
		c.reload(strings.ReplaceAll(gone, "CAFILE", c.CA) + "\n\theader X-Changed yes\n")
	}
	if got := a.refresh(other.Refresh); got.status != 200 {
		t.Errorf("refreshing the other's token: got %d %s", got.status, got.Error)
	}
}

// One client of a user loses access, and the user gets it back by asking for it.
func TestRevokedClient(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	a, b := c.register(t, callback), c.register(t, callback+"/other")
	lost, kept := a.signIn(c.person(t), "demo"), b.signIn(c.person(t), "demo")
	code, out, _ := c.command("", "grants", "revoke", "--user", "demo", "--client", a.id, "--address", c.admin)
	if code != 0 || !strings.Contains(out, "1 consent and 1 grant") {
		t.Fatalf("got %d %s", code, out)
	}
	if got := c.do("POST", "/mcp", initialize, "Authorization", "Bearer "+lost.Access); got.status != 401 {
		t.Errorf("the revoked client: got %d, want 401", got.status)
	}
	if _, who := c.whoami(kept.Access); who["sub"] != "demo" {
		t.Errorf("another client: whoami says %v, want demo", who)
	}
	if code, _, stderr := c.command("", "grants", "revoke", "--user", "demo", "--client", a.id, "--address", c.admin); code != 1 || !strings.Contains(stderr, "has no access") {
		t.Errorf("again: got %d %s, want an error", code, stderr)
	}
	if code, _, stderr := c.command("", "grants", "revoke", "--user", "demo", "--address", c.admin); code != 2 || !strings.Contains(stderr, "users sign-out") {
		t.Errorf("all clients: got %d %s, want the cure", code, stderr)
	}
}

// An operator sees what the Caddy does, and no secret.
func TestStatusCommand(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	c.logs(`"sign_in":["2 users with a password"]`)
	tokens := c.register(t, callback).signIn(c.person(t), "demo")
	for range 2 {
		c.whoami(tokens.Access)
	}
	code, out, _ := c.command("", "status", "--address", c.admin)
	for _, want := range []string{"MCP server " + c.URL + "/mcp\n", "2 users with a password", "mcp:tools", "authorization server " + c.URL + "\n", "fetched ", "1 verdict of at most 100000, hit rate ", "1 user, 1 client, 1 live grant"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("got %d, and no %q", code, want)
		}
	}
	code, asJSON, _ := c.command("", "status", "--address", c.admin, "--json")
	var all struct {
		Doors, Issuers, Servers []json.RawMessage
	}
	if err := json.Unmarshal([]byte(asJSON), &all); err != nil || code != 0 || len(all.Doors) != 1 || len(all.Issuers) != 1 || len(all.Servers) != 1 {
		t.Errorf("got %d %v", code, err)
	}
	for _, secret := range []string{"$2a$", "machine-secret", tokens.Access, tokens.Refresh, "demo@example.com"} {
		if strings.Contains(out+asJSON, secret) {
			t.Errorf("the status has %s", secret)
		}
	}
	if code, _, stderr := c.command("", "status", "--address", "localhost:1"); code != 1 || !strings.Contains(stderr, "admin API") {
		t.Errorf("no Caddy: got %d %s, want an error", code, stderr)
	}
}
