package oauth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

const (
	// dynamicPrefix is the prefix of the identifier of a client that registered
	// itself.
	dynamicPrefix = "dyn."

	// maxSealed bounds what is sealed into a client identifier, in bytes, because
	// the identifier travels in URLs.
	maxSealed = 1000
)

// sealedClient is everything known about a client that registered itself. It is
// sealed into the client's identifier: nothing is stored, so nobody can fill the
// disk.
type sealedClient struct {
	RedirectURIs []string `json:"r"`
	Name         string   `json:"n,omitempty"`
	URI          string   `json:"u,omitempty"`
	Method       string   `json:"m,omitempty"` // empty: none
	// Keys, KeysURI and Alg are those of a client with the method private_key_jwt.
	Keys      json.RawMessage `json:"k,omitempty"`
	KeysURI   string          `json:"j,omitempty"`
	Alg       string          `json:"a,omitempty"`
	NoRefresh bool            `json:"f,omitempty"`
	// Nonce makes the identifiers of two confidential clients differ, because
	// they must not share a secret. Public clients with the same metadata have
	// the same identifier.
	Nonce string `json:"x,omitempty"`
}

// register registers a client (RFC 7591, section 3).
func (s *Server) register(w http.ResponseWriter, r *http.Request) (*Event, error) {
	event := &Event{}
	if s.config.Registration.Off {
		return event, &Error{Code: "access_denied", Description: "This server doesn't register clients dynamically.", Status: http.StatusForbidden}
	}
	if s.config.LimitRegistration != nil {
		if wait := s.config.LimitRegistration(r.Context()); wait > 0 {
			return event, tooMany("Too many registrations from this network: try again later.", wait)
		}
	}
	if !isMediaType(r, "application/json") {
		return event, badRequest("invalid_client_metadata", "The request must be application/json.")
	}
	body, err := readBody(r, registration.MaxBody)
	if err != nil {
		return event, &Error{Code: "invalid_client_metadata", Description: "The request is too large or incomplete.", Status: http.StatusRequestEntityTooLarge, Cause: err}
	}
	m, err := registration.Parse(body, &s.config.Registration)
	if err != nil {
		return event, err
	}
	c := sealedClient{Name: m.ClientName, URI: m.ClientURI}
	for _, uri := range m.RedirectURIs {
		// Many clients use another loopback port in every run.
		if uri = registration.WithoutPort(uri); !slices.Contains(c.RedirectURIs, uri) {
			c.RedirectURIs = append(c.RedirectURIs, uri)
		}
	}
	switch method := m.TokenEndpointAuthMethod; {
	case method == methodPost, method == methodBasic:
		c.Method, c.Nonce = method, rand.Text()
	case method == "": // RFC 7591, section 2
		c.Method, c.Nonce = methodBasic, rand.Text()
	case method == methodKey:
		known, err := s.clientKeysOf(m)
		if err == nil {
			c.Method, c.Keys, c.KeysURI, c.Alg = method, known.sent, known.address, known.alg
		} else if !m.Public() {
			return event, badRequest("invalid_client_metadata", "The client's keys can't be used: "+err.Error()+".")
		}
	case !m.Public():
		return event, badRequest("invalid_client_metadata", "token_endpoint_auth_method must be none, client_secret_basic, client_secret_post or private_key_jwt.")
	}
	// The default of section 2 has no refresh tokens, but clients that leave
	// grant_types out do use them.
	c.NoRefresh = len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, refreshToken)
	plain, err := json.Marshal(c)
	if err != nil {
		return event, err
	}
	if len(plain) > maxSealed {
		return event, badRequest("invalid_client_metadata", "The name, redirect URIs and keys together are too long: publish keys at a jwks_uri.")
	}
	k, err := s.secret(r.Context())
	if err != nil {
		return event, err
	}
	id := dynamicPrefix + k.Seal(sealed.ClientID, plain)
	event.Client = id
	answer := map[string]any{
		"client_id":                  id,
		"client_id_issued_at":        s.now().Unix(),
		"redirect_uris":              m.RedirectURIs,
		"token_endpoint_auth_method": methodNone,
		"grant_types":                c.grantTypes(),
		"response_types":             []string{"code"},
	}
	switch c.Method {
	case "":
	case methodKey:
		answer["token_endpoint_auth_method"] = c.Method
		c.describeKeys(answer)
	default:
		answer["token_endpoint_auth_method"] = c.Method
		answer["client_secret"] = k.clientSecret(id)
		answer["client_secret_expires_at"] = 0
	}
	if c.Name != "" {
		answer["client_name"] = c.Name
	}
	if c.URI != "" {
		answer["client_uri"] = c.URI
	}
	return event, writeJSON(w, http.StatusCreated, answer)
}

// describeKeys adds the client's keys to the answer to its registration.
func (c *sealedClient) describeKeys(answer map[string]any) {
	if c.KeysURI != "" {
		answer["jwks_uri"] = c.KeysURI
	} else {
		answer["jwks"] = c.Keys
	}
	if c.Alg != "" {
		answer["token_endpoint_auth_signing_alg"] = c.Alg
	}
}

func (c *sealedClient) grantTypes() []string {
	if c.NoRefresh {
		return []string{authorizationCode}
	}
	return []string{authorizationCode, refreshToken}
}

// clientSecret returns the secret of a confidential client that registered
// itself.
func (k *secrets) clientSecret(id string) string {
	return base64.RawURLEncoding.EncodeToString(k.MAC(sealed.ClientSecret, []byte(id)))
}
