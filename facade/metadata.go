package facade

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// metadataPaths returns where clients look for the metadata: the paths of RFC
// 8414 and OpenID Connect Discovery, with the issuer's path, and without it, as
// clients of 2025-03-26 do, and some others after that.
func (h *Handler) metadataPaths() []string {
	paths := []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}
	if h.base != "" {
		paths = append(paths,
			"/.well-known/oauth-authorization-server"+h.base,
			"/.well-known/openid-configuration"+h.base,
			h.base+"/.well-known/openid-configuration",
			h.base+"/.well-known/oauth-authorization-server",
		)
	}
	return paths
}

func (h *Handler) isMetadata(path string) bool { return slices.Contains(h.metadataPaths(), path) }

// ServesPath implements [inprocess.Server]: the front door in the same Caddy
// reads the metadata without the network.
func (h *Handler) ServesPath(path string) bool { return h.isMetadata(path) }

// inProcessServer is the handler as the front door in the same Caddy sees it.
type inProcessServer struct{ *Handler }

func (h inProcessServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = h.serveMetadata(w, r) // an error was answered
}

// applied is the metadata that clients get, derived from what was discovered.
type applied struct {
	mu        sync.Mutex
	from      *discovery.Metadata
	fields    map[string]any
	endpoints []inspected
	err       error
}

// fields returns the metadata that clients get. It must not be modified.
func (h *Handler) fields(ctx context.Context) (map[string]any, error) {
	if h.Discovery == "off" {
		return h.applied.fields, nil // checked at provision
	}
	m, err := h.discovery.Metadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotDiscovered, err)
	}
	a := h.applied
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.from != m {
		a.from = m
		if a.fields, a.err = h.corrected.Apply(m.Fields()); a.err != nil {
			h.logger.Error("the authorization server's metadata can't be used", zap.Error(a.err))
		}
		a.endpoints = h.serverEndpoints(a.fields, m.Fields())
	}
	return a.fields, a.err
}

// serveMetadata serves the metadata (RFC 8414, section 3). While the server is
// unavailable, it serves the last known metadata.
func (h *Handler) serveMetadata(w http.ResponseWriter, r *http.Request) error {
	w = unread.Track(w, r)
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	switch r.Method {
	case http.MethodOptions:
		preflight(w, "GET, HEAD")
		return nil
	case http.MethodGet, http.MethodHead:
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		writeError(w, http.StatusMethodNotAllowed, "invalid_request", "The metadata can be read with GET.")
		return nil
	}
	fields, err := h.fields(r.Context())
	if err != nil {
		return h.unavailable(w, r, atMetadata, err)
	}
	h.count(atMetadata, "ok")
	header.Set("Cache-Control", "public, max-age=300")
	return writeJSON(w, http.StatusOK, fields)
}

// preflight answers a CORS preflight. Every web page is allowed, because no
// cookies are used.
func preflight(w http.ResponseWriter, methods string) {
	h := w.Header()
	h.Set("Allow", methods+", OPTIONS")
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "*, Authorization")
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}

// observer returns a function that logs what an operator should fix. It looks up
// the logger each time, because discovery outlives the configuration that started
// it.
func observer(issuer string) func(string, error) {
	return func(_ string, err error) {
		if err == nil {
			return
		}
		if c := caddy.Log().Named("http.handlers.mcp_auth_facade").Check(zapcore.WarnLevel, "asking the authorization server for its metadata failed"); c != nil {
			c.Write(zap.String("issuer", issuer), zap.Error(err))
		}
	}
}
