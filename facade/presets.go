package facade

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// preset has the settings for a known kind of server. All of them could also be
// written by hand. ISSUER in a value stands for the issuer.
type preset struct {
	discovery string
	metadata  map[string]any
	strip     []string
	// consents says that the server asks its users for consent for each client.
	consents bool
}

var presets = map[string]preset{
	// Version 1.x and later. It has no metadata unless OIDC is enabled, and then
	// without code_challenge_methods_supported. It honors PKCE if a client uses
	// it.
	"django-oauth-toolkit": {
		discovery: "off",
		metadata: map[string]any{
			"authorization_endpoint":                "ISSUER/authorize/",
			"token_endpoint":                        "ISSUER/token/",
			"revocation_endpoint":                   "ISSUER/revoke_token/",
			"introspection_endpoint":                "ISSUER/introspect/",
			"response_types_supported":              []any{"code"},
			"grant_types_supported":                 []any{"authorization_code", "refresh_token", "client_credentials"},
			"code_challenge_methods_supported":      []any{"S256"},
			"token_endpoint_auth_methods_supported": []any{"client_secret_basic", "client_secret_post"},
		},
	},
	// Logto asks users of third-party applications for consent.
	"logto": {
		consents: true,
	},
	// Its registration endpoint has no CORS for browsers: use `register forward`.
	"keycloak": {consents: true},
	// `resource` is supported in compatibility mode only; otherwise write `add
	// audience <api identifier>` and `strip resource`.
	"auth0": {consents: true},
	// Requests with `resource` are refused; scopes are api://<id>/<name>.
	"entra": {
		metadata: map[string]any{"code_challenge_methods_supported": []any{"S256"}},
		strip:    []string{"resource"},
	},
	"cognito": {
		metadata: map[string]any{"code_challenge_methods_supported": []any{"S256"}},
	},
	// Unknown parameters are refused.
	"google": {
		strip: []string{"resource"},
	},
}

// applyPreset sets the preset's settings where none are given.
func (h *Handler) applyPreset() error {
	if h.Preset == "" {
		return nil
	}
	p, ok := presets[h.Preset]
	if !ok {
		return fmt.Errorf("there is no preset %q: there are %s", h.Preset, strings.Join(slices.Sorted(maps.Keys(presets)), ", "))
	}
	if h.Discovery == "" && h.Upstream == "" {
		h.Discovery = p.discovery
	}
	set := make(map[string]any)
	for name, value := range p.metadata {
		if text, isText := value.(string); isText {
			value = strings.Replace(text, "ISSUER", strings.TrimSuffix(h.Issuer, "/"), 1)
		}
		set[name] = value
	}
	maps.Copy(set, h.Metadata)
	h.Metadata = set
	for _, name := range p.strip {
		if !slices.Contains(h.Strip, name) {
			h.Strip = append(h.Strip, name)
		}
	}
	if p.consents && h.Consent == "" {
		h.Consent = consentUpstream
	}
	return nil
}
