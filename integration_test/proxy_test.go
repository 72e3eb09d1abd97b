package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// A server that knows nothing of OAuth works behind the front door, its progress
// notifications arrive while the call runs, and it never sees a token.
func TestOfficialServerBehindReverseProxy(t *testing.T) {
	t.Parallel()
	needNode(t)
	var everything struct {
		URL string `json:"url"`
	}
	cmd := node(t.Context(), "", "everything.mjs")
	cmd.Env = append(cmd.Env, "PORT=0")
	serve(t, cmd, &everything)

	c, _ := signInServers(t, `
		mcp_auth /mcp* SITE/mcp {
			issuer ISSUER
			scopes mcp:tools
		}
		reverse_proxy `+everything.URL[:len(everything.URL)-len("/mcp")]+`
	`, "mcp:tools")

	for _, test := range []struct {
		name string
		args []string
	}{
		{"TypeScript SDK v1", []string{"client-v1.mjs"}},
		{"TypeScript SDK v2", []string{"client-v2.mjs", "--era", "auto"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
			defer cancel()
			args := append(test.args[1:], c.URL+"/mcp",
				"--tool", "trigger-long-running-operation", "--args", `{"duration":1,"steps":4}`, "--progress")
			out := output(t, node(ctx, c.CA, test.args[0], args...))

			progress := 0
			var last clientLine
			for line := range bytes.Lines(out) {
				last = clientLine{}
				if err := json.Unmarshal(line, &last); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if last.Progress != nil {
					progress++
				}
			}
			// The last one may get lost in the client, together with the result.
			if progress < 3 {
				t.Errorf("%d progress notifications arrived, want at least 3 of 4", progress)
			}
			if !slices.Contains(last.Tools, "echo") || last.Result == nil {
				t.Errorf("the server's tools are %q and the result is %s", last.Tools, last.Result)
			}
		})
	}
}

// The next handler learns who the user is from the headers that the front door
// sets, and from nothing that the client sends.
func TestIdentityReachesTheServerBehind(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen <- r.Header
	}))
	t.Cleanup(behind.Close)
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(`
		mcp_auth /mcp* SITE/mcp {
			issuer ISSUER
			header X-User {http.auth.user.id}
			header X-Name {http.auth.user.name}
		}
		reverse_proxy `+behind.Listener.Addr().String()+`
	`))
	token := f.token(c, map[string]any{"sub": "ada", "name": "{env.HOME}"})

	for _, test := range []struct {
		name, path string
		headers    []string
		want       map[string]string
	}{
		{
			"verified", "/mcp",
			[]string{"Authorization", "Bearer " + token},
			map[string]string{"X-User": "ada", "X-Name": "{env.HOME}", "Authorization": ""},
		},
		{
			"spoofed", "/mcp",
			[]string{"Authorization", "Bearer " + token, "X-User", "eve"},
			map[string]string{"X-User": "ada"},
		},
		{
			"aliases", "/mcp",
			[]string{"Authorization", "Bearer " + token, "X_User", "eve", "X.User", "eve"},
			map[string]string{"X-User": "ada", "X_user": "", "X.user": ""},
		},
		{
			"dropped by Connection", "/mcp",
			[]string{"Authorization", "Bearer " + token, "Connection", "close, X-User"},
			map[string]string{"X-User": "ada"},
		},
		{
			"on a path without a front door", "/public",
			[]string{"X-User", "eve", "X_User", "eve"},
			map[string]string{"X-User": "", "X_user": ""},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Over HTTP/1.1: the later versions have no Connection header.
			request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n", test.path, c.Host)
			for pair := range slices.Chunk(test.headers, 2) {
				request += pair[0] + ": " + pair[1] + "\r\n"
			}
			if resp := c.raw(request + "\r\n"); resp.StatusCode != http.StatusOK {
				t.Fatalf("got %d, want 200", resp.StatusCode)
			}
			header := <-seen
			for name, want := range test.want {
				got := ""
				if values := header[name]; len(values) == 1 {
					got = values[0]
				} else if len(values) > 1 {
					t.Errorf("%s is there %d times", name, len(values))
				}
				if got != want {
					t.Errorf("the server behind saw %s %q, want %q", name, got, want)
				}
			}
		})
	}
}

// Streams of the older revisions pass through: a GET that stays open.
func TestStreamThroughReverseProxy(t *testing.T) {
	t.Parallel()
	server := mcp.NewServer(&mcp.Implementation{Name: "stateful", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "greet"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "hello"}}}, nil, nil
	})
	behind := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	t.Cleanup(behind.Close)
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(`
		mcp_auth /mcp* SITE/mcp {
			issuer ISSUER
		}
		reverse_proxy `+behind.Listener.Addr().String()+` {
			header_up Host {upstream_hostport}
		}
	`))
	changed := make(chan struct{}, 1)
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changed <- struct{}{} },
	})
	hc := c.client()
	hc.Timeout = 0
	hc.Transport = bearer{f.token(c, nil), hc.Transport}
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: c.URL + "/mcp", HTTPClient: hc}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	if _, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "greet"}); err != nil {
		t.Fatal(err)
	}
	mcp.AddTool(server, &mcp.Tool{Name: "another"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return nil, nil, nil
	})
	select {
	case <-changed:
	case <-t.Context().Done():
		t.Error("the notification on the open stream did not arrive")
	}
}

// bearer adds a token to every request.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}
