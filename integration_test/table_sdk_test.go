//go:build clients && unix

package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// inProcess is a client made with the Go SDK in this process: for clients that are
// only a transport.
func inProcess(t *testing.T, p *play, transport mcp.Transport) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()
	changed := make(chan struct{}, 100)
	client := mcp.NewClient(&mcp.Implementation{Name: "table", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changed <- struct{}{} },
	})
	session, err := client.Connect(ctx, transport, nil)
	if err != nil {
		t.Logf("connecting: %v", err)
		p.results = append(p.results, err.Error())
		return
	}
	defer session.Close()
	list := func() (names []string) {
		listed, err := session.ListTools(ctx, nil)
		if err != nil {
			return []string{err.Error()}
		}
		for _, tool := range listed.Tools {
			names = append(names, tool.Name)
		}
		return names
	}
	tools := list()
	for i, step := range p.steps {
		p.begin(i)
		if !listed(tools, step.tool) {
			select {
			case <-changed:
			case <-time.After(5 * time.Second):
			}
			if tools = list(); !listed(tools, step.tool) {
				p.results = append(p.results, "not in the list")
				return
			}
		}
		p.offered = append(p.offered, tools)
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: step.tool})
		if err != nil {
			p.results = append(p.results, err.Error())
			continue
		}
		b, err := json.Marshal(result)
		if err != nil {
			t.Fatal(err)
		}
		p.results = append(p.results, string(b))
	}
}

func listed(tools []string, name string) bool {
	for _, tool := range tools {
		if strings.HasSuffix(tool, name) {
			return true
		}
	}
	return false
}

// mcpRemote is a bridge for clients that only start programs.
type mcpRemote struct{ *seat }

func sitMCPRemote(s *seat) driver { return mcpRemote{s} }

// signIn does nothing: a session does it.
func (m mcpRemote) signIn(...string) {}

func (m mcpRemote) session(p *play) {
	m.t.Helper()
	cmd := m.command(m.t.Context(), nil, "mcp-remote", m.URL+"/mcp")
	cmd.Stderr = m.printed
	inProcess(m.t, p, &mcp.CommandTransport{Command: cmd, TerminateDuration: 3 * time.Second})
}

// script is a program made with one of the TypeScript SDKs. It keeps its tokens in
// memory, so that each session begins with a sign-in.
type script struct {
	*seat
	args []string
}

func sitScript(args ...string) func(*seat) driver {
	return func(s *seat) driver { return script{s, args} }
}

func (c script) signIn(...string) {}

func (c script) session(p *play) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), clientTime)
	defer cancel()
	p.begin(0)
	cmd := node(ctx, c.CA, c.args[0], append(c.args[1:], c.URL+"/mcp", "--repl", "--changes", "--tool", p.steps[0].tool)...)
	cmd.Env = append(cmd.Env, "BROWSER_USER=demo")
	cmd.Stderr = c.printed
	stdin, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		cancel()
		_ = cmd.Wait()
	}()
	lines := bufio.NewScanner(stdout)
	next := func() (line clientLine) {
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &line) != nil {
			line.Error = json.RawMessage(`"the client ended"`)
		}
		fmt.Fprintf(c.printed, "%s\n", lines.Text())
		return line
	}
	line := next()
	tools := line.Tools
	for i, step := range p.steps {
		if i > 0 {
			p.begin(i)
			if !listed(tools, step.tool) {
				fmt.Fprintln(stdin, "changes")
				if tools = next().Tools; !listed(tools, step.tool) {
					p.results = append(p.results, "not in the list")
					return
				}
			}
			fmt.Fprintln(stdin, "call "+step.tool)
			line = next()
		}
		p.offered = append(p.offered, tools)
		p.results = append(p.results, string(line.Result)+string(line.Error))
		if line.Result == nil && i == 0 {
			return // it couldn't start
		}
	}
}

// goProgram is a program made with the Go SDK, here in this process. It keeps its
// tokens in memory.
type goProgram struct{ *seat }

func sitGo(s *seat) driver { return goProgram{s} }

func (g goProgram) signIn(...string) {}

func (g goProgram) session(p *play) {
	g.t.Helper()
	listening := &goClient{t: g.t}
	config := &auth.AuthorizationCodeHandlerConfig{
		RedirectURL: listening.listenForCallback(),
		Client:      g.client(),
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			return authorize(ctx, g.CA, args.URL, "BROWSER_USER=demo")
		},
	}
	registering(config)
	handler, err := auth.NewAuthorizationCodeHandler(config)
	if err != nil {
		g.t.Fatal(err)
	}
	inProcess(g.t, p, &mcp.StreamableClientTransport{Endpoint: g.URL + "/mcp", HTTPClient: g.client(), OAuthHandler: handler})
}
