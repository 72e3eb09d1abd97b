//go:build clients && unix

package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// tableSite is what the clients of the table meet: an embedded authorization
// server, and a server with the tools below behind the front door. Its words
// change from column to column.
const tableSite = `
	mcp_auth_server SITE {
		resource SITE/mcp
		scopes {
			mcp:tools  "Use the tools of this server"
			mcp:delete "Delete things"
			mcp:admin  "Change how this server works"
		}
` + embeddedUsers + `
		access_token_lifetime LIFETIME
		client_documents off
	}
	mcp_auth /mcp* SITE/mcp {
		issuer SITE
		scopes mcp:tools
		header X-User {http.auth.user.id}
		tools table_secret nobody
		tools table_delete need scope mcp:delete
		tools *
	}
	reverse_proxy /mcp* BEHIND
`

// tableServer is an MCP server that knows who called what.
type tableServer struct {
	*httptest.Server
	mcp   *mcp.Server
	mu    sync.Mutex
	calls []string // "<tool> for <user>"
	lists int
}

func startTableServer(t *testing.T, stateless bool) *tableServer {
	s := &tableServer{mcp: mcp.NewServer(&mcp.Implementation{Name: "table", Version: "1"}, nil)}
	for _, name := range []string{"table_look", "table_read", "table_delete", "table_secret"} {
		s.add(name)
	}
	s.mcp.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			if method == "tools/list" {
				s.mu.Lock()
				s.lists++
				s.mu.Unlock()
			}
			return next(ctx, method, r)
		}
	})
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.mcp }, &mcp.StreamableHTTPOptions{Stateless: stateless})
	s.Server = httptest.NewServer(handler)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// add adds a tool, of which the server then tells its clients.
func (s *tableServer) add(name string) {
	s.mcp.AddTool(&mcp.Tool{
		Name: name, Description: "A tool of the table.", InputSchema: map[string]any{"type": "object"},
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		user := r.Extra.Header.Get("X-User")
		if user == "" {
			user = "nobody"
		}
		call := name + " for " + user
		s.mu.Lock()
		s.calls = append(s.calls, call)
		s.mu.Unlock()
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: call}}}, nil
	})
}

// grow adds a tool and gives the client the time to ask for the list again.
func (s *tableServer) grow() {
	listed := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.lists
	}
	before := listed()
	s.add("table_later")
	for end := time.Now().Add(3 * time.Second); listed() == before && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
}

// seat is where a client of the table sits: a home of its own, a site, and a model.
type seat struct {
	t *testing.T
	*caddyServer
	tools *tableServer
	model *model
	home  string
	words []string // of the site
	// log has what the client printed, for when something is wrong.
	printed *logBuffer
}

// newSeat starts a site, whose server keeps no sessions if stateless is set, as
// revision 2026-07-28 has it. Words are pairs that replace others in the site.
func newSeat(t *testing.T, stateless bool, words ...string) *seat {
	t.Helper()
	// A short name: paths of sockets can't be long.
	home, err := os.MkdirTemp("", "table")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	s := &seat{t: t, tools: startTableServer(t, stateless), model: startModel(t), home: home, printed: new(logBuffer)}
	s.caddyServer = startCaddy(t, "respond 503")
	s.set(words...)
	t.Cleanup(func() {
		if t.Failed() || os.Getenv("TABLE_VERBOSE") != "" {
			t.Logf("the client printed:\n%s\nthe site was asked for:\n%s\nand the model:\n%s", s.printed.tail(150), s.requests(), s.model.asked)
		}
	})
	return s
}

// site returns the site with the words.
func (s *seat) site(words []string) string {
	return strings.NewReplacer(append(words, "LIFETIME", "15m", "BEHIND", s.tools.Listener.Addr().String())...).Replace(tableSite)
}

// set changes the words of the site.
func (s *seat) set(words ...string) {
	s.t.Helper()
	s.words = words
	s.reload(s.site(words))
}

// restart ends Caddy and starts it again.
func (s *seat) restart() {
	s.t.Helper()
	s.kill()
	s.start(s.caddyfile(s.site(s.words)))
}

// signIns returns how often a user was sent to sign in, and refreshes how often
// tokens were asked for.
func (s *seat) signIns() int { return s.asked("/oauth/authorize") }

func (s *seat) tokenRequests() int { return s.asked("/oauth/token") }

// revoke has the user take all applications' access away.
func (s *seat) revoke() {
	s.t.Helper()
	p := s.person(s.t)
	p.signIn(p.follow(p.get(s.URL+"/oauth/account")), "demo")
	for range 20 {
		pg := p.get(s.URL + "/oauth/account")
		var id string
		for n := range pg.root.Descendants() {
			if n.Data == "button" && testkit.Attribute(n, "name") == "revoke" {
				id = testkit.Attribute(n, "value")
			}
		}
		if id == "" {
			return
		}
		p.post(s.URL+"/oauth/account", url.Values{"revoke": {id}, "csrf": {pg.field("csrf")}})
	}
	s.t.Fatal("applications keep their access")
}

var loggedRequest = regexp.MustCompile(`"method":"(\w+)".*?"uri":"([^"]*)".*"status":(\d+)`)

// requests returns what the site was asked for, and what it answered.
func (s *seat) requests() string {
	var b strings.Builder
	for _, match := range loggedRequest.FindAllStringSubmatch(s.log.String(), -1) {
		fmt.Fprintf(&b, "%s %s %s\n", match[1], match[2], match[3])
	}
	return b.String()
}
