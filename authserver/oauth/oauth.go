// Package oauth is a narrow OAuth 2.1 authorization server: the authorization
// code grant with PKCE S256, rotating refresh tokens, client credentials, identity
// assertions of trusted providers (ID-JAG), and nothing else. It issues JWT access tokens (RFC 9068) for configured resources
// (RFC 8707), registers clients (RFC 7591; Client ID Metadata Documents), revokes
// and introspects tokens (RFC 7009, RFC 7662), and publishes its metadata (RFC
// 8414, RFC 9207).
//
// It knows neither Caddy nor HTML. Its caller signs users in and asks for their
// consent, with [Server.Authorize], [Server.Approve] and [Server.Refuse].
//
// Not supported, on purpose: the implicit and the password grant, PKCE plain,
// request objects, response modes other than query, ID tokens.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/signing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	// DefaultAccessTokenLifetime is short because a resource server that only
	// checks signatures accepts a revoked token until it expires.
	DefaultAccessTokenLifetime = 15 * time.Minute
	// DefaultRefreshTokenLifetime is how long a client may stay away.
	DefaultRefreshTokenLifetime = 30 * 24 * time.Hour
	// DefaultRefreshTokenGrace is enough for processes of one client that refresh
	// at the same time, and for a request that is sent again.
	DefaultRefreshTokenGrace = 30 * time.Second
)

// OfflineAccess is the scope with which clients request refresh tokens (OpenID
// Connect Core, section 11). It is not a scope of a resource.
const OfflineAccess = "offline_access"

// Scope is something that a client can be allowed to do.
type Scope struct {
	// Name is the scope as clients request it. Required.
	Name string
	// Description is its meaning, in words, for the consent page. Default: empty;
	// the page shows the name.
	Description string
}

