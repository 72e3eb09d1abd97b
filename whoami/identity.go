package whoami

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/identity"
)

// identify returns a handler that tells next who is calling, in the way of the
// SDK: as a TokenInfo in the context, from where it gets to the tools. Only the
// headers that the protocol needs are passed on, because the SDK shows all of
// them to the tools.
func identify(next http.Handler) http.Handler {
	withoutCredentials := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Authorization")
		next.ServeHTTP(w, r)
	})
	// The front door has already checked the expiry, with its own leeway.
	opts := &auth.RequireBearerTokenOptions{AllowMissingExpiration: true}

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := tokenInfo(r)
		r = r.WithContext(r.Context()) // a copy, whose header is replaced
		r.Header = protocolHeader(r.Header)
		if info == nil {
			next.ServeHTTP(w, r)
			return
		}
		// The context key is private to the SDK's bearer middleware, which
		// requires an Authorization header. The front door has removed the
		// client's, so this is a placeholder.
		r.Header.Set("Authorization", "Bearer verified")
		verified := func(context.Context, string, *http.Request) (*auth.TokenInfo, error) { return info, nil }
		auth.RequireBearerToken(verified, opts)(withoutCredentials).ServeHTTP(w, r)
	})
}

// tokenInfo returns what the front door has verified about the caller of r, or
// nil if there is no front door. Extra holds the claims.
func tokenInfo(r *http.Request) *auth.TokenInfo {
	t, ok := identity.FromContext(r.Context())
	if !ok {
		return nil
	}
	claims := t.Claims()
	if claims == nil {
		claims = make(map[string]any)
	}
	// Some introspection endpoints repeat the token in their answer.
	if scheme, credentials, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		maps.DeleteFunc(claims, func(_ string, claim any) bool { return claim == strings.TrimSpace(credentials) })
	}
	return &auth.TokenInfo{
		UserID: t.Issuer + " " + t.Subject, // an issuer is a URL: it contains no space
		Scopes: t.Scopes,
		Extra:  claims,
	}
}

// userID returns an identifier of the caller of r, or "" if the caller is not
// verified. It works behind identify only.
func userID(r *http.Request) string {
	if info := auth.TokenInfoFromContext(r.Context()); info != nil {
		return info.UserID
	}
	return ""
}

// protocolHeader returns the fields of header that the MCP transports define,
// except Mcp-Session-Id, which has no meaning without sessions.
func protocolHeader(header http.Header) http.Header {
	kept := make(http.Header)
	for name, values := range header {
		switch {
		case name == "Mcp-Session-Id":
		case name == "Accept", name == "Content-Type", name == "Last-Event-Id", strings.HasPrefix(name, "Mcp-"):
			kept[name] = values
		}
	}
	return kept
}
