package oauth

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// The paths of the endpoints, below the issuer's.
const (
	AuthorizePath  = "/oauth/authorize"
	TokenPath      = "/oauth/token"
	RegisterPath   = "/oauth/register"
	RevokePath     = "/oauth/revoke"
	IntrospectPath = "/oauth/introspect"
	KeysPath       = "/oauth/jwks"
)

// BasePath returns the path of the issuer; usually empty.
func (s *Server) BasePath() string {
	u, _ := url.Parse(s.config.Issuer) // checked by New
	return u.EscapedPath()
}

// MetadataPaths returns where clients look for the metadata: the paths of RFC
// 8414, section 3.1, and of OpenID Connect Discovery, section 4, the latter also
// in the form of RFC 8414, section 5.
func (s *Server) MetadataPaths() []string {
	base := s.BasePath()
	paths := []string{
		"/.well-known/oauth-authorization-server" + base,
		"/.well-known/openid-configuration" + base,
	}
	if base != "" {
		paths = append(paths, base+"/.well-known/openid-configuration")
	}
	return paths
}

// metadata returns the metadata document (RFC 8414, section 2).
func (s *Server) metadata() ([]byte, error) {
	issuer := s.config.Issuer
	grants := []string{authorizationCode, refreshToken}
	// Clients that register themselves may be public or confidential.
	open := !s.config.Registration.Off
	public, secret, key := open, open, open
	var introspectSecret, introspectKey, exchange bool
	for _, c := range s.clients {
		public, secret, key = public || c.Public(), secret || c.Secret != "", key || c.Keys != nil
		if c.ClientCredentials && !slices.Contains(grants, clientCredentials) {
			grants = append(grants, clientCredentials)
		}
		exchange = exchange || c.TokenExchange
		introspectSecret = introspectSecret || c.Introspection && c.Secret != ""
		introspectKey = introspectKey || c.Introspection && c.Keys != nil
	}
	if exchange {
		grants = append(grants, tokenExchange)
	}
	if len(s.config.Providers) > 0 {
		grants = append(grants, jwtBearer)
	}
	methods := methodsOf(public, secret, key)
	m := map[string]any{
		"issuer":                                         issuer,
		"authorization_endpoint":                         issuer + AuthorizePath,
		"token_endpoint":                                 issuer + TokenPath,
		"jwks_uri":                                       issuer + KeysPath,
		"scopes_supported":                               append(slices.Clone(s.advertised()), OfflineAccess),
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          grants,
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          methods,
		"revocation_endpoint":                            issuer + RevokePath,
		"revocation_endpoint_auth_methods_supported":     methods,
		"authorization_response_iss_parameter_supported": true, // RFC 9207, section 3
		"prompt_values_supported":                        []string{"none", "login", "consent", "select_account"},
		// If it were left out, it would mean true (OpenID Connect Discovery,
		// section 3).
		"request_uri_parameter_supported": false,

		// OpenID Connect Discovery, section 3, requires these members in the
		// document at its path. There are no ID tokens; scopes_supported doesn't
		// contain openid.
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	}
	if len(s.config.Providers) > 0 {
		// draft-ietf-oauth-identity-assertion-authz-grant, section 7.2.
		m["authorization_grant_profiles_supported"] = []string{identityProfile}
	}
	if s.config.DPoP != nil {
		m["dpop_signing_alg_values_supported"] = dpop.Algorithms() // RFC 9449, section 5.1
	}
	if s.config.CertificateBound {
		m["tls_client_certificate_bound_access_tokens"] = true // RFC 8705, section 3.3
	}
	if !s.config.Registration.Off {
		m["registration_endpoint"] = issuer + RegisterPath
		if s.config.Documents != nil && s.config.Documents.Reachable() {
			m["client_id_metadata_document_supported"] = true
		}
	}
	if introspection := methodsOf(false, introspectSecret, introspectKey); len(introspection) > 0 {
		m["introspection_endpoint"] = issuer + IntrospectPath
		m["introspection_endpoint_auth_methods_supported"] = introspection
	}
	for _, endpoint := range []string{"token", "revocation", "introspection"} {
		// Required if private_key_jwt is listed (RFC 8414, section 2).
		if list, ok := m[endpoint+"_endpoint_auth_methods_supported"].([]string); ok && slices.Contains(list, methodKey) {
			m[endpoint+"_endpoint_auth_signing_alg_values_supported"] = keys.Algorithms()
		}
	}
	return json.Marshal(m)
}

// methodsOf returns the ways to authenticate of clients that have nothing, a secret, or a
// key. Clients that can do several take the first that they know, so those that many
// clients get right come first.
func methodsOf(none, secret, key bool) []string {
	var methods []string
	if none {
		methods = append(methods, methodNone)
	}
	if secret {
		methods = append(methods, methodBasic, methodPost)
	}
	if key {
		methods = append(methods, methodKey)
	}
	return methods
}

// endpoint returns the name of the endpoint at path; empty if there is none.
func (s *Server) endpoint(path string) string {
	for _, metadata := range s.MetadataPaths() {
		if path == metadata {
			return "metadata"
		}
	}
	path, ok := strings.CutPrefix(path, s.BasePath())
	if !ok {
		return ""
	}
	switch path {
	case TokenPath:
		return "token"
	case RegisterPath:
		return "register"
	case RevokePath:
		return "revoke"
	case IntrospectPath:
		return "introspect"
	case KeysPath:
		return "keys"
	}
	return ""
}
