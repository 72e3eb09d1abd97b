package caddymcpauth

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

func (h *Handler) provisionMetadata() error {
	for name, value := range h.Metadata {
		if err := resource.CheckField(name, value); err != nil {
			return err
		}
	}
	m := resource.Metadata{
		Resource:         h.resource,
		ScopesSupported:  h.offeredScopes(),
		ProofAlgorithms:  h.proofAlgorithms(),
		ProofsRequired:   h.needsProofs(),
		CertificateBound: h.ClientCertificates,
		Fields:           h.Metadata,
	}
	for _, iss := range h.Issuers {
		m.AuthorizationServers = append(m.AuthorizationServers, iss.Issuer)
	}
	var err error
	if h.metadata, err = m.JSON(); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	return nil
}

// offeredScopes returns the scopes that clients should ask for at first.
func (h *Handler) offeredScopes() []string {
	supported := union(h.Scopes, h.required)
	if len(h.ScopesSupported) > 0 {
		supported = h.ScopesSupported
	}
	return union(supported, h.Offer)
}

// isMetadata reports whether r asks for the metadata. Only the exact paths count,
// as they came over the wire: anything that merely normalizes to one of them is a
// request like any other, and needs a token. Clients fall back to the form without
// the resource's path. If the route has a matcher, that form gets here only if it
// matches.
func (h *Handler) isMetadata(r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, resource.WellKnown) {
		return false // nor does the escaped path begin with it
	}
	path := r.URL.EscapedPath()
	// A client that was given the resource with a slash at its end looks there.
	return path == resource.WellKnown || strings.TrimSuffix(path, "/") == h.resource.MetadataPath()
}

// serveDocument answers with a public metadata document. Anyone may read it,
// including web pages of any origin: browser clients start here (RFC 9728, section
// 3).
func (h *Handler) serveDocument(w http.ResponseWriter, r *http.Request, decision string, document []byte) error {
	unread.Answer(w, r)
	decisions.WithLabelValues(h.Resource, decision).Inc()
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", strconv.Itoa(len(document)))
		// Short: an operator who fixes the configuration wants to see it work.
		header.Set("Cache-Control", "public, max-age=60")
		header.Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodGet {
			_, _ = w.Write(document) // the client may be gone
		}
	case http.MethodOptions:
		header.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		// `*` does not cover Authorization, which some clients send everywhere.
		header.Set("Access-Control-Allow-Headers", "*, Authorization, MCP-Protocol-Version")
		header.Set("Access-Control-Max-Age", "7200")
		w.WriteHeader(http.StatusNoContent)
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
	return nil
}
