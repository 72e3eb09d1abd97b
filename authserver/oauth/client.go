package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Kind says how this server knows a client.
type Kind string

const (
	// PreRegistered clients are configured by the operator.
	PreRegistered Kind = "pre-registered"
	// ByDocument clients publish their metadata at their identifier.
	ByDocument Kind = "document"
	// Dynamic clients registered themselves.
	Dynamic Kind = "dynamic"
)

// The supported grants.
const (
	authorizationCode = "authorization_code"
	refreshToken      = "refresh_token"
	clientCredentials = "client_credentials"
	jwtBearer         = token.JWTBearerGrant
	tokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// The supported ways to authenticate a client (RFC 7591, section 2).
const (
	methodNone  = "none"
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
	methodKey   = registration.PrivateKeyJWT
)

// Client is an OAuth client.
type Client struct {
	// ID is the client identifier.
	ID string
	// Name and URI are what the client says about itself.
	Name, URI string
	// RedirectURIs are where codes may be sent. Those of the operator's clients
	// may end in /*, see [registration.CheckListed].
	RedirectURIs []string
	// Secret is the secret of a confidential client. It is empty for a public
	// client, and for one that authenticates with a key.
	Secret string
	// Keys has the public keys of a client that authenticates by an assertion that
	// it signs (private_key_jwt). Nil for others.
	Keys keys.Source
	// SigningAlg is the only algorithm that it may sign with. Empty means every
	// asymmetric one.
	SigningAlg string
	// ClientCredentials allows a confidential client the client credentials
	// grant.
	ClientCredentials bool
	// TokenExchange allows a confidential client, a front door, to exchange the tokens of
	// users for others of the same or fewer scopes, for any of the resources.
	TokenExchange bool
	// Introspection allows a confidential client, a resource server, to
	// introspect tokens.
	Introspection bool
	// Scopes are the scopes that the client may have. Empty means all.
	Scopes []string

	// Kind says how this server knows the client.
	Kind Kind

	// noRefresh says that the client registered without the refresh token grant.
	noRefresh bool
	// keyOptional says that the client may also do without authentication.
	keyOptional bool
	// unread says that the client's metadata document was not read, so that it is
	// not known how the client authenticates.
	unread bool
	// assertion is the one that the client has sent with this request.
	assertion *token.Assertion
}

// Public reports whether the client need not authenticate.
func (c *Client) Public() bool { return c.Secret == "" && (c.Keys == nil || c.keyOptional) }

// secretMatches compares in constant time.
func (c *Client) secretMatches(secret string) bool {
	want, got := sha256.Sum256([]byte(c.Secret)), sha256.Sum256([]byte(secret))
	return c.Secret != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// redirectURI returns where to send the browser: the requested URI if it is
// registered, or the only registered one if none is requested. A loopback URI
// without a port can't be that one.
func (c *Client) redirectURI(requested string) (string, error) {
	if requested == "" {
		if len(c.RedirectURIs) != 1 {
			return "", errors.New("the request has no redirect_uri, and the client doesn't have exactly one")
		}
		only := c.RedirectURIs[0]
		if registration.IsPrefix(only) {
			return "", errors.New("the request has no redirect_uri, and the client has several")
		}
		if registration.IsLoopback(only) && registration.WithoutPort(only) == only {
			return "", errors.New("the request has no redirect_uri, and the client's has no port")
		}
		return only, nil
	}
	for _, registered := range c.RedirectURIs {
		if registration.Lists(registered, requested) {
			return requested, nil
		}
	}
	return "", errors.New("redirect_uri is not one that the client registered")
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

// minSecret is the minimum length of a client's secret. Nobody has to type it.
const minSecret = 16

// checkClient checks a client that the operator configured.
func (s *Server) checkClient(c *Client) error {
	switch {
	case c.ID == "" || strings.ContainsFunc(c.ID, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("a client identifier must consist of ASCII characters")
	case strings.HasPrefix(c.ID, dynamicPrefix) || isDocument(c.ID):
		return errors.New("this form of identifier is reserved for clients that register themselves")
	case c.Secret != "" && len(c.Secret) < minSecret:
		return fmt.Errorf("the secret is shorter than %d characters: `openssl rand -base64 32` makes a good one", minSecret)
	case c.Secret != "" && c.Keys != nil:
		return errors.New("it has both a secret and keys: keep the keys, which can't be stolen from this server")
	case c.Public() && (c.ClientCredentials || c.Introspection || c.TokenExchange):
		return errors.New("client_credentials, introspection and token_exchange need a secret, or keys (jwks or jwks_uri)")
	case len(c.RedirectURIs) == 0 && !c.ClientCredentials && !c.Introspection && !c.TokenExchange && (c.Public() || len(s.config.Providers) == 0):
		return errors.New("it has no redirect_uris, so it could do nothing")
	}
	for _, uri := range c.RedirectURIs {
		if err := registration.CheckListed(uri); err != nil {
			return fmt.Errorf("redirect URI %q %w", uri, err)
		}
	}
	for _, scope := range c.Scopes {
		if !slices.Contains(s.scopes, scope) {
			return fmt.Errorf("scope %s is not among the server's", scope)
		}
	}
	return nil
}

// grantedScopes returns those of the requested scopes that the client may have,
// in the server's order, and whether the client requested offline_access. Other
// scopes are left out (RFC 6749, section 3.3): clients request openid, or scopes
// of other servers.
func (s *Server) grantedScopes(c *Client, requested string) (scopes []string, offline bool, err error) {
	names := strings.Fields(requested)
	for _, name := range names {
		if token.CheckScope(name) != nil {
			return nil, false, badRequest("invalid_scope", "scope is malformed.")
		}
	}
	offline = slices.Contains(names, OfflineAccess)
	allowed := s.allowedScopes(c)
	if !slices.ContainsFunc(names, func(name string) bool { return name != OfflineAccess && name != "openid" }) {
		// The request has none, so the client gets the first (RFC 6749, section
		// 3.3).
		if len(c.Scopes) > 0 {
			return c.Scopes[:1:1], offline, nil
		}
		return allowed[:1:1], offline, nil
	}
	for _, name := range allowed {
		if slices.Contains(names, name) {
			scopes = append(scopes, name)
		}
	}
	if len(scopes) == 0 {
		return nil, false, badRequest("invalid_scope", "This server grants the client none of the requested scopes.")
	}
	return scopes, offline, nil
}
