package oauthtest

import (
	"net/http"
	"time"
)

// Personality is a real product that a [Server] can imitate, as far as a resource
// server can see.
type Personality int

const (
	// Generic follows the RFCs and answers every request.
	Generic Personality = iota

	// Logto 1.42: issuer path /oidc, only OIDCAppend, JWTs with ES384.
	// Userinfo answers 401 and introspection 400 for a JWT. Introspection has
	// no aud and no username.
	Logto

	// DjangoOAuthToolkit 1.7: issuer path /o, no metadata, no key set, no
	// userinfo. Introspection at /o/introspect/, 301 without the slash, 403
	// with empty HTML for bad credentials; it has no sub, iss or aud.
	DjangoOAuthToolkit

	// GitHub: no metadata, no key set. Userinfo is /user, Introspection is the
	// check of an application's token at /applications/{client_id}/token.
	GitHub

	// OIDCProvider is oidc-provider 9.13 of npm: JWTs get 400 at
	// introspection and 401 at userinfo, as at Logto, which is built on it;
	// opaque tokens get every field.
	OIDCProvider
)

// character is what a personality consists of. Paths are below the issuer's;
// an empty one means that there is no such endpoint.
type character struct {
	path       string
	metadataAt Location
	algorithm  string

	authorization, token, registration string
	jwks, introspection, userinfo      string

	introspect func(*Server, http.ResponseWriter, *http.Request)
	identify   func(*Server, http.ResponseWriter, *http.Request)
	groups     map[string]func(*Server, http.ResponseWriter, *http.Request) // by path
}

// takeOn fills in the options that aren't set.
func (s *Server) takeOn(p Personality) {
	s.character = characterOf(p)
	o, c := &s.opts, s.character
	if o.Path == "" {
		o.Path = c.path
	}
	if o.MetadataAt == 0 {
		o.MetadataAt = c.metadataAt
	}
	if o.Algorithm == "" {
		o.Algorithm = c.algorithm
	}
	if o.Audience == "" {
		o.Audience = "https://mcp.example.com/mcp"
	}
	if o.ClientID == "" {
		o.ClientID = "front-door"
	}
	if o.ClientSecret == "" {
		o.ClientSecret = "s3cr3t & more: 100%"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if p == GitHub {
		s.character.introspection = "/applications/" + o.ClientID + "/token"
	}
}

func characterOf(p Personality) character {
	// oidc-provider's routes are those of Logto too.
	oidcProvider := character{
		metadataAt:    RFC8414Insert | OIDCAppend,
		algorithm:     "RS256",
		authorization: "/auth", token: "/token", registration: "/reg",
		jwks: "/jwks", introspection: "/token/introspection", userinfo: "/me",
		introspect: introspecter{
			rejectJWT: true,
			fields:    []string{"sub", "client_id", "exp", "iat", "iss", "jti", "aud", "scope", "token_type"},
		}.serve,
		identify: userinfo{rejectJWT: true}.serve,
	}
	switch p {
	case OIDCProvider:
		return oidcProvider
	case Logto:
		logto := oidcProvider
		logto.path, logto.metadataAt, logto.algorithm, logto.registration = "/oidc", OIDCAppend, "ES384", ""
		logto.introspect = introspecter{
			rejectJWT: true,
			fields:    []string{"sub", "client_id", "scope", "exp", "iss"},
		}.serve
		return logto
	case DjangoOAuthToolkit:
		return character{
			path:          "/o",
			metadataAt:    Nowhere,
			algorithm:     "RS256",
			authorization: "/authorize/", token: "/token/",
			introspection: "/introspect/",
			introspect: introspecter{
				forbid: true,
				fields: []string{"scope", "exp", "client_id", "username"},
			}.serve,
		}
	case GitHub:
		return character{
			metadataAt:    Nowhere,
			algorithm:     "RS256",
			authorization: "/login/oauth/authorize", token: "/login/oauth/access_token",
			introspection: "/applications/{client_id}/token",
			userinfo:      "/user",
			introspect:    serveGitHubCheck,
			identify:      serveGitHubUser,
			groups: map[string]func(*Server, http.ResponseWriter, *http.Request){
				"/user/orgs": serveGitHubList("orgs"), "/user/teams": serveGitHubList("teams"),
			},
		}
	default:
		return character{
			metadataAt:    RFC8414Insert | OIDCInsert | OIDCAppend,
			algorithm:     "RS256",
			authorization: "/authorize", token: "/token", registration: "/register",
			jwks: "/jwks", introspection: "/introspect", userinfo: "/userinfo",
			introspect: introspecter{}.serve,
			identify:   userinfo{}.serve,
		}
	}
}

// serveMetadata answers with the metadata document.
func (s *Server) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.MetadataDocument())
}

// MetadataDocument returns the metadata as it is published, for the caller to
// change.
func (s *Server) MetadataDocument() map[string]any {
	base, c := s.URL+s.base(), s.character
	document := map[string]any{
		"issuer":                                         s.Issuer(),
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token", "client_credentials"},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"none", "client_secret_basic", "client_secret_post"},
		"introspection_endpoint_auth_methods_supported":  []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"scopes_supported":                               []string{"openid", "offline_access", "read", "write"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{s.opts.Algorithm},
		"authorization_response_iss_parameter_supported": true,
	}
	for field, path := range map[string]string{
		"authorization_endpoint": c.authorization,
		"token_endpoint":         c.token,
		"registration_endpoint":  c.registration,
		"jwks_uri":               c.jwks,
		"introspection_endpoint": c.introspection,
		"userinfo_endpoint":      c.userinfo,
	} {
		if path != "" {
			document[field] = base + path
		}
	}
	return set(document, s.opts.Metadata)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(mustJSON(v))
}
