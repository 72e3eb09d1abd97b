package caddymcpauth

import (
	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/verifiers"
)

// The contract of the namespace `http.mcp_auth.verifiers`, which [verifiers] has.
// A module that implements it needs to import only this package.
type (
	// Verifier is implemented by the guest modules of the namespace.
	Verifier = verifiers.Verifier

	// IssuerInfo is what a verifier is told about its issuer.
	IssuerInfo = verifiers.IssuerInfo

	// Discovery has the metadata and keys of an authorization server.
	Discovery = verifiers.Discovery

	// KeyNamer is a verifier of API keys that have names.
	KeyNamer = verifiers.KeyNamer

	// JWTAccepter is a verifier that accepts a JWT by its signature, although the
	// issuer may have revoked it.
	JWTAccepter = verifiers.JWTAccepter

	// JWTConfirmer is a verifier that asks the issuer about JWTs.
	JWTConfirmer = verifiers.JWTConfirmer
)
