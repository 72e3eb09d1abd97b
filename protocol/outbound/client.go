package outbound

import (
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

const (
	// UserAgent is how we introduce ourselves. Some servers refuse requests without
	// one.
	UserAgent = "caddy-mcp-auth"

	// maxRedirects bounds redirects within the same origin.
	maxRedirects = 3

	// maxTime bounds a request, redirects and body included, whose caller sets no
	// bound of its own.
	maxTime = 30 * time.Second
)

// NewClient returns an HTTP client for talking to one server: no cookies, bounded
// in headers and time, and not to be redirected to another origin.
func NewClient() *http.Client {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    3 * time.Second,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConnsPerHost:    4,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: sameOriginOnly,
		Timeout:       maxTime,
	}
}

// sameOriginOnly follows a redirect only within the origin, for the sake of
// servers that add a slash. Elsewhere, a document is not what was asked for.
func sameOriginOnly(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if web.Origin(req.URL) != web.Origin(via[0].URL) {
		return &RedirectError{Origin: web.Origin(req.URL)}
	}
	return nil
}

// RedirectError says that an answer would be on another origin, where a client
// doesn't go.
type RedirectError struct{ Origin string }

func (e *RedirectError) Error() string { return "refusing redirect to another origin, " + e.Origin }

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
