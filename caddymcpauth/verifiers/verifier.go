package verifiers

import (
	"context"
	"net/http"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Verifier is implemented by the guest modules of the namespace
// `http.mcp_auth.verifiers`. Such a module holds settings; TokenVerifier turns
// them into a verifier for one issuer.
type Verifier interface {
	// TokenVerifier returns a verifier of the issuer's tokens, and how to ask it.
	// It is called once, at provision, and must not touch the network: the
	// authorization server may be served by this very Caddy. Errors are
	// configuration errors and should name the cure. Placeholders are to be
	// replaced in the module's own fields: its JSON is part of what tells its
	// cached verdicts from another's.
	TokenVerifier(IssuerInfo) (token.Source, error)
}

// Optional interfaces of a verifier's module. They tell the front door what it
// needs to know besides the verdicts.
type (
	// KeyNamer is a verifier of API keys that have names. The name of a key is the
	// subject of its token.
	KeyNamer interface{ KeyNames() []string }

	// JWTAccepter is a verifier that accepts a JWT by its signature, although the
	// issuer may have revoked it.
	JWTAccepter interface{ AcceptsJWT() bool }

	// JWTConfirmer is a verifier that asks the issuer about JWTs, so that revoked
	// ones are refused.
	JWTConfirmer interface{ ConfirmsJWT() bool }
)

// IssuerInfo is what a verifier is told about its issuer.
type IssuerInfo struct {
	// Issuer is the issuer identifier, as configured.
	Issuer string

	// Resource is the resource identifier of the MCP server.
	Resource string

	// Audience lists the audiences of which a token must name one. Never
	// empty.
	Audience []string

	// Discovery has the issuer's metadata and keys, fetched at first need and
	// shared with every other verifier of this issuer.
	Discovery Discovery

	// Client is for talking to the issuer: bounded in time to connect and in
	// headers, without cookies, never redirected to another origin. The caller
	// must bound bodies.
	Client *http.Client
}

// Discovery has the metadata and keys of an authorization server.
type Discovery interface {
	keys.Source

	// Knows reports whether the metadata field name is set by hand, or could
	// be discovered. A verifier that needs one which isn't refuses the
	// configuration.
	Knows(name string) bool

	// Endpoint returns the URL in the metadata field name, such as
	// introspection_endpoint. An error means that the URL can't be determined now.
	Endpoint(ctx context.Context, name string) (string, error)
}
