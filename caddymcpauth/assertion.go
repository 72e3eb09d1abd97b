package caddymcpauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/signing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/assertion"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Assertion tells the server behind who a request is from, in a signed form: a JWT
// (ES256) that it can check, so that a request that didn't come through the front
// door convinces it of nothing. The public keys are at
// `/.well-known/mcp-auth/jwks.json`, the same for all doors of the origin; the private
// ones are in Caddy's storage, sealed, and replaced every month.
//
// It has these claims, and the chosen ones:
//
//	iss        the resource
//	aud        the audience
//	sub        the user, or the client if it acts on its own behalf
//	sub_id     the user with the authorization server that knows it (RFC 9493):
//	           {"format": "iss_sub", "iss": …, "sub": …}
//	client_id  the OAuth client, if it is known
//	scope      the granted scopes, separated by spaces, if there are any
//	iat, exp   when it was signed, and when it expires
//	jti        its identifier; several requests may bring the same assertion
//
// Requests without a token get none. If there is no key, because the storage can't be
// reached, the answer is 503.
type Assertion struct {
	// What the server behind expects in aud: any name that no other server has, such
	// as https://backend.internal. Not the resource. Placeholders are replaced once,
	// at provision. Required.
	Audience string `json:"audience"`

	// The request header with the assertion. A client's own, also under a name that
	// servers may take for it, is removed on the whole site. Default:
	// X-Mcp-Auth-Assertion.
	Header string `json:"header,omitempty"`

	// Send it as `Authorization: Bearer`, as an access token (RFC 9068), instead of in
	// a header of its own: for servers whose MCP library checks bearer tokens. No
	// front door accepts it.
	Authorization bool `json:"authorization,omitempty"`

	// Claims of the token to copy. A dot leads into an object, as in
	// realm_access.roles; the claim has that name in the assertion too. Those that a
	// token doesn't have are left out.
	Claims []string `json:"claims,omitempty"`

	// How long an assertion is valid, from 10s to 10m, and never longer than the
	// token. Default: 60s.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	keys   *signing.Ring
	signer *assertion.Signer
}

// headerName returns the header with the assertion; empty for Authorization.
func (a *Assertion) headerName() string {
	switch {
	case a == nil || a.Authorization:
		return ""
	case a.Header == "":
		return assertion.DefaultHeader
	}
	return a.Header
}

// provisionAssertion sets up what signs. It reads nothing from the storage.
func (h *Handler) provisionAssertion(ctx caddy.Context) error {
	a := h.Assertion
	if a == nil {
		return nil
	}
	if a.Authorization && a.Header != "" {
		return fmt.Errorf("header %s and authorization: keep one", a.Header)
	}
	if a.Authorization && h.ForwardToken {
		return errors.New("authorization and forward_token both set the header Authorization: keep one, or give the assertion a header of its own")
	}
	if err := option.Replace(option.Setting{Name: "audience", Value: &a.Audience}); err != nil {
		return err
	}
	// The keys belong to the origin, where they are published.
	records := storage.New(ctx.Storage(), "mcp_auth_assertions", h.resource.Origin())
	logger := ctx.Logger()
	a.keys = signing.New(signing.Config{
		Store:   records,
		Prefix:  "keys/",
		Secret:  storage.NewSecret(records, "").Keys,
		Purpose: sealed.AssertionKey,
		Longest: assertion.MaxLifetime,
		Damaged: func(context.Context) {
			logger.Warn("a damaged key of assertions in the storage counts as not there", zap.String("origin", h.resource.Origin()))
		},
	})
	var err error
	a.signer, err = assertion.NewSigner(assertion.SignerConfig{
		Config: assertion.Config{
			Resource:    h.Resource,
			Audience:    a.Audience,
			Claims:      a.Claims,
			Lifetime:    time.Duration(a.Lifetime),
			AccessToken: a.Authorization,
		},
		Key: func(ctx context.Context, now time.Time) (jose.JSONWebKey, error) {
			keys, err := a.keys.Current(ctx)
			if err != nil {
				return jose.JSONWebKey{}, err
			}
			return keys.Signing(now), nil
		},
		OnSign: func(err error) { countAssertion(h.Resource, err) },
	})
	return err
}

