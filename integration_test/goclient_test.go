package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// goClient is a client made with the Go SDK that knows nothing but a URL.
type goClient struct {
	t              *testing.T
	session        *mcp.ClientSession
	handler        *auth.AuthorizationCodeHandler
	authorizations atomic.Int32
}

// connectGoClient connects to the MCP server at address of c, with a user who
// signs in when asked to. The client registers itself dynamically.
func connectGoClient(t *testing.T, c *caddyServer, address string) *goClient {
	t.Helper()
	return connectGoClientAs(t, c, address, registering)
}

// registering makes the client one that registers itself dynamically.
func registering(config *auth.AuthorizationCodeHandlerConfig) {
	config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{
		Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName:              "go client",
			RedirectURIs:            []string{config.RedirectURL},
			TokenEndpointAuthMethod: "none",
			GrantTypes:              []string{"authorization_code", "refresh_token"},
			ResponseTypes:           []string{"code"},
		},
	}
}

// withChromium makes the client's user one with a real browser.
func withChromium(t *testing.T, c *caddyServer, user string) func(*auth.AuthorizationCodeHandlerConfig) {
	return func(config *auth.AuthorizationCodeHandlerConfig) {
		config.AuthorizationCodeFetcher = func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			q := chromium(ctx, t, c, args.URL, "SIGNIN_USER="+user).parameters(t)
			return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
		}
	}
}

// asPerson makes the client's user one whose browser runs no scripts.
func asPerson(t *testing.T, c *caddyServer, user string) func(*auth.AuthorizationCodeHandlerConfig) {
	return func(config *auth.AuthorizationCodeHandlerConfig) {
		config.AuthorizationCodeFetcher = func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			q := c.person(t).allow(args.URL, user)
			return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
		}
	}
}

// connectGoClientAs connects as the client that introduce makes of it.
func connectGoClientAs(t *testing.T, c *caddyServer, address string, introduce ...func(*auth.AuthorizationCodeHandlerConfig)) *goClient {
	t.Helper()
	g := &goClient{t: t}
	config := &auth.AuthorizationCodeHandlerConfig{
		RedirectURL: g.listenForCallback(),
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			g.authorizations.Add(1)
			return authorize(ctx, c.CA, args.URL)
		},
		Client: c.client(),
	}
	for _, f := range introduce {
		f(config)
	}
	var err error
	if g.handler, err = auth.NewAuthorizationCodeHandler(config); err != nil {
		t.Fatal(err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "go client", Version: "1"}, nil)
	g.session, err = client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint:     address,
		HTTPClient:   c.client(),
		OAuthHandler: g.handler,
	}, nil)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(func() { _ = g.session.Close() })
	return g
}

// listenForCallback answers the browser when it comes back.
func (g *goClient) listenForCallback() (redirectURI string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go server.Serve(ln)
	g.t.Cleanup(func() { server.Close() })
	return fmt.Sprintf("http://%s/callback", ln.Addr())
}

// authorize has the user sign in and consent.
func authorize(ctx context.Context, ca, address string, env ...string) (*auth.AuthorizationResult, error) {
	cmd := node(ctx, ca, "browser.mjs", address)
	cmd.Env = append(cmd.Env, env...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("browser: %w: %s%s", err, out, &said)
	}
	callback, err := url.Parse(strings.TrimSpace(string(out)))
	if err != nil {
		return nil, err
	}
	q := callback.Query()
	return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
}

// whoami calls the tool.
func (g *goClient) whoami() (map[string]any, error) {
	g.t.Helper()
	result, err := g.session.CallTool(g.t.Context(), &mcp.CallToolParams{Name: "whoami"})
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(result)
	if err != nil {
		return nil, err
	}
	return toolText(g.t, b), nil
}

// refreshToken returns the one that the client has.
func (g *goClient) refreshToken() string {
	g.t.Helper()
	source, err := g.handler.TokenSource(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	token, err := source.Token()
	if err != nil || token.RefreshToken == "" {
		g.t.Fatalf("the client has no refresh token: %v", err)
	}
	return token.RefreshToken
}

func TestGoClientSignsIn(t *testing.T) {
	t.Parallel()
	c, _ := signInServers(t, frontDoor, "mcp:tools")
	g := connectGoClient(t, c, c.URL+"/mcp")
	who, err := g.whoami()
	if err != nil {
		t.Fatal(err)
	}
	if who["sub"] != "ada" {
		t.Errorf("whoami says %v, want sub ada", who)
	}
	if n := g.authorizations.Load(); n != 1 {
		t.Errorf("the user was asked %d times, want once", n)
	}
}

// signingInAs makes the client's user one that the environment of browser.mjs describes.
func signingInAs(c *caddyServer, env ...string) func(*auth.AuthorizationCodeHandlerConfig) {
	return func(config *auth.AuthorizationCodeHandlerConfig) {
		config.AuthorizationCodeFetcher = func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			return authorize(ctx, c.CA, args.URL, env...)
		}
	}
}
