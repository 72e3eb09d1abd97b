// Package caddymcpauth is the front door: Caddy modules that let only requests
// with a verified access token through to an MCP server, and tell every MCP
// client how to get one.
package caddymcpauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/metrics"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/streams"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/session"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler is the authorization front door of an MCP server, a protected
// resource in the words of OAuth. It implements the server's side of MCP
// authorization (revision 2026-07-28 and earlier): RFC 9728 metadata,
// RFC 6750 bearer tokens and challenges, and the check of Origin.
//
// The metadata is served, without a token, at
// `/.well-known/oauth-protected-resource<resource path>`, and at that without a
// path if such a request gets here. All other requests need a token:
//
//	no token                                   401, challenge without error; with the
//	                                           option anonymous only where one is needed
//	malformed or repeated Authorization        400 invalid_request
//	an invalid token, or for another resource  401 invalid_token
//	the token is bound to a key that the       401 invalid_token, or invalid_dpop_proof
//	sender hasn't proved to have               if the proof isn't good
//	a scope is missing                         403 insufficient_scope
//	the token can't be checked right now       503, Retry-After
//	a web page from an origin not allowed      403
//	another user's session                     404
//	the session can't be checked right now     503, Retry-After
//
// With rules (require, tools, prompts, resources, methods), the message in a
// request is judged as well:
//
//	a message that can be read in two ways     400, 413, 415, with a JSON-RPC error
//	a rule needs a scope that is missing       403 insufficient_scope, with a JSON-RPC error
//	a rule says no                             200 with a JSON-RPC error; GET and DELETE 403
//
// When it accepts a request, it sets these placeholders for later handlers and
// access logs:
//
//	{http.auth.user.id}         the user, or the client if it acts on its own behalf
//	{http.auth.user.type}       user, or client if it acts on its own behalf
//	{http.auth.user.issuer}     the authorization server that issued the token
//	{http.auth.user.client_id}  the OAuth client
//	{http.auth.user.scope}      the granted scopes, separated by spaces
//	{http.auth.user.<claim>}    any other claim; a.b for b inside a
//
// Handlers written in Go get the verified token from caddymcpauth.FromContext.
//
// A refused request has the fields `mcp_auth_refusal`, one of a closed set of
// reasons, and `mcp_auth_cause` in the access log. With rules, requests have
// `mcp_method`, `mcp_name` and `mcp_auth_rule`, the line that decided.
type Handler struct {
	// The resource identifier: the URL of the MCP server as clients use it,
	// such as https://mcp.example.com/mcp. Absolute https (http for localhost
	// only), without query, fragment or placeholders. The metadata's address,
	// the challenges and the audience of tokens follow from it; nothing in a
	// request does. Required.
	Resource string `json:"resource"`

	// The authorization servers whose tokens are accepted, in the order in
	// which clients should prefer them. At least one.
	Issuers []*Issuer `json:"issuers"`

	// The scopes that every request needs. Default: none.
	Scopes []string `json:"scopes,omitempty"`

	// The scopes that the metadata advertises. Some clients request all of
	// them, so list the ones that everyone needs, not all that exist. Default:
	// the required scopes, and those by which a user meets Require.
	ScopesSupported []string `json:"scopes_supported,omitempty"`

	// Further scopes that clients should ask for when they sign in: the challenge of
	// a 401 and the metadata name them besides those that the request needs. For
	// clients that can't ask for more later. Default: none.
	Offer []string `json:"offer,omitempty"`

	// Maps a scope to the scopes it includes: a token granted the key satisfies
	// any of the values. It is transitive.
	ScopeImplies map[string][]string `json:"scope_implies,omitempty"`

	// Further fields of the metadata (RFC 9728, section 2), such as
	// resource_name or resource_documentation.
	Metadata map[string]any `json:"metadata,omitempty"`

	// Also serve the first issuer's metadata, unchanged, at this origin's
	// /.well-known/oauth-authorization-server, for clients of revision
	// 2025-03-26, which look for their authorization server there.
	LegacyMetadata bool `json:"legacy_metadata,omitempty"`

	// Origins of web pages that may use this resource, in addition to its own and
	// those on loopback, such as https://inspector.example.com.
	Origins []string `json:"origins,omitempty"`

	// Request headers to set for the next handler, by name. The values may
	// have placeholders such as {http.auth.user.id}; an empty value sets no
	// header. Headers that the client sent under such a name, or under one
	// that servers may confuse with it, are removed.
	Header map[string]string `json:"header,omitempty"`

	// Tell the next handler who a request is from in a signed form. Default: none.
	Assertion *Assertion `json:"assertion,omitempty"`

	// Exchange the user's token for one for the next handler. Default: none.
	Exchange *Exchange `json:"exchange,omitempty"`

	// Leave the Authorization header, and a DPoP header, in the request. By default they
	// are removed: an MCP server must not pass tokens on, and it can't leak a token that
	// it doesn't have.
	ForwardToken bool `json:"forward_token,omitempty"`

	// Whether clients may, or must, prove with each request that they have the key that
	// their token is bound to. With `accepted`, a token that is bound to a key needs a
	// proof, and others are accepted as before; with `required`, every token needs one,
	// API keys apart. With nonce, each client must stay with one Caddy. Default: a token
	// that is bound to a key is refused.
	DPoP *option.DPoP `json:"dpop,omitempty"`

	// Accept tokens that are bound to a client certificate (RFC 8705), from clients that
	// show it on the same TLS connection. The site must ask for certificates: the mode
	// `request` of client_auth is enough. Default: such a token is refused.
	ClientCertificates bool `json:"client_certificates,omitempty"`

	// What a browser gets that asks for a page without a token: by default, beside
	// the challenge, a page that says what the server is and how to connect to it.
	// `off` gives it the same error in JSON as other clients.
	Landing string `json:"landing,omitempty"`

	// `bound`: the session ids and event ids that the server hands out are good for the
	// user who got them only; to others they don't exist. The key for that is in Caddy's
	// storage. `off`: they pass as they are. Default: `bound`.
	Sessions string `json:"sessions,omitempty"`

	// Who may use which tools, prompts, resources and methods.
	Policy

	resource resource.Identifier
	metadata []byte
	issuers  judge.Issuers
	// tokenCharacters are the characters of the tokens that its verifiers may
	// accept.
	tokenCharacters *characters
	hierarchy       *token.ScopeHierarchy
	allowedOrigins  []string
	headerNames     *guard.Headers
	identityHeaders []identityHeader
	headerClaims    *token.Selection // of the identityHeaders
	streams         streams.Closer
	// proxy warns of clients that can't be told apart. Nil if nothing is shared
	// among client networks: no verifier asks about tokens, and no message is read
	// without a token.
	proxy      *clientip.ProxyWarning
	logger     *zap.Logger
	decided    *zap.Logger        // records of decisions
	registered pool.References    // from the authorization servers beside this one
	proofs     proofState         // zero unless takesProofs
	accepted   prometheus.Counter // looked up once, because it counts nearly every request
	anonymous  prometheus.Counter // of callers without a token
	// anonymousReads are shared by callers without a token. Nil unless there are any.
	anonymousReads *message.Turns
	// sessions binds sessions to users. Nil if they aren't bound.
	sessions *session.Binder
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mcp_auth",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets up the handler. It sends no request to an authorization server:
// it may be down, or served by this same Caddy.
func (h *Handler) Provision(ctx caddy.Context) error {
	var err error
	if h.resource, err = parseResource(h.Resource); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	if err := h.provisionScopes(); err != nil {
		return err
	}
	if err := h.provisionOrigins(); err != nil {
		return err
	}
	if err := h.checkLanding(); err != nil {
		return err
	}
	if err := h.provisionHeaders(); err != nil {
		return err
	}
	if err := h.provisionAssertion(ctx); err != nil {
		return fmt.Errorf("assertion: %w", err)
	}
	h.headerClaims = selectHeaders(h.identityHeaders)
	if err := guard.Require(ctx); err != nil {
		return err
	}
	if err := h.provisionIssuers(ctx); err != nil {
		return err
	}
	if err := h.provisionExchange(); err != nil {
		return fmt.Errorf("exchange: %w", err)
	}
	if err := h.provisionPolicy(ctx); err != nil {
		return err
	}
	h.tokenCharacters = tokenCharacters(h.issuers)
	if h.issuers.TakeOpaque() || h.Anonymous {
		h.proxy = new(clientip.ProxyWarning)
	}
	if err := h.provisionSessions(ctx); err != nil {
		return err
	}
	h.logger, h.decided = ctx.Logger(), ctx.Logger(decisionLog{})
	if err := h.provisionDPoP(); err != nil {
		return err
	}
	if err := h.provisionMetadata(); err != nil {
		return err
	}
	if name, ok := h.Metadata["resource_name"].(string); ok {
		// An authorization server in this process names the resource to users.
		h.registered.Add(inprocess.RegisterResource(h.Resource, name))
	}
	if err := metrics.Register(ctx, decisions, judged, fetches, sessionEvents, assertions, exchanges, issuerSeconds, caches); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	h.accepted = decisions.WithLabelValues(h.Resource, "accepted")
	if err := h.checkLayout(ctx); err != nil {
		return err
	}
	// The line that an operator wants to copy at startup.
	ctx.Logger().Info("protecting "+h.Resource,
		zap.Strings("issuers", h.issuerNames()),
		zap.Strings("sign_in", h.signIn()),
		zap.Strings("require", h.requirements()),
		zap.Bool("anonymous", h.Anonymous))
	h.registered.Add(doors.Register(allDoors, h))
	h.registerDoor()
	return h.streams.Provision(ctx)
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.hurry(w, r)
	began := time.Now()
	d := h.decide(r)
	took := time.Since(began)
	defer message.Release(r.Body)
	if d.origin != "" && d.outcome != preflightRequest {
		cors := newCORSWriter(w, d.origin)
		defer cors.commit() // for a handler that sets headers and writes nothing
		w = cors
	}
	if d.nonce != "" {
		w.Header().Set("DPoP-Nonce", d.nonce)
	}
	switch d.outcome {
	case metadataRequest:
		return h.serveDocument(w, r, "metadata", h.metadata)
	case legacyMetadataRequest:
		return h.serveLegacyMetadata(w, r)
	case keysRequest:
		return h.serveKeys(w, r)
	case preflightRequest:
		return h.servePreflight(w, r, d.origin)
	case accepted:
		vouched, ref := h.vouch(r, d)
		if ref != nil {
			d = d.refuse(stepVouch, ref)
			h.record(r, d, took)
			return h.refuse(w, r, ref)
		}
		h.record(r, d, took)
		return h.admit(w, r, d, vouched, next)
	case acceptedAnonymous:
		h.record(r, d, took)
		return h.admitAnonymous(w, r, d, next)
	default:
		h.record(r, d, took)
		return h.refuse(w, r, d.refusal)
	}
}

// KeepsToken reports whether raw is an access token for this server that no other
// server may see. The guard calls it for requests that don't pass through here.
func (h *Handler) KeepsToken(ctx context.Context, raw string) bool {
	return !h.ForwardToken && h.issuers.Meant(ctx, raw, func(i int) []string {
		if audience := h.Issuers[i].Audience; len(audience) > 0 {
			return audience
		}
		return []string{h.Resource}
	})
}

// Cleanup releases the shared state of the issuers. Requests may still be running:
// nothing that they use is closed while another configuration holds it.
func (h *Handler) Cleanup() error {
	errs := []error{h.registered.Release()}
	h.Assertion.close()
	h.Exchange.close()
	for _, iss := range h.Issuers {
		if iss != nil {
			errs = append(errs, iss.shared.Release())
		}
	}
	return errors.Join(errs...)
}

// client returns the client's address, as determined by Caddy's trusted_proxies.
func (h *Handler) client(r *http.Request) string {
	if h.proxy != nil {
		h.proxy.Check(r, h.logger)
	}
	return clientip.Of(r.Context())
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ guard.TokenKeeper           = (*Handler)(nil)
)
