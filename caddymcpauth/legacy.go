package caddymcpauth

import "net/http"

// legacyMetadataPath is where clients of revision 2025-03-26 look: they take the
// MCP server's own origin for the authorization server and ask it for RFC 8414
// metadata, whatever the path of the MCP server.
const legacyMetadataPath = "/.well-known/oauth-authorization-server"

// isLegacyMetadata reports whether r asks for the authorization server's metadata
// at our origin. As with our own, only the exact path counts.
func (h *Handler) isLegacyMetadata(r *http.Request) bool {
	return h.LegacyMetadata && r.URL.EscapedPath() == legacyMetadataPath
}

// serveLegacyMetadata answers with the metadata of the first issuer: clients of
// that revision know only one. The document keeps the real issuer, so these
// clients talk to it directly from then on.
func (h *Handler) serveLegacyMetadata(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return h.serveDocument(w, r, "legacy_metadata", nil)
	}
	metadata, err := h.Issuers[0].discovery.Metadata(r.Context())
	if err != nil {
		ref := refuseToken(err)
		ref.sentence = "The authorization server's metadata is not available right now. Try again."
		w.Header().Set("Access-Control-Allow-Origin", "*")
		return h.refuse(w, r, ref)
	}
	document, err := metadata.JSON()
	if err != nil {
		return err
	}
	return h.serveDocument(w, r, "legacy_metadata", document)
}
