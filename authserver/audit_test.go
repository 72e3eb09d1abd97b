package authserver

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// auditLog returns the site's audit log, a line for each event since the last call.
func (s *site) auditLog() (lines func() string) {
	core, logs := observer.New(zapcore.DebugLevel)
	s.audited = audit.To(zap.New(core), testIssuer)
	return func() string {
		var b strings.Builder
		for _, entry := range logs.TakeAll() {
			f := entry.ContextMap()
			if f["issuer"] != testIssuer {
				s.t.Errorf("got %v, want the issuer", f)
			}
			fmt.Fprint(&b, entry.Level)
			for _, name := range []string{"event", "outcome", "method", "user", "client_id", "resource", "scopes"} {
				if f[name] != nil {
					fmt.Fprint(&b, " ", f[name])
				}
			}
			b.WriteString("\n")
			if all := fmt.Sprint(f); strings.Contains(all, testPassword) || strings.Contains(all, "typed") {
				s.t.Errorf("a password, or what a stranger typed, is in %s", all)
			}
		}
		return b.String()
	}
}

// What people and clients do is in the audit log: at INFO what only known users can
// cause, and never a secret.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	logged := s.auditLog()
	expect := func(what, want string) {
		t.Helper()
		if got := logged(); got != want {
			t.Errorf("%s: got\n%swant\n%s", what, got, want)
		}
	}
	const back = "https://desk.example/callback"
	p := s.person()
	page := p.get(request("desk", back)).follow()
	expect("a page", "")
	page.press("decision", "signin", "username", "typed", "password", "x")
	expect("an unknown name", "debug sign_in wrong password\n")
	page.press("decision", "signin", "username", "ada", "password", "x")
	expect("a wrong password", "debug sign_in wrong password ada\n")
	page = page.signIn("ada")
	expect("signed in", "info sign_in ok password ada\n")
	page.press("decision", "deny")
	expect("denied", "info consent denied ada desk https://mcp.example.com/mcp mcp:tools\n")
	p.get(request("desk", back)).follow().press("decision", "allow")
	expect("allowed", "info consent approved ada desk https://mcp.example.com/mcp mcp:tools\n")
	p.get(request("desk", back)).follow()
	expect("again", "info consent remembered ada desk https://mcp.example.com/mcp mcp:tools\n")
	id := s.register("A client", "https://client.example/callback")
	if len(id) <= audit.MaxIdentifier {
		t.Fatalf("the identifier has only %d bytes", len(id))
	}
	expect("registered", "debug registration ok "+id[:audit.MaxIdentifier]+"...\n")
	account := p.get(accountPath)
	for n := range account.root.Descendants() {
		if testkit.Attribute(n, "name") == "revoke" {
			account.press("revoke", testkit.Attribute(n, "value"))
		}
	}
	expect("taken back", "info revocation ok ada desk\n")
	p.get(accountPath).press("where", "here")
	expect("signed out", "info sign_out ok ada\n")
}
