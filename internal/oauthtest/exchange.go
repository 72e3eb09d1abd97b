package oauthtest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// TokenExchange is how a product exchanges tokens, as far as a client can see: the
// answer to a form, by the claims of the user's token in it. DoorClient is the client
// that asks.
type TokenExchange func(form url.Values, claims map[string]any) (status int, answer map[string]any)

// DoorClient is the client that asks for exchanges.
const DoorClient = "front-door"

const (
	rfc8693    = "urn:ietf:params:oauth:grant-type:token-exchange"
	jwtBearer  = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	typeAccess = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT    = "urn:ietf:params:oauth:token-type:jwt"
)

// exchanged is a good answer. What is in over replaces its members, or with [Absent]
// removes them.
func exchanged(over map[string]any) (int, map[string]any) {
	return http.StatusOK, set(map[string]any{
		"access_token": "for-the-server-behind", "token_type": "Bearer", "expires_in": 300, "issued_token_type": typeAccess,
	}, over)
}

func refusedExchange(code string) (int, map[string]any) {
	return http.StatusBadRequest, map[string]any{"error": code, "error_description": "a text of the product"}
}

// exchanging calls next for a well-formed RFC 8693 request.
func exchanging(next TokenExchange) TokenExchange {
	return func(form url.Values, claims map[string]any) (int, map[string]any) {
		switch {
		case form.Get("grant_type") != rfc8693:
			return refusedExchange("unsupported_grant_type")
		case form.Get("subject_token_type") != typeAccess, claims == nil:
			return refusedExchange("invalid_request")
		}
		return next(form, claims)
	}
}

// TokenExchanges are what products do, by name.
var TokenExchanges = map[string]TokenExchange{
	// Keycloak 26: the client has to be in the audience of the user's token. It knows
	// no resource; audience narrows; scopes grow by those that the client has by default.
	"Keycloak": exchanging(func(form url.Values, claims map[string]any) (int, map[string]any) {
		switch {
		case !hasAudience(claims, DoorClient):
			return http.StatusForbidden, map[string]any{"error": "access_denied", "error_description": "Client is not within the token audience"}
		case form.Has("resource"):
			return refusedExchange("invalid_request")
		}
		return exchanged(map[string]any{"scope": strings.TrimSpace(form.Get("scope") + " email profile"), "refresh_expires_in": 0, "not-before-policy": 0, "session_state": "x"})
	}),
	// Entra has no RFC 8693. The user's token has to be for the client.
	"Entra": func(form url.Values, claims map[string]any) (int, map[string]any) {
		switch {
		case form.Get("grant_type") != jwtBearer:
			return http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type", "error_description": "AADSTS70003", "error_codes": []int{70003}}
		case form.Get("requested_token_use") != "on_behalf_of" || form.Get("scope") == "" || form.Has("resource") || form.Has("audience"):
			return refusedExchange("invalid_request")
		case claims == nil || !hasAudience(claims, "api://"+DoorClient):
			return http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "AADSTS50013", "error_codes": []int{50013}}
		case claims["sub"] == "conditional":
			return http.StatusBadRequest, map[string]any{
				"error": "interaction_required", "error_codes": []int{50079}, "suberror": "basic_action",
				"claims": `{"access_token":{"capolids":{"essential":true,"values":["c03e2f4a"]}}}`,
			}
		case claims["sub"] == "without consent":
			return http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_codes": []int{65001}, "suberror": "consent_required"}
		}
		return exchanged(map[string]any{"issued_token_type": Absent, "scope": "api://backend/read", "ext_expires_in": 300})
	},
	// Okta: audience is a custom authorization server, and a scope is needed.
	"Okta": exchanging(func(form url.Values, _ map[string]any) (int, map[string]any) {
		switch {
		case form.Get("audience") == "":
			return refusedExchange("invalid_request")
		case form.Get("scope") == "":
			return refusedExchange("invalid_scope")
		}
		return exchanged(map[string]any{"scope": form.Get("scope")})
	}),
	// Auth0: audience is an API. Its token comes with no scope if that is what was asked
	// for.
	"Auth0": exchanging(func(form url.Values, claims map[string]any) (int, map[string]any) {
		if form.Get("audience") == "" || form.Has("resource") {
			return http.StatusForbidden, map[string]any{"error": "access_denied", "error_description": "Service not enabled"}
		}
		return exchanged(nil)
	}),
	// ZITADEL: resource is an error. Without a type, the token is opaque.
	"ZITADEL": exchanging(func(form url.Values, _ map[string]any) (int, map[string]any) {
		switch {
		case form.Has("resource"):
			return refusedExchange("invalid_target")
		case form.Get("requested_token_type") == typeJWT:
			return exchanged(map[string]any{"access_token": "a.jwt.token", "issued_token_type": typeJWT})
		}
		return exchanged(nil)
	}),
	// Logto: resource, and no issued_token_type in the answer.
	"Logto": exchanging(func(form url.Values, _ map[string]any) (int, map[string]any) {
		if form.Get("resource") == "" {
			return refusedExchange("invalid_target")
		}
		return exchanged(map[string]any{"issued_token_type": Absent, "scope": form.Get("scope")})
	}),
}

func hasAudience(claims map[string]any, name string) bool {
	list, ok := claims["aud"].([]any)
	if !ok {
		return claims["aud"] == name
	}
	return slices.Contains(list, any(name))
}

// ServeHTTP is the token endpoint. The client authenticates with client_secret_post.
func (e TokenExchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, answer := http.StatusUnauthorized, map[string]any{"error": "invalid_client"}
	if r.ParseForm() == nil && r.PostForm.Get("client_id") == DoorClient && r.PostForm.Get("client_secret") == "secret" {
		form := r.PostForm
		subject := form.Get("subject_token") + form.Get("assertion")
		status, answer = e(form, claimsOf(subject))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// claimsOf returns the claims of a JWT, nil if it is none.
func claimsOf(jwt string) (claims map[string]any) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &claims) != nil {
		return nil
	}
	return claims
}
