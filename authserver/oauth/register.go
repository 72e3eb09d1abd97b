package oauth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
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

// dynamicClient returns the client whose metadata is sealed into id.
func (s *Server) dynamicClient(ctx context.Context, id string) (*Client, error) {
	k, err := s.secret(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := k.Open(sealed.ClientID, strings.TrimPrefix(id, dynamicPrefix))
	if err != nil {
		return nil, invalidClient("This server doesn't know the client: register it again.", nil)
	}
	var known sealedClient
	if err := json.Unmarshal(plain, &known); err != nil {
		return nil, invalidClient("This server doesn't know the client: register it again.", err)
	}
	c := &Client{
		ID:           id,
		Name:         known.Name,
		URI:          known.URI,
		RedirectURIs: known.RedirectURIs,
		Kind:         Dynamic,
		noRefresh:    known.NoRefresh,
	}
	switch known.Method {
	case "":
	case methodKey:
		if c.Keys, err = s.sealedKeys(&known); err != nil {
			return nil, invalidClient("The client's keys can't be used any longer: register it again.", err)
		}
		c.SigningAlg = known.Alg
	default:
		c.Secret = k.clientSecret(id)
	}
	return c, s.stillAllowed(c)
}

// sealedKeys returns the keys of a client that registered itself with some.
func (s *Server) sealedKeys(c *sealedClient) (keys.Source, error) {
	k := &clientKeys{address: c.KeysURI}
	switch {
	case len(c.Keys) > 0:
		var err error
		if k.set, err = keys.ParseSet(c.Keys); err != nil {
			return nil, err
		}
	case s.config.Documents == nil:
		return nil, errors.New("this server doesn't fetch jwks_uri any longer")
	}
	return k.source(s.config.Documents), nil
}

// stillAllowed removes from c what the operator has forbidden since the client
// registered, and returns an error if nothing remains.
func (s *Server) stillAllowed(c *Client) error {
	if s.config.Registration.Off {
		return invalidClient("This server accepts only clients that its operator has registered.", nil)
	}
	var refused *Error
	c.RedirectURIs = slices.DeleteFunc(c.RedirectURIs, func(uri string) bool {
		err := s.config.Registration.Allows(uri)
		if err != nil {
			refused = notAllowed(uri, err)
		}
		return err != nil
	})
	if len(c.RedirectURIs) == 0 && refused != nil {
		return refused
	}
	return nil
}

// notAllowed refuses a redirect URI that the operator hasn't allowed.
func notAllowed(uri string, reason error) *Error {
	return invalidClient("The operator of this server doesn't allow the client's redirect URI"+named(uri)+".", fmt.Errorf("redirect URI %s %w", registration.Quoted(uri), reason))
}

// isDocument reports whether a client identifier is the URL of a Client ID
// Metadata Document.
func isDocument(id string) bool { return strings.HasPrefix(id, "https://") }

// acceptsDocuments returns an error if metadata documents are not supported.
func (s *Server) acceptsDocuments() error {
	if s.config.Documents == nil || s.config.Registration.Off {
		return invalidClient("This server accepts only clients that its operator has registered.", nil)
	}
	return nil
}

// documentClient returns the client whose metadata is at its identifier
// (draft-ietf-oauth-client-id-metadata-document).
func (s *Server) documentClient(ctx context.Context, id string) (*Client, error) {
	if err := s.acceptsDocuments(); err != nil {
		return nil, err
	}
	body, err := s.config.Documents.Fetch(ctx, id)
	if _, away := errors.AsType[*outbound.UnavailableError](err); away {
		e := unavailable(err)
		e.Description = "This server can't reach the client's metadata document right now."
		e.Unreachable = (&Client{ID: id, Kind: ByDocument}).DocumentHost()
		return nil, e
	}
	if err != nil {
		return nil, invalidClient("The client's metadata document is not acceptable.", err)
	}
	m, err := registration.Parse(body, &s.config.Registration)
	if err != nil {
		return nil, invalidClient("The client's metadata document is not acceptable.", err)
	}
	if m.ClientName == "" {
		// MCP, client registration: client_id, client_name and redirect_uris are
		// required.
		return nil, invalidClient("The client's metadata document has no client_name.", nil)
	}
	c := &Client{
		ID:           id,
		Name:         m.ClientName,
		URI:          m.ClientURI,
		RedirectURIs: m.RedirectURIs,
		Kind:         ByDocument,
		noRefresh:    len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, refreshToken),
	}
	if m.Signs() {
		known, err := s.clientKeysOf(m)
		if err == nil {
			// A client that also works without authentication, such as ChatGPT, may
			// do either: its document is for all servers, and doesn't say what it
			// does at this one.
			c.Keys, c.SigningAlg, c.keyOptional = known.source(s.config.Documents), known.alg, m.Public()
			return c, nil
		}
		if !m.Public() {
			return nil, invalidClient("The keys in the client's metadata document can't be used: "+err.Error()+".", nil)
		}
	}
	if m.TokenEndpointAuthMethod != "" && !m.Public() {
		// Shared secrets are not allowed (section 4.1 of the draft): the document is
		// public.
		return nil, invalidClient("The client's metadata document asks for an authentication method that this server doesn't support: token_endpoint_auth_method must be none or private_key_jwt, or token_endpoint_auth_methods_supported must include one of them.", nil)
	}
	return c, nil
}

// DocumentHost returns the host that publishes the client's metadata document;
// empty if there is no document.
func (c *Client) DocumentHost() string {
	u, err := url.Parse(c.ID)
	if c.Kind != ByDocument || err != nil {
		return ""
	}
	return strings.TrimPrefix(web.Origin(u), "https://")
}
