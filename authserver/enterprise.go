package authserver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// identityProviders returns the upstreams that may let clients act for their users.
func (h *Handler) identityProviders() []oauth.Provider {
	var providers []oauth.Provider
	for _, u := range h.Upstreams {
		if p, ok := u.provider.(*upstream.OIDC); ok && u.Enterprise {
			providers = append(providers, oauth.Provider{
				Issuer: u.Issuer,
				Keys:   p.Keys(),
				User: func(ctx context.Context, subject string, claims map[string]any) (oauth.User, error) {
					return h.assertedUser(ctx, u, p.Identity(subject, claims))
				},
			})
		}
	}
	return providers
}

// assertedUser returns the user of an upstream that an identity assertion is about: the
// same user, by the same rules, as after a sign-in with a browser.
func (h *Handler) assertedUser(ctx context.Context, u *Upstream, id upstream.Identity) (oauth.User, error) {
	if len(id.Subject) > maxUserText {
		return oauth.User{}, fmt.Errorf("the user's subject is longer than %d bytes", maxUserText)
	}
	if !u.rules.Allow(id) {
		return oauth.User{}, fmt.Errorf("no rule of upstream %s allows the user %s (%s)", u.Name, id.Subject, id.Username)
	}
	prefix, err := h.subjectPrefix(ctx, u)
	if err != nil {
		return oauth.User{}, &outbound.UnavailableError{Err: err}
	}
	user, err := u.user(prefix, id)
	if at, ok := id.Claims["auth_time"].(float64); ok && at > 0 && at <= float64(h.now().Unix()) {
		user.SignedIn = time.Unix(int64(at), 0)
	}
	return user, err
}

// countIdentity counts identity assertions of upstreams as sign-ins.
func (h *Handler) countIdentity(ctx context.Context, e oauth.Event) {
	if e.Provider == "" {
		return
	}
	outcome := "ok"
	switch {
	case e.Err != nil && e.Err.Status >= http.StatusInternalServerError:
		outcome = "error"
	case e.Err != nil:
		outcome = "denied"
	}
	for _, u := range h.Upstreams {
		if u.Enterprise && u.Issuer == e.Provider {
			h.tried(ctx, u.Name, outcome, e.Subject, nil)
		}
	}
}
