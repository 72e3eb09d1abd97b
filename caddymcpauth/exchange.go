package caddymcpauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/verifiers"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/exchange"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Exchange sends the server behind a token of its own for the user: what the
// authorization server gives in exchange for the user's token, by token exchange (RFC
// 8693) or by the on-behalf-of flow. The server gets it as `Authorization: Bearer`. It is
// kept until it or the user's token expires, and exchanged once more if the server
// behind answers 401.
//
// The rules judge the user's own token. A token that isn't a user's, such as an API key,
// is never exchanged: 403.
type Exchange struct {
	// The issuer where tokens are exchanged; tokens of others get 403. Default: the
	// issuer, if there is only one.
	Issuer string `json:"issuer,omitempty"`

	// The token endpoint. Default: token_endpoint of the issuer's metadata. Give the
	// final address: redirects are not followed. Placeholders are replaced once, at
	// provision.
	Endpoint string `json:"endpoint,omitempty"`

	verifiers.Credentials

	// The kind of exchange: `token_exchange`, or `on_behalf_of` for Entra. Default:
	// token_exchange.
	Grant string `json:"grant,omitempty"`

	// The server behind, as the parameter `audience`. Authorization servers differ in
	// what they want: at least one of audience, resource and scopes. Placeholders are
	// replaced once, at provision.
	Audience string `json:"audience,omitempty"`

	// The server behind, as the parameter `resource`. Placeholders are replaced once, at
	// provision.
	Resource string `json:"resource,omitempty"`

	// The scopes that the server behind needs. A token that lacks one is not passed
	// on: 403.
	Scopes []string `json:"scopes,omitempty"`

	// What to ask for: `access_token`, `jwt`, or a URI. Default: the authorization
	// server decides.
	RequestedTokenType string `json:"requested_token_type,omitempty"`

	// Further parameters of the request, by name.
	Parameter map[string]string `json:"parameter,omitempty"`

	exchanger *exchange.Exchanger
}

// exchangeTTL bounds how long a token for the server behind is kept, whatever it says.
const exchangeTTL = 24 * time.Hour

// provisionExchange sets up what exchanges tokens. It sends nothing.
func (h *Handler) provisionExchange() error {
	x := h.Exchange
	if x == nil {
		return nil
	}
	switch {
	case h.ForwardToken:
		return errors.New("exchange and forward_token both set the header Authorization: keep one")
	case h.Assertion != nil && h.Assertion.Authorization:
		return errors.New("exchange and an assertion with authorization both set the header Authorization: keep one, or give the assertion a header of its own")
	}
	iss, err := x.issuerOf(h)
	if err != nil {
		return err
	}
	if err := option.Replace(
		option.Setting{Name: "endpoint", Value: &x.Endpoint},
		option.Setting{Name: "audience", Value: &x.Audience},
		option.Setting{Name: "resource", Value: &x.Resource},
	); err != nil {
		return err
	}
	auth, err := x.Authenticator(iss.Issuer)
	if err != nil {
		return err
	}
	if x.Endpoint != "" {
		if err := web.CheckAddress(x.Endpoint); err != nil {
			return fmt.Errorf("endpoint: %w", err)
		}
	} else if !iss.discovery.Knows("token_endpoint") {
		return errors.New("discovery is off, so the endpoint must be given: endpoint <url>")
	}
	key := []any{iss.Issuer, "exchange", iss.Discovery, iss.Metadata, h.Resource, x}
	state, err := cachePool.Acquire(&iss.shared, key, func() (cacheState, error) {
		cache, err := judge.NewCache(judge.CacheConfig{TTL: exchangeTTL, MaxEntries: exchange.MaxEntries, Turns: iss.turns})
		return cacheState{cache, iss.Issuer}, err
	})
	if err != nil {
		return err
	}
	x.exchanger, err = exchange.New(exchange.Config{
		Endpoint: func(ctx context.Context) (string, error) {
			if x.Endpoint != "" {
				return x.Endpoint, nil
			}
			return iss.discovery.Endpoint(ctx, "token_endpoint")
		},
		Auth:          auth,
		Grant:         exchange.Grant(x.Grant),
		Audience:      x.Audience,
		Resource:      x.Resource,
		Scopes:        x.Scopes,
		RequestedType: x.RequestedTokenType,
		Parameters:    x.Parameter,
		Client:        iss.discovery.Client(),
		OnExchange:    func(err error) { countExchange(h.Resource, err) },
		OnWider: sync.OnceFunc(func() {
			h.logger.Warn("the tokens for the server behind have scopes that weren't asked for: have the authorization server narrow them",
				zap.String("resource", h.Resource), zap.String("issuer", iss.Issuer))
		}),
	}, iss.Issuer, state.Cache)
	return err
}

