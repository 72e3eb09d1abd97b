// Package oauth is a narrow OAuth 2.1 authorization server: the authorization
// code grant with PKCE S256, refresh tokens that rotate, client credentials, and
// nothing else. It issues JWT access tokens (RFC 9068) for the resources it is
// told of (RFC 8707), registers clients (RFC 7591; Client ID Metadata
// Documents), revokes and introspects (RFC 7009, RFC 7662), and describes itself
// (RFC 8414, RFC 9207).
//
// It knows neither Caddy nor HTML: who the user is and what they consent to is
// told by its caller, through [Server.Authorize], [Server.Approve] and
// [Server.Refuse].
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
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	// DefaultAccessTokenLifetime is short: a resource server that checks
	// signatures alone doesn't hear of a revocation before.
	DefaultAccessTokenLifetime = 15 * time.Minute
	// DefaultRefreshTokenLifetime is how long a client may stay away.
	DefaultRefreshTokenLifetime = 30 * 24 * time.Hour
	// DefaultRefreshTokenGrace is enough for the processes of one client that wake
	// up together, and for a request that is sent again.
	DefaultRefreshTokenGrace = 30 * time.Second
)

// OfflineAccess is the scope by which clients ask for refresh tokens (OpenID
// Connect Core, section 11). It is not a scope of a resource.
const OfflineAccess = "offline_access"

// Scope is something that a client can be allowed to do.
type Scope struct {
	// Name is the scope as clients request it.
	Name string
	// Description says it in words for the user who is asked.
	Description string
}

// Config describes an authorization server.
type Config struct {
	// Issuer is its identifier (RFC 8414, section 2): an https URL, or http on
	// loopback, without query, fragment and slash at the end. Every endpoint
	// lies below it. Required.
	Issuer string

	// Resources are the audiences it may issue tokens for. With one, that is
	// what a client gets that names none. At least one.
	Resources []string

	// Scopes are what may be granted. A client that asks for none gets the
	// first. At least one.
	Scopes []Scope

	// AccessTokenLifetime and RefreshTokenLifetime are how long tokens last; a
	// refresh token's time starts again whenever it is used, but not that of a
	// user of an upstream, who has to come back from there. Zero means the
	// default.
	AccessTokenLifetime, RefreshTokenLifetime time.Duration

	// RefreshTokenGrace is how long a refresh token that was just replaced gets
	// the same replacement again, as long as that hasn't been used: for clients
	// of several processes that share one, and for answers that got lost. At most
	// an hour. Zero means the default, less than zero none.
	//
	// OAuth 2.1, section 4.3.1, wants the reuse of a refresh token noticed, and it
	// still is. There is never more than one current token: a second use within
	// the grace brings the very token that the first one brought, so a thief and
	// the client hold the same token, and that one works once, too. Whichever of
	// them comes second with it, after the grace, ends the grant. What the grace
	// costs is time: a theft is noticed one refresh later, not never.
	RefreshTokenGrace time.Duration

	// Registration is which clients may introduce themselves.
	Registration registration.Policy

	// Clients are those the operator knows.
	Clients []Client

	// Documents fetches Client ID Metadata Documents. Nil: they are not
	// supported.
	Documents interface {
		// Reachable reports whether there is hope that one can be fetched. Without
		// it they aren't advertised: clients register instead.
		Reachable() bool
		Fetch(ctx context.Context, id string) ([]byte, error)
	}

	// Store keeps what has to outlive the process. Required.
	Store Store

	// Secret has the keys that seal what is stored, and what others keep. They are
	// this issuer's own. Required.
	Secret interface {
		Keys(ctx context.Context) (*sealed.Keys, error)
	}

	// CheckUser reports whether the user may still sign in, before tokens are
	// renewed for them: an error, other than one of [ErrUnavailable], ends
	// their access. Nil allows everyone.
	CheckUser func(ctx context.Context, user User) error

	// Doors returns the resource servers that are known to take this server's
	// tokens. Nil: none is.
	Doors func() []Door

	// Observe, if not nil, is told what the endpoints were asked for and what
	// came of it. It must not block.
	Observe func(ctx context.Context, e Event)

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Event is something that happened at an endpoint.
type Event struct {
	// Endpoint is token, register, revoke or introspect; or keys, if they can't
	// be had; or store, if a record in it is damaged.
	Endpoint string
	// Grant is the grant type at the token endpoint.
	Grant string
	// Client is the client's identifier, if it is a known one.
	Client string
	// Subject is the user, if there is one.
	Subject string
	// Err is what was answered; nil if all was well.
	Err *Error
	// Warning is something an operator should know of, such as the reuse of a
	// refresh token.
	Warning string
}

// ErrUnavailable is in the errors that say that something could not be found
// out, as opposed to the answer being no.
var ErrUnavailable = errors.New("unavailable")

// Server is an authorization server. It is safe for concurrent use; several on
// one store, with the same configuration, are one.
type Server struct {
	config  Config
	now     func() time.Time
	clients map[string]*Client
	scopes  []string
	keys    keyring
	judge   token.Verifier
}

// New returns the authorization server of config. It touches neither the store
// nor the network yet.
func New(config Config) (*Server, error) {
	if err := checkIssuer(config.Issuer); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
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
	if s.config.AccessTokenLifetime > maxAccessTokenLifetime {
		return nil, fmt.Errorf("access tokens that last more than %s could not be revoked in time: let clients refresh them", maxAccessTokenLifetime)
	}
	if err := s.checkScopes(); err != nil {
		return nil, err
	}
	if err := s.config.Registration.Check(); err != nil {
		return nil, fmt.Errorf("registration: %w", err)
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
	s.keys = keyring{server: s}
	var err error
	s.judge, err = token.NewJWT(token.JWTConfig{
		Issuer:     config.Issuer,
		Keys:       &s.keys,
		Audience:   config.Resources,
		Algorithms: []string{"ES256"},
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

// checkIssuer returns an error if issuer isn't one whose metadata clients will
// find and accept: they compare it exactly.
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

// AccessTokenLifetime is how long a token may work after it was taken back.
func (s *Server) AccessTokenLifetime() time.Duration { return s.config.AccessTokenLifetime }
