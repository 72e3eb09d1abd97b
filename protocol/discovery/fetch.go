// Package discovery finds out about authorization servers: their metadata (RFC
// 8414, OpenID Connect Discovery 1.0) and their keys (RFC 7517), fetched at
// first need, kept, and refreshed. It knows nothing of Caddy.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

const (
	// maxBody bounds a metadata document and a key set. Real ones have a few
	// kilobytes.
	maxBody = 1 << 20

	// maxRedirects bounds redirects within the same origin.
	maxRedirects = 3

	userAgent = "caddy-mcp-auth"
)

// NewClient returns an HTTP client for talking to one authorization server: no
// cookies, bounded in headers and time to connect, and never led astray to
// another origin.
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

// RedirectError says that a document would be on another origin, where nobody
// follows.
type RedirectError struct{ Origin string }

func (e *RedirectError) Error() string { return "refusing redirect to another origin, " + e.Origin }

// throttledError is an answer other than 200 that says when to come again. It
// is a type of its own so that errors.As finds it among the refusals of several
// locations.
type throttledError struct {
	error
	retryAfter time.Duration
}

// document is what a fetch brought.
type document struct {
	body []byte
	// maxAge is what Cache-Control allows; zero if it says nothing.
	maxAge time.Duration
}

// fetch gets the document at address.
func fetch(ctx context.Context, client *http.Client, address string) (document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return document{}, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	resp, err := client.Do(req)
	if err != nil {
		return document{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s answered %d", address, resp.StatusCode)
		if after := outbound.RetryAfter(resp.Header); after > 0 {
			err = &throttledError{err, after}
		}
		return document{}, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return document{}, fmt.Errorf("reading %s: %w", address, err)
	}
	if len(body) > maxBody {
		return document{}, fmt.Errorf("%s is larger than %d bytes", address, maxBody)
	}
	return document{body, maxAge(resp.Header)}, nil
}

// maxAge reads the max-age of a Cache-Control header.
func maxAge(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		if age, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(directive)), "max-age="); ok {
			return seconds(age)
		}
	}
	return 0
}

// seconds returns s as a duration; zero if it isn't a number of seconds.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// checkEndpoint returns an error if the address under name, which an authorization
// server names or an operator configures, can't be talked to safely.
func checkEndpoint(name, address string) error {
	if err := web.CheckAddress(address); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
