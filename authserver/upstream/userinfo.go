package upstream

import (
	"context"
	"mime"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// addUserInfo adds claims that the ID token doesn't have. Many providers return
// them only at the userinfo endpoint (OpenID Connect Core, section 5.4). If that
// fails, the sign-in still succeeds, but rules about these claims don't match.
func (o *OIDC) addUserInfo(ctx context.Context, endpoint, accessToken string, claims map[string]any) {
	if endpoint == "" || claims["email"] != nil && claims["name"] != nil {
		return
	}
	more := o.userInfo(ctx, endpoint, accessToken)
	if more == nil || more["sub"] != claims["sub"] { // section 5.3.2
		return
	}
	// email_verified is about the email in the same document, not about one in
	// the other document.
	mine, _ := claims["email"].(string)
	theirs, _ := more["email"].(string)
	if claims["email"] == nil {
		delete(claims, "email")
		delete(claims, "email_verified")
	}
	if theirs == "" || mine != "" && mine != theirs {
		delete(more, "email_verified")
	}
	for name, value := range more {
		if _, known := claims[name]; !known {
			claims[name] = value
		}
	}
}

// userInfo returns the claims at the userinfo endpoint, which may be signed
// (section 5.3.2); nil if there are none that can be used.
func (o *OIDC) userInfo(ctx context.Context, endpoint, accessToken string) map[string]any {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return nil
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+accessToken)
	a, err := outbound.Ask(o.client, req, maxBody)
	if err != nil || !a.OK() {
		return nil
	}
	body := a.Body
	if mediaType, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); mediaType == "application/jwt" {
		set := &keySet{source: o.issuer, now: o.config.Now}
		if body, err = set.VerifySignature(ctx, string(body)); err != nil {
			return nil
		}
	}
	var claims map[string]any
	if json.Unmarshal(body, &claims) != nil {
		return nil
	}
	return claims
}
