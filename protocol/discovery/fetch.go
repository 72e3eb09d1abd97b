// Package discovery finds out about authorization servers: their metadata (RFC
// 8414, OpenID Connect Discovery 1.0) and their keys (RFC 7517), fetched at
// first need, kept, and refreshed. It knows nothing of Caddy.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// maxBody bounds a metadata document and a key set. Real ones have a few
// kilobytes.
const maxBody = 1 << 20

// throttledError is an answer other than 200 that says when to try again. It has its
// own type so that errors.As finds it among the refusals of several locations.
type throttledError struct {
	error
	retryAfter time.Duration
}

// document is the result of a fetch.
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
	a, err := outbound.Ask(client, req, maxBody)
	if _, named := errors.AsType[*url.Error](err); err != nil && !named {
		err = fmt.Errorf("%s: %w", address, err)
	}
	if err != nil {
		return document{}, err
	}
	if !a.OK() {
		err := fmt.Errorf("%s answered %d", address, a.Status)
		if after := a.RetryAfter(); after > 0 {
			err = &throttledError{err, after}
		}
		return document{}, err
	}
	return document{a.Body, outbound.ParseCacheControl(a.Header).MaxAge}, nil
}

// checkEndpoint returns an error if it isn't safe to talk to the address in the field
// name. The address comes from an authorization server or from the configuration.
func checkEndpoint(name, address string) error {
	if err := web.CheckAddress(address); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
