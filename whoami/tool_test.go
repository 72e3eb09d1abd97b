package whoami

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// revisions of the Streamable HTTP transport.
var revisions = []string{"2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"}

func TestWhoami(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{"sse":"/sse"}`)
	url := serve(t, frontDoor(h))

	for _, tc := range []struct {
		name   string
		bearer bearer
		want   string
	}{
		{"nobody", "", `{"error":"Not authenticated"}`},
		{"unverified token", "forged", `{"error":"Not authenticated"}`},
		{"alice", "alice", `{"iss":"https://as.example","sub":"alice","scope":"read write","exp":2000000000}`},
		{"bob", "bob", `{"iss":"https://as.example","sub":"bob"}`},
		{"token among the claims", "carol", `{"sub":"c","name":"not token-of-carol"}`},
		{"no claims", "bare", `{}`},
		{
			"odd claims", "odd", `{"sub":"{env.SECRET}","name":"<b>\"&\u2028\u0000é😀</b>","groups":["a",{"b":[1.5,null,true]}],` +
				`"":"empty","constructor":{},"__proto__":1,"error":"a claim","exp":1000}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, revision := range revisions {
				session := connect(t, &mcp.StreamableClientTransport{Endpoint: url + "/mcp", HTTPClient: tc.bearer.client()}, revision)
				if got := session.InitializeResult().ProtocolVersion; got != revision {
					t.Errorf("got revision %q, want %q", got, revision)
				}
				if got, want := canonical(t, ask(t, session)), canonical(t, tc.want); got != want {
					t.Errorf("%s: got %s, want %s", revision, got, want)
				}
			}
			session := connect(t, &mcp.SSEClientTransport{Endpoint: url + "/sse", HTTPClient: tc.bearer.client()}, "2024-11-05")
			if got, want := canonical(t, ask(t, session)), canonical(t, tc.want); got != want {
				t.Errorf("SSE: got %s, want %s", got, want)
			}
		})
	}
}

func TestPlaceholdersInClaimsStay(t *testing.T) {
	t.Setenv("SECRET", "hunter2")
	h, _ := provision(t, `{}`)
	url := serve(t, frontDoor(h))
	session := connect(t, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: bearer("odd").client()}, "")
	if got := ask(t, session); !strings.Contains(got, `"sub":"{env.SECRET}"`) || strings.Contains(got, "hunter2") {
		t.Errorf("got %s, want sub {env.SECRET}", got)
	}
}

func TestTool(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{"name":"my-server"}`)
	url := serve(t, frontDoor(h))
	session := connect(t, &mcp.StreamableClientTransport{Endpoint: url}, "")

	info := session.InitializeResult()
	if got := info.ServerInfo; got.Name != "my-server" || got.Version == "" {
		t.Errorf("got server %+v, want my-server and a version", got)
	}
	if caps := info.Capabilities; caps.Tools == nil || caps.Tools.ListChanged {
		t.Errorf("got capabilities %+v, want tools that never change", caps)
	}
	list, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Tools) != 1 {
		t.Fatalf("got %d tools, want 1", len(list.Tools))
	}
	tool := list.Tools[0]
	if tool.Name != "whoami" || tool.Title == "" || tool.Description == "" {
		t.Errorf("got tool %q, title %q, description %q", tool.Name, tool.Title, tool.Description)
	}
	if a := tool.Annotations; a == nil || !a.ReadOnlyHint || a.DestructiveHint == nil || *a.DestructiveHint || a.OpenWorldHint == nil || *a.OpenWorldHint {
		t.Errorf("got annotations %+v, want read-only ones", a)
	}
	if got, want := fmt.Sprint(tool.InputSchema), "map[properties:map[] type:object]"; got != want {
		t.Errorf("got input schema %s, want %s", got, want)
	}
	if schema, ok := tool.OutputSchema.(map[string]any); !ok || schema["type"] != "object" || schema["additionalProperties"] != true {
		t.Errorf("got output schema %v, want an open object", tool.OutputSchema)
	}
}

// Some models pass arguments to tools that take none.
func TestArgumentsAreIgnored(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{}`)
	url := serve(t, frontDoor(h))
	session := connect(t, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: bearer("bob").client()}, "")
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "whoami", Arguments: map[string]any{"sub": "alice"}})
	if err != nil || result.IsError {
		t.Fatalf("got %+v, %v, want success", result, err)
	}
	if got := fmt.Sprint(result.StructuredContent); !strings.Contains(got, "bob") || strings.Contains(got, "alice") {
		t.Errorf("got %s, want bob", got)
	}
}

// Callers at the same time, on one handler, and each of its sessions, never
// see each other's identity.
func TestIdentitiesDoNotMix(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{"sse":"/sse"}`)
	url := serve(t, frontDoor(h))
	var wg sync.WaitGroup
	for _, who := range []bearer{"alice", "bob", "mallory", ""} {
		want := `{"error":"Not authenticated"}`
		if u := users[string(who)]; u != nil {
			want = fmt.Sprintf(`"iss":%q,`, u.Issuer)
		}
		sessions := []*mcp.ClientSession{
			connect(t, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: who.client()}, "2025-11-25"),
			connect(t, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: who.client()}, "2026-07-28"),
			connect(t, &mcp.SSEClientTransport{Endpoint: url + "/sse", HTTPClient: who.client()}, ""),
		}
		for _, session := range sessions {
			wg.Go(func() {
				for range 20 {
					result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "whoami"})
					if err != nil {
						t.Error(err)
						return
					}
					if got := result.Content[0].(*mcp.TextContent).Text; !strings.Contains(got, want) {
						t.Errorf("%q: got %s, want %s", who, got, want)
					}
				}
			})
		}
	}
	wg.Wait()
}

// What tools could see is what the protocol needs.
func TestCredentialsDoNotReachTools(t *testing.T) {
	t.Parallel()
	for _, verified := range []bool{true, false} {
		var got http.Header
		h := identify(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if verified {
			r = r.WithContext(token.NewContext(r.Context(), users["alice"]))
		}
		for _, name := range []string{
			"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Forwarded-Access-Token", "Mcp-Session-Id",
			"Accept", "Content-Type", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version",
		} {
			r.Header.Set(name, "Bearer secret")
		}
		before := len(r.Header)
		h.ServeHTTP(nil, r)
		names, _ := json.Marshal(got)
		if len(got) != 5 || got.Get("Authorization")+got.Get("Cookie") != "" {
			t.Errorf("verified %v: got %s, want the protocol's five fields", verified, names)
		}
		if len(r.Header) != before {
			t.Errorf("verified %v: the request's own header was changed", verified)
		}
	}
}
