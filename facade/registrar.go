package facade

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// Registrar is what guest modules in the namespace http.mcp_auth.registrars
// implement: a way to register clients at an authorization server.
type Registrar interface {
	// ClientRegistrar returns the registrar for the server that info describes.
	// It does no network I/O.
	ClientRegistrar(info RegistrarInfo) (ClientRegistrar, error)
}

// RegistrarInfo is what a registrar is told.
type RegistrarInfo struct {
	// Issuer is the identifier that clients see.
	Issuer string
	// Endpoint returns the server's own endpoint of that name in the metadata,
	// such as registration_endpoint, as reached from here.
	Endpoint func(ctx context.Context, name string) (string, error)
	// Scopes maps scopes as clients know them to those of the server.
	Scopes map[string]string
	// Records is for what has to outlive the process.
	Records Records
	// Client talks to the server.
	Client *http.Client
}

// Records are the façade's in Caddy's storage: those of one issuer, shared by all
// Caddys on the storage. They are JSON.
type Records interface {
	// Load returns the record at key. Its error is [fs.ErrNotExist] if there is
	// none.
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, record []byte) error
	// Delete removes the record at key. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// List returns the keys of all records below prefix, which may be none.
	List(ctx context.Context, prefix string) ([]string, error)
	// Lock waits until no other caller, in no process, holds the lock name. One
	// caller must not take it twice.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// ClientRegistrar registers clients. What else it may implement: [SharedClient],
// [Sweeper].
type ClientRegistrar interface {
	// Register returns the client information response (RFC 7591, section
	// 3.2.1) for a client whose redirect URIs have been judged. Its error is
	// [ErrUnavailable] if the server can't be asked, or a [*RefusedError].
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
	// ResponseTypes has code only.
	ResponseTypes []string `json:"response_types,omitempty"`
	// ApplicationType is native or web (OpenID Connect Registration), or empty.
	ApplicationType string `json:"application_type,omitempty"`
	// ClientName is the name that the client gave itself. It proves nothing.
	ClientName string `json:"client_name,omitempty"`
	// ClientURI is the client's web site.
	ClientURI string `json:"client_uri,omitempty"`
	// Scope has the requested scopes, separated by spaces.
	Scope string `json:"scope,omitempty"`
}

// ErrUnavailable means that a client can't be registered right now.
var ErrUnavailable = errors.New("the authorization server can't be asked")

// RefusedError is an error of RFC 7591, section 3.2.2, for the client: a Code,
// which is invalid_redirect_uri or invalid_client_metadata, a Description, and a
// Cause for the log alone.
type RefusedError = registration.Error

// OperatorError is the cause of a [RefusedError] that an operator can do something
// about: it is a warning in the log.
type OperatorError struct {
	// Says what the server answered.
	Says string
	// Cure is what may help.
	Cure string
}

func (e *OperatorError) Error() string { return e.Says + ": " + e.Cure }

// SharedClient is a registrar that gives all clients the same identifier.
type SharedClient interface {
	SharedClientID() string
	// AllowsRedirect reports whether the redirect URI is one of those that are
	// registered for it.
	AllowsRedirect(uri string) bool
}

// Reuser is a registrar that gives clients with the same metadata the same
// identifier. Where any program could pose as the client, the server behind is
// told to ask its users each time.
type Reuser interface{ ReusesIdentifiers() }

// Sweeper is a registrar whose clients pile up.
type Sweeper interface {
	// Used notes that the client was here.
	Used(ctx context.Context, clientID string)
	// Sweep removes the clients that were not here for so long, and returns
	// their identifiers.
	Sweep(ctx context.Context, unusedFor time.Duration) ([]string, error)
}
