package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// client returns the client with the identifier id. The error is an [*Error].
func (s *Server) client(ctx context.Context, id string) (*Client, error) {
	switch {
	case id == "":
		return nil, invalidRequest("client_id is missing.")
	case s.clients[id] != nil:
		return s.clients[id], nil
	case strings.HasPrefix(id, dynamicPrefix):
		return s.dynamicClient(ctx, id)
	case isDocument(id):
		return s.documentClient(ctx, id)
	}
	return nil, invalidClient("This server doesn't know the client.", nil)
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
