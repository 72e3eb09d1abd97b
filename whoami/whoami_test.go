package whoami

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// provision loads the handler as Caddy does, and returns a function that does
// what Caddy does first when the configuration stops.
func provision(t testing.TB, config string) (_ *Handler, stop func()) {
	t.Helper()
	h, stop, err := load(config)
	if err != nil {
		t.Fatalf("loading %s: %v", config, err)
	}
	return h, stop
}

func load(config string) (_ *Handler, stop func(), _ error) {
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	ctx, err := caddy.ProvisionContext(nil)
	if err != nil {
		return nil, nil, err
	}
	module, err := ctx.LoadModuleByID("http.handlers.mcp_whoami", []byte(config))
	if err != nil {
		return nil, nil, err
	}
	events, err := ctx.App("events")
	if err != nil {
		return nil, nil, err
	}
	return module.(*Handler), func() { events.(*caddyevents.App).Emit(ctx, "stopping", nil) }, nil
}

// users is what the tokens that frontDoor knows say, by the name in the token.
// Carol's introspection endpoint repeats the token in its answer.
var users = map[string]*token.Token{
	"alice":   user("https://as.example", "alice", `{"iss":"https://as.example","sub":"alice","scope":"read write","exp":2000000000}`),
	"alice-2": user("https://as.example", "alice", `{"iss":"https://as.example","sub":"alice","scope":"read write admin"}`),
	"bob":     user("https://as.example", "bob", `{"iss":"https://as.example","sub":"bob"}`),
	"mallory": user("https://other.example", "alice", `{"iss":"https://other.example","sub":"alice"}`),
	"carol":   user("https://as.example", "c", `{"sub":"c","access_token":"token-of-carol","name":"not token-of-carol"}`),
	"odd": user("https://as.example", "{env.SECRET}", `{"sub":"{env.SECRET}","name":"<b>\"&\u2028\u0000é😀</b>","groups":["a",{"b":[1.5,null,true]}],`+
		`"":"empty","constructor":{},"__proto__":1,"error":"a claim","exp":1e3}`),
	"bare": token.New(token.Token{Issuer: "https://as.example", Subject: "bare"}, nil),
}

func user(issuer, subject, claims string) *token.Token {
	return token.New(token.Token{Issuer: issuer, Subject: subject}, []byte(claims))
}

// frontDoor serves h as Caddy does, with the identity that belongs to the
// bearer token; unlike the real front door it forwards the token.
func frontDoor(h *Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, http.Request{URL: r.URL})
		if t := users[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer token-of-")]; t != nil {
			ctx = token.NewContext(ctx, t)
		}
		next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("next handler called")
		})
		if err := h.ServeHTTP(w, r.WithContext(ctx), next); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// bearer authorizes a client's requests with a user's token; the empty one
// doesn't.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer token-of-"+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (b bearer) client() *http.Client { return &http.Client{Transport: b} }

// connect opens a session of the SDK's client.
func connect(t *testing.T, transport mcp.Transport, revision string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test"}, nil)
	session, err := client.Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatalf("connecting with revision %q: %v", revision, err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// ask calls the tool and returns its answer as JSON text.
func ask(t *testing.T, session *mcp.ClientSession) string {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "whoami"})
	if err != nil {
		t.Fatalf("calling whoami: %v", err)
	}
	if result.IsError || len(result.Content) != 1 {
		t.Fatalf("got isError %v and %d contents, want false and 1", result.IsError, len(result.Content))
	}
	text := result.Content[0].(*mcp.TextContent).Text
	structured, err := json.Marshal(result.StructuredContent)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(structured), canonical(t, text); got != want {
		t.Errorf("got structured content %s, want that of the text: %s", got, want)
	}
	return text
}

// canonical returns the JSON text with sorted keys.
func canonical(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// post sends body to url with the fields of header, given as name and value in
// turn, and returns the status and the body of the answer.
func post(t *testing.T, client *http.Client, url, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

func TestProvision(t *testing.T) {
	t.Setenv("WHOAMI_TEST_NAME", "from the environment")
	for _, tc := range []struct {
		name, config      string
		wantName, wantSSE string
		wantErr           string
	}{
		{name: "defaults", config: `{}`, wantName: "caddy-mcp-whoami"},
		{name: "all", config: `{"name":"n","sse":"/sse"}`, wantName: "n", wantSSE: "/sse"},
		{name: "placeholder", config: `{"name":"{env.WHOAMI_TEST_NAME}"}`, wantName: "from the environment"},
		{name: "empty placeholder", config: `{"name":"{env.WHOAMI_TEST_UNSET}"}`, wantErr: "name: "},
		{name: "unknown placeholder", config: `{"sse":"/{nonsense}"}`, wantErr: "sse: "},
		{name: "unknown key", config: `{"sse_path":"/sse"}`, wantErr: "unknown field"},
		{name: "relative path", config: `{"sse":"sse"}`, wantErr: `sse: "sse" is not an exact path: use one like /sse`},
		{name: "pattern", config: `{"sse":"/sse*"}`, wantErr: "is not an exact path"},
		{name: "URL with query", config: `{"sse":"/sse?x"}`, wantErr: "is not an exact path"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, _, err := load(tc.config)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got error %v, want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Name != tc.wantName || h.SSE != tc.wantSSE {
				t.Errorf("got name %q, sse %q, want %q, %q", h.Name, h.SSE, tc.wantName, tc.wantSSE)
			}
		})
	}
}
