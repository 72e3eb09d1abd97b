package outbound

import "net/http"

// UserAgent is how we introduce ourselves. Some servers refuse requests without
// one.
const UserAgent = "caddy-mcp-auth"

// WithoutRedirects returns a copy of client that takes a redirect for an answer.
// Following one would carry a token, or our credentials, to where nobody
// configured them to go, and turn a POST into a GET. Nil means a client of
// net/http's defaults.
func WithoutRedirects(client *http.Client) *http.Client {
	var c http.Client
	if client != nil {
		c = *client
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}