// Config describes an authorization server.
type Config struct {
	// Issuer is the issuer identifier (RFC 8414, section 2): an https URL, or
	// http on loopback, without query, fragment and trailing slash. Every
	// endpoint lies below it. Required.
	Issuer string

	// Resources are the audiences that tokens may be issued for. If there is only
	// one, it is the default for clients that name none. At least one.
	Resources []string

	// Scopes are the scopes that can be granted. A client that requests none gets
	// the first. At least one.
	Scopes []Scope

	// AccessTokenLifetime and RefreshTokenLifetime are how long tokens last.
	// Using a refresh token starts its lifetime again, except for a user of an
	// upstream, who has to sign in there again at the end. Zero means the
	// default.
	AccessTokenLifetime, RefreshTokenLifetime time.Duration

	// RefreshTokenGrace is how long a replaced refresh token is answered with the
	// same replacement, as long as that is unused. It is for clients whose
	// processes share a refresh token, and for lost responses. At most an hour.
	// Zero means the default, negative means none.
	//
	// OAuth 2.1, section 4.3.1, requires the server to detect the reuse of a
	// refresh token, and this still does. There is never more than one current
	// token: a second use within the grace gets the same token as the first. A
	// thief and the client then hold the same token, which also works once. The
	// one that uses it second, after the grace, ends the grant. So the grace only
	// delays the detection of a theft by one refresh.
	RefreshTokenGrace time.Duration

	// DPoP says which requests for tokens need a proof that the sender has a key, to
	// which the tokens are then bound. Nil means that proofs are ignored, and tokens
	// are bearer tokens.
	DPoP *DPoP

	// CertificateBound binds tokens to the certificate that the client shows on its
	// connection to the token endpoint, if it shows one.
	CertificateBound bool

	// Registration says which clients may register themselves. The zero value
	// allows all whose redirect URIs are https or on loopback.
	Registration registration.Policy

	// LimitRegistration is called before a client registers itself. It returns how
	// long the client has to wait, zero if it may register now. Nothing is stored
	// for a client; the limit is for the work of a flood and its log. Nil means no
	// limit.
	LimitRegistration func(ctx context.Context) (wait time.Duration)

	// Clients are the clients that the operator configured.
	Clients []Client

	// Providers are identity providers that may let clients act for their users,
	// without asking the users (enterprise-managed authorization).
	Providers []Provider

	// Documents fetches Client ID Metadata Documents, and the keys of clients. Nil
	// means that neither is supported.
	Documents Documents

	// Store keeps the records that must survive a restart. Required.
	Store Store

	// Secret returns the keys that seal records, and what browsers and clients
	// keep. They belong to this issuer alone. Required.
	Secret interface {
		// Keys returns the keys. An error means that they are not available right
		// now.
		Keys(ctx context.Context) (*sealed.Keys, error)
	}

	// CheckUser reports whether the user may still sign in. It is called before
	// tokens are renewed. An error ends the user's access, unless it is an
	// [*outbound.UnavailableError]. Nil allows everyone.
	CheckUser func(ctx context.Context, user User) error

	// Doors returns the known resource servers that accept this server's tokens.
	// Nil means that none is known.
	Doors func() []Door

	// Observe, if not nil, is called for each request to an endpoint, with its
	// result. It must not block.
	Observe func(ctx context.Context, e Event)

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Documents fetches what clients publish, from addresses that anyone may have chosen.
type Documents interface {
	// Reachable reports whether a fetch may succeed. If not, documents aren't
	// advertised in the metadata, and clients register instead.
	Reachable() bool
	// Fetch returns the document at the URL id. An error other than
	// [*outbound.UnavailableError] means that the document is not acceptable.
	Fetch(ctx context.Context, id string) ([]byte, error)
	// KeySet returns the JSON Web Key Set at address, see [keys.Source]. An error
	// other than [*outbound.UnavailableError] means that the address is not
	// acceptable.
	KeySet(ctx context.Context, address string, since time.Time) (*keys.Set, error)
}

// Event is a request to an endpoint, or an event that the operator should know
// of.
type Event struct {
	// Endpoint is token, register, revoke or introspect; keys, if the signing
	// keys are unavailable; or store, if a record is damaged.
	Endpoint string
	// Grant is the grant type at the token endpoint.
	Grant string
	// Client is the client's identifier, if the client is known.
	Client string
	// Subject is the user; empty if there is none.
	Subject string
	// Provider is the issuer of the identity assertion in the request; empty if there
	// is none, or its issuer is not a provider.
	Provider string
	// Err is the error of the response; nil if it succeeded.
	Err *Error
	// Warning is a message for the operator, such as the reuse of a refresh
	// token; empty if there is none.
	Warning string
}

// Server is an authorization server. It is safe for concurrent use. Several
// servers with the same configuration on one store act as one.
type Server struct {
	config  Config
	now     func() time.Time
	clients map[string]*Client
	scopes  []string
	keys    *signing.Ring
	judge   token.Verifier
}

// New returns the authorization server of config. It doesn't use the store or the
// network yet.
func New(config Config) (*Server, error) {
	if err := checkIssuer(config.Issuer); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if config.DPoP != nil && config.DPoP.Replay == nil {
		return nil, errors.New("DPoP needs a memory of used proofs")
	}
	if config.Store == nil || config.Secret == nil {
		return nil, errors.New("a server needs a store and a secret")
	}
	if len(config.Resources) == 0 {
		return nil, errors.New("no resource: name the MCP servers that tokens are for")
	}
	for i, raw := range config.Resources {
		if _, err := resource.Parse(raw); err != nil {
			return nil, fmt.Errorf("resource: %w", err)
		}
		if slices.ContainsFunc(config.Resources[:i], func(other string) bool { return resource.Same(raw, other) }) {
			return nil, fmt.Errorf("resource %s is given twice", raw)
		}
	}
	s := &Server{config: config, now: config.Now, clients: make(map[string]*Client)}
	if s.now == nil {
		s.now = time.Now
	}
	if s.config.AccessTokenLifetime == 0 {
		s.config.AccessTokenLifetime = DefaultAccessTokenLifetime
	}
	if s.config.RefreshTokenLifetime == 0 {
		s.config.RefreshTokenLifetime = DefaultRefreshTokenLifetime
	}
	if s.config.AccessTokenLifetime < 0 || s.config.RefreshTokenLifetime < s.config.AccessTokenLifetime {
		return nil, errors.New("a refresh token must last longer than an access token")
	}
	if s.config.RefreshTokenGrace == 0 {
		s.config.RefreshTokenGrace = DefaultRefreshTokenGrace
	}
	if s.config.RefreshTokenGrace > maxRefreshTokenGrace {
		return nil, fmt.Errorf("the grace period for refresh tokens is at most %s: after that, a reused token counts as stolen", maxRefreshTokenGrace)
	}
	if s.config.AccessTokenLifetime > MaxAccessTokenLifetime {
		return nil, fmt.Errorf("access tokens that last more than %s could not be revoked in time: let clients refresh them", MaxAccessTokenLifetime)
	}
	if err := s.checkScopes(); err != nil {
		return nil, err
	}
	if err := s.config.Registration.Check(); err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	if err := s.checkProviders(); err != nil {
		return nil, err
	}
	for i := range config.Clients {
		c := &config.Clients[i]
		if err := s.checkClient(c); err != nil {
			return nil, fmt.Errorf("client %q: %w", c.ID, err)
		}
		if s.clients[c.ID] != nil {
			return nil, fmt.Errorf("client %q is given twice", c.ID)
		}
		c.Kind = PreRegistered
		s.clients[c.ID] = c
	}
	s.keys = s.newKeys()
	var err error
	s.judge, err = token.NewJWT(token.JWTConfig{
		Issuer:     config.Issuer,
		Keys:       s.keys,
		Audience:   config.Resources,
		Algorithms: []string{"ES256"},
		AllowBound: true, // introspection says to what; revocation needs no key
		Now:        s.now,
	})
	return s, err
}

func (s *Server) checkScopes() error {
	if len(s.config.Scopes) == 0 {
		return errors.New("no scope: name what clients can be allowed to do, for example mcp:tools")
	}
	for _, scope := range s.config.Scopes {
		if err := token.CheckScope(scope.Name); err != nil {
			return fmt.Errorf("scopes: %w", err)
		}
		if scope.Name == OfflineAccess || scope.Name == "openid" {
			return fmt.Errorf("scopes: %s can't be defined here: it has a meaning of its own", scope.Name)
		}
		if slices.Contains(s.scopes, scope.Name) {
			return fmt.Errorf("scopes: %s is given twice", scope.Name)
		}
		s.scopes = append(s.scopes, scope.Name)
	}
	return nil
}

// checkIssuer returns an error unless clients will find and accept the metadata
// of issuer. They compare it exactly.
func checkIssuer(issuer string) error {
	id, err := resource.Parse(issuer)
	if err != nil {
		return err
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return err
	}
	if strings.HasSuffix(issuer, "/") {
		return fmt.Errorf("remove the slash at the end of %s: clients compare it exactly", issuer)
	}
	if plain := id.Origin() + u.EscapedPath(); plain != issuer {
		return fmt.Errorf("write it in its simplest form, %s: clients compare it exactly", plain)
	}
	return nil
}

func (s *Server) observe(ctx context.Context, e Event) {
	if s.config.Observe != nil {
		s.config.Observe(ctx, e)
	}
}

// AccessTokenLifetime returns how long an access token may still work after it
// was revoked.
func (s *Server) AccessTokenLifetime() time.Duration { return s.config.AccessTokenLifetime }