// issuerOf returns the issuer where tokens are exchanged.
func (x *Exchange) issuerOf(h *Handler) (*Issuer, error) {
	if x.Issuer == "" && len(h.Issuers) > 1 {
		return nil, errors.New("there are several issuers: name the one where tokens are exchanged, with issuer <url>")
	}
	for _, iss := range h.Issuers {
		if x.Issuer == "" || iss.Issuer == x.Issuer {
			return iss, nil
		}
	}
	return nil, fmt.Errorf("issuer %q is none of this door's: %q", x.Issuer, h.issuerNames())
}

// close ends what the exchanger does in the background.
func (x *Exchange) close() {
	if x != nil && x.exchanger != nil {
		x.exchanger.Close()
	}
}

// exchange returns the token for the server behind, empty if there is none to send.
func (h *Handler) exchange(r *http.Request, d decision, sender *token.Reader) (string, *refusal) {
	if h.Exchange == nil {
		return "", nil
	}
	text, err := h.Exchange.exchanger.For(r.Context(), d.raw, h.client(r), sender)
	return text, h.refuseExchange(d, err)
}

// refuseExchange returns the answer to a request for whose sender there is no token
// because of err; nil if err is.
func (h *Handler) refuseExchange(d decision, err error) *refusal {
	if err == nil {
		return nil
	}
	var ref *refusal
	why, told := errors.AsType[*exchange.Error](err)
	_, invalid := errors.AsType[*token.InvalidError](err)
	switch {
	case invalid:
		ref = refuseToken(err).about(h.firstScopes(nil))
	case !told:
		ref = refuseToken(err)
		ref.reason, ref.sentence = "exchange_unavailable", "The request can't be passed on right now. Try again."
	case why.Kind == exchange.OwnClient:
		ref = &refusal{
			status: http.StatusInternalServerError, reason: "exchange_failed", code: "server_error", cause: err,
			sentence: "The request can't be passed on. Tell the operator of this MCP server.",
		}
		h.logger.Error("tokens can't be exchanged for the server behind", zap.String("resource", h.Resource), zap.Error(err))
	case why.Kind == exchange.Interaction:
		ref = &refusal{
			status: http.StatusUnauthorized, reason: "exchange_interaction", code: codeInsufficientClaims, cause: err, challenge: true,
			sentence: "Sign in again, as the authorization server asks for.", claims: why.Claims,
		}
		ref.scopes = h.firstScopes(nil)
	case why.Kind == exchange.NoUser:
		ref = &refusal{
			status: http.StatusForbidden, reason: "no_user", code: "access_denied", cause: err,
			sentence: "This needs the access token of a user.",
		}
	default:
		ref = &refusal{
			status: http.StatusForbidden, reason: "exchange_refused", code: "access_denied", cause: err,
			sentence: "The authorization server doesn't allow it for this user.",
		}
	}
	if m := d.message(); m != nil {
		ref.bodyRead = true
		if ref.status == http.StatusForbidden {
			ref.rpc, ref.id = rpcForbidden, m.ID
		}
	}
	return ref
}

// codeInsufficientClaims is what Microsoft's clients know a claims challenge by.
const codeInsufficientClaims = "insufficient_claims"

// countExchange counts a request for a token for the server behind.
func countExchange(resource string, err error) {
	exchanges.WithLabelValues(resource, exchangeResult(err)).Inc()
}

func exchangeResult(err error) string {
	why, told := errors.AsType[*exchange.Error](err)
	switch {
	case err == nil:
		return "ok"
	case !told:
		return "unavailable"
	case why.Kind == exchange.OwnClient:
		return "own_client"
	case why.Kind == exchange.Interaction:
		return "interaction"
	}
	return "refused"
}

// target names the server behind, for people.
func (x *Exchange) target() string { return cmp.Or(x.Resource, x.Audience, "its scopes") }
