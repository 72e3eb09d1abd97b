package outbound

import (
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

const (
	// UserAgent is the User-Agent of our requests. Some servers refuse requests
	// without one.
	UserAgent = "caddy-mcp-auth"

	// maxRedirects bounds redirects within the same origin.
	maxRedirects = 3

	// maxTime bounds a request whose caller sets no bound of its own, redirects and
	// body included.
	maxTime = 30 * time.Second
)

// NewClient returns an HTTP client for talking to one server: it keeps no cookies,
// bounds headers and time, and follows no redirect to another origin.
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

// sameOriginOnly follows a redirect only within the origin, because some servers add
// a slash. A document at another origin is not what was asked for.
func sameOriginOnly(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if web.Origin(req.URL) != web.Origin(via[0].URL) {
		return &RedirectError{Origin: web.Origin(req.URL)}
	}
	return nil
}

// RedirectError says that a server redirected to another origin, where the client
// doesn't go.
type RedirectError struct{ Origin string }

func (e *RedirectError) Error() string { return "refusing redirect to another origin, " + e.Origin }

// WithoutRedirects returns a copy of client that returns a redirect as the answer.
// Following it could send a token, or our credentials, to an address that nobody
// configured, and turn a POST into a GET. Nil means a client with the defaults of
// net/http.
func WithoutRedirects(client *http.Client) *http.Client {
	var c http.Client
	if client != nil {
		c = *client
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}
