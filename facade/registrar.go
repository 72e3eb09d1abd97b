package facade

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// Registrar is implemented by the guest modules in the namespace
// http.mcp_auth.registrars: a way to register clients at an authorization server.
type Registrar interface {
	// ClientRegistrar returns the registrar for the server that info describes.
	// It does no network I/O.
	ClientRegistrar(info RegistrarInfo) (ClientRegistrar, error)
}

// RegistrarInfo describes the façade and its authorization server to a registrar.
type RegistrarInfo struct {
	// Issuer is the identifier that clients see.
	Issuer string
	// Endpoint returns the URL of the server's endpoint, by its metadata field,
	// such as registration_endpoint, as reached from here.
	Endpoint func(ctx context.Context, name string) (string, error)
	// Scopes maps the scopes that clients use to the server's names for them. May
	// be nil.
	Scopes map[string]string
	// Records keeps what must survive a restart.
	Records Records
	// Client sends requests to the server.
	Client *http.Client
}

// Records are the façade's records in Caddy's storage, in JSON. They belong to
// one issuer, and are shared by all Caddys on the storage.
type Records interface {
	// Load returns the record at key. The error is [fs.ErrNotExist] if there is
	// none.
	Load(ctx context.Context, key string) ([]byte, error)
	// Store writes the record at key.
	Store(ctx context.Context, key string, record []byte) error
	// Delete removes the record at key. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// List returns the keys of all records below prefix, which may be none.
	List(ctx context.Context, prefix string) ([]string, error)
	// Lock waits until no other caller, in any process, holds the lock name. A
	// caller must not take the same lock twice.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// ClientRegistrar registers clients. It may also implement [SharedClient],
// [Forwarder], [RedirectLister], [Reuser] or [Sweeper].
type ClientRegistrar interface {
	// Register returns the client information response (RFC 7591, section 3.2.1)
	// for a client whose redirect URIs were judged. The error is an
	// [*outbound.UnavailableError] if the server is unavailable, or a
	// [*RefusedError].
	Register(ctx context.Context, m *ClientMetadata) (map[string]any, error)
}

// ClientMetadata is a client's metadata (RFC 7591, section 2) after it was checked.
// Other members of the request were not checked, and are sent to no server.
type ClientMetadata struct {
	// RedirectURIs are the client's redirect URIs. There is at least one.
	RedirectURIs []string `json:"redirect_uris"`
	// TokenEndpointAuthMethod is none, client_secret_basic or client_secret_post.
	TokenEndpointAuthMethod string `json:"token_endpoint_auth_method,omitempty"`
	// GrantTypes are authorization_code and, possibly, refresh_token.
	GrantTypes []string `json:"grant_types,omitempty"`
	// ResponseTypes is code only.
	ResponseTypes []string `json:"response_types,omitempty"`
	// ApplicationType is native or web (OpenID Connect Registration), or empty.
	ApplicationType string `json:"application_type,omitempty"`
	// ClientName is the name that the client gave itself. It is not verified.
	ClientName string `json:"client_name,omitempty"`
	// ClientURI is the client's web site.
	ClientURI string `json:"client_uri,omitempty"`
	// Scope has the requested scopes, separated by spaces.
	Scope string `json:"scope,omitempty"`
}

// unavailable returns the error for clients that can't be registered right now.
func unavailable(err error) error {
	if _, known := errors.AsType[*outbound.UnavailableError](err); known {
		return err
	}
	return &outbound.UnavailableError{Err: fmt.Errorf("asking the authorization server: %w", err)}
}

// RefusedError is the error that a client gets (RFC 7591, section 3.2.2). Code is
// invalid_redirect_uri or invalid_client_metadata. Cause is only for the log.
type RefusedError = registration.Error

// OperatorError is the cause of a [RefusedError] that an operator can fix. It is
// logged as a warning.
type OperatorError struct {
	// Says is the server's answer.
	Says string
	// Cure says what may help.
	Cure string
}

func (e *OperatorError) Error() string { return e.Says + ": " + e.Cure }

// SharedClient is a registrar that gives all clients the same identifier.
type SharedClient interface {
	// SharedClientID returns the identifier.
	SharedClientID() string
	// AllowsRedirect reports whether the redirect URI is registered for it.
	AllowsRedirect(uri string) bool
}

// Forwarder is a registrar that has the server itself register clients, as they
// asked for. Confidential clients are possible then, and where the server registers
// them can be configured.
type Forwarder interface{ ForwardsRegistration() }

// RedirectLister is a registrar for which the operator lists redirect URIs. Their
// private schemes are allowed.
type RedirectLister interface{ ListedRedirectURIs() []string }

// Reuser is a registrar that gives clients with the same metadata the same
// identifier. Where any program could pose as the client, the authorization
// server is told to ask its users each time.
type Reuser interface{ ReusesIdentifiers() }

// Sweeper is a registrar whose clients pile up.
type Sweeper interface {
	// Used notes that the client was given a token.
	Used(ctx context.Context, clientID string)
	// Sweep removes the clients that were given none for so long, and returns
	// their identifiers.
	Sweep(ctx context.Context, unusedFor time.Duration) ([]string, error)
}
