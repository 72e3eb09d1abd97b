// Package tools finds out which tools an MCP server shows, as its clients do.
package tools

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// What is read of a server at most.
const (
	maxAnswer = 8 << 20 // bytes of one answer
	maxTools  = 2000
	maxPages  = 100
)

// DefaultTimeout is how long listing may take if nothing else is said.
const DefaultTimeout = 30 * time.Second

// Config says how a server is asked.
type Config struct {
	// Token is the access token of the caller. Without it, the caller is anonymous.
	Token string
	// Roots are trusted instead of the system's, if set.
	Roots *x509.CertPool
	// Timeout bounds all of it. Default: DefaultTimeout.
	Timeout time.Duration
}

// Tool is a tool as a server describes it. The texts are the server's.
type Tool struct {
	// Name is what a call names. It may have any character.
	Name string `json:"name"`
	// Description says what the tool does. Default: empty.
	Description string `json:"description,omitempty"`
	// ReadOnly is its readOnlyHint: it says of itself that it changes nothing. Default:
	// false.
	ReadOnly bool `json:"read_only"`
}

// Error says why a server's tools aren't known.
type Error struct {
	// URL is that of the server.
	URL string
	// Status is the last status that it answered with; 0 if it gave no answer.
	Status int
	// Token says whether it was sent one.
	Token bool
	// Cause may have texts of the server's in it.
	Cause error
}

func (e *Error) Error() string { return fmt.Sprintf("listing the tools of %s: %v", e.URL, e.Cause) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// errTooMany is about a server whose list has no end that is waited for.
var errTooMany = fmt.Errorf("more than %d tools, or %d pages of them", maxTools, maxPages)

// List returns the tools that the MCP server at url shows to the caller, in the
// server's order. The transport is streamable HTTP. The error is an [*Error].
func List(ctx context.Context, url string, config Config) ([]Tool, error) {
	timeout := config.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	if config.Roots != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: config.Roots}
	}
	caller := &caller{token: config.Token, next: transport}
	list, err := list(ctx, &mcp.StreamableClientTransport{
		Endpoint: url,
		HTTPClient: &http.Client{
			Transport: caller,
			// The token is for this URL alone.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		MaxRetries:           -1,
		DisableStandaloneSSE: true,
		MaxEventSize:         maxAnswer,
	})
	if err != nil {
		return nil, &Error{URL: url, Status: caller.status, Token: config.Token != "", Cause: err}
	}
	return list, nil
}

func list(ctx context.Context, transport mcp.Transport) ([]Tool, error) {
	session, err := mcp.NewClient(&mcp.Implementation{Name: "caddy mcp-auth tools", Version: "1"}, nil).Connect(ctx, transport, nil)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	var all []Tool
	var params mcp.ListToolsParams
	for range maxPages {
		page, err := session.ListTools(ctx, &params)
		if err != nil {
			return nil, err
		}
		for _, tool := range page.Tools {
			if tool == nil {
				continue
			}
			all = append(all, Tool{
				Name:        tool.Name,
				Description: tool.Description,
				ReadOnly:    tool.Annotations != nil && tool.Annotations.ReadOnlyHint,
			})
		}
		switch {
		case len(all) > maxTools:
			return nil, errTooMany
		case page.NextCursor == "":
			return all, nil
		}
		params.Cursor = page.NextCursor
	}
	return nil, errTooMany
}

// caller sends requests with its token, and reads answers that aren't too large.
type caller struct {
	token  string
	next   http.RoundTripper
	status int // of the last answer
}

// RoundTrip implements [http.RoundTripper].
func (c *caller) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodPost {
		c.status = resp.StatusCode
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

var errTooLarge = errors.New("the answer is too large")

// bounded is a body of which so many bytes are read.
type bounded struct {
	io.ReadCloser
	left int
}

// Read implements [io.Reader].
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
