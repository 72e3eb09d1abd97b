package caddymcpauth

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/identity"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/streams"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// vouched is what tells the server behind who the sender is.
type vouched struct {
	sender *token.Reader
	// assertion and exchanged, an access token, are empty unless the server is to get
	// more than headers.
	assertion, exchanged string
}

// vouch makes what tells the server behind who the sender of an accepted request is. It
// returns a refusal if that can't be had: without it, the request isn't passed on. It is
// no part of [Handler.decide], because it may ask the authorization server for a token.
func (h *Handler) vouch(r *http.Request, d decision) (v vouched, ref *refusal) {
	v.sender = d.reader()
	if v.assertion, ref = h.assert(r, d, v.sender); ref != nil {
		return v, ref
	}
	v.exchanged, ref = h.exchange(r, d, v.sender)
	return v, ref
}

// admit passes the accepted request on with the identity of its sender.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, d decision, v vouched, next caddyhttp.Handler) error {
	h.accepted.Inc()
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	// Otherwise an earlier authentication handler would supply the same
	// placeholders.
	repl.DeleteByPrefix(userPlaceholders)
	if identity.Reader(r.Context()) == nil {
		repl.Map(userPlaceholder(r.Context()))
	}
	identity.Set(r.Context(), v.sender)

	h.setHeaders(r, v.sender, repl)
	if h.ForwardToken {
		keepAuthorization(r)
	} else {
		h.removeCredentials(r)
	}
	h.setAssertion(r, v.assertion)
	next = h.exchanged(d, v.sender, v.exchanged, next)
	next = h.bound(d, h.filtered(d, next))
	if !streams.IsStream(r) {
		return next.ServeHTTP(w, r)
	}
	// A stream that lasts for days must not outlive the token that admitted it.
	client := clientip.Of(r.Context())
	return h.streams.Serve(w, r, d.message(), func(end func(error)) (stop func()) {
		return h.issuers.Watch(d.raw, client, d.token, token.DefaultLeeway, end)
	}, next)
}