// close ends what the signer does in the background.
func (a *Assertion) close() {
	if a != nil && a.signer != nil {
		a.signer.Close()
	}
}

// assert returns the assertion about the sender of an accepted request, empty if there
// is none to send. Without one where there should be one, the request is refused:
// the server behind must not take it for anonymous.
func (h *Handler) assert(r *http.Request, d decision, sender *token.Reader) (string, *refusal) {
	if h.Assertion == nil {
		return "", nil
	}
	text, err := h.Assertion.signer.For(r.Context(), d.raw, sender)
	if err == nil {
		return text, nil
	}
	var ref *refusal
	switch _, away := errors.AsType[*token.UnavailableError](err); {
	case errors.Is(err, assertion.ErrExpired):
		ref = refuseToken(&token.InvalidError{Reason: token.Expired, Detail: "too little of its life is left for an assertion"}).about(h.firstScopes(nil))
	case away:
		ref = refuseToken(err)
		ref.reason, ref.sentence = "assertion", "The request can't be passed on right now. Try again."
		h.logger.Warn("no assertion can be signed: the key can't be loaded from the storage", zap.String("resource", h.Resource), zap.Error(err))
	default:
		ref = &refusal{
			status: http.StatusInternalServerError, reason: "assertion", code: "server_error", cause: err,
			sentence: "The request can't be passed on. Tell the operator of this MCP server.",
		}
		h.logger.Error("no assertion can be signed", zap.String("resource", h.Resource), zap.Error(err))
	}
	ref.bodyRead = d.message() != nil
	return "", ref
}

// setAssertion puts the assertion into the request.
func (h *Handler) setAssertion(r *http.Request, text string) {
	switch {
	case text == "":
	case h.Assertion.Authorization:
		setAuthorization(r, text)
	default:
		r.Header[http.CanonicalHeaderKey(h.Assertion.headerName())] = []string{text}
	}
}

// isKeys reports whether r asks for the keys of assertions. As with the metadata, only
// the exact path counts.
func (h *Handler) isKeys(r *http.Request) bool {
	return h.Assertion != nil && r.URL.Path == assertion.KeysPath && r.URL.EscapedPath() == assertion.KeysPath
}

// serveKeys answers with the public keys.
func (h *Handler) serveKeys(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return h.serveDocument(w, r, "keys", nil)
	}
	keys, err := h.Assertion.keys.Current(r.Context())
	if err != nil {
		ref := refuseToken(err)
		ref.sentence = "The keys are not available right now. Try again."
		w.Header().Set("Access-Control-Allow-Origin", "*")
		return h.refuse(w, r, ref)
	}
	return h.serveDocument(w, r, "keys", keys.Document())
}

// UnmarshalCaddyfile sets up the assertion from Caddyfile tokens. Syntax:
//
//	assertion {
//	    audience <name>
//	    header   <name>
//	    authorization
//	    claims   <names...>
//	    lifetime <duration>
//	}
func (a *Assertion) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the option's name
	if d.NextArg() {
		return d.Err("assertion takes a block, with at least: audience <name of the server behind>")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "audience":
			err = option.Text(d, &a.Audience)
		case "header":
			err = option.Text(d, &a.Header)
		case "authorization":
			err = option.Flag(d, &a.Authorization)
		case "claims":
			err = option.List(d, &a.Claims)
		case "lifetime":
			err = option.Duration(d, &a.Lifetime)
		default:
			err = d.Errf("unrecognized option of assertion: %s (known: audience, header, authorization, claims, lifetime)", d.Val())
		}
		if err != nil {
			return err
		}
	}
	switch {
	case a.Audience == "":
		return d.Err("assertion needs an audience: what the server behind expects in aud, for example https://backend.internal")
	case a.Authorization && a.Header != "":
		return d.Err("assertion has header and authorization: keep one")
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Assertion)(nil)
