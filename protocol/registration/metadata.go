package registration

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxBody bounds a registration request, in bytes.
	MaxBody = 16 << 10

	maxRedirectURIs = 10
	maxClientName   = 200 // bytes
)

// Metadata is what a client says about itself (RFC 7591, section 2). Unknown members
// are ignored, as that section requires.
type Metadata struct {
	// The fields are the members of that section. RedirectURIs are required.
	// TokenEndpointAuthMethod, GrantTypes, ResponseTypes, ApplicationType,
	// ClientName, ClientURI and those below are empty if the client leaves them out.
	RedirectURIs            []string `json:"redirect_uris"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method"`
	// TokenEndpointAuthMethods are all methods that the client supports.
	TokenEndpointAuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	GrantTypes               []string `json:"grant_types"`
	ResponseTypes            []string `json:"response_types"`
	ApplicationType          string   `json:"application_type"`
	ClientName               string   `json:"client_name"`
	ClientURI                string   `json:"client_uri"`
	// JWKS is the client's key set, and JWKSURI is where it publishes one. Whether
	// the keys can be used is for the caller to find out.
	JWKS    jsontext.Value `json:"jwks"`
	JWKSURI string         `json:"jwks_uri"`
	// TokenEndpointAuthSigningAlg is the only algorithm with which the client signs
	// its assertions (OpenID Connect Dynamic Client Registration 1.0, section 2).
	TokenEndpointAuthSigningAlg string `json:"token_endpoint_auth_signing_alg"`
	// Scope is what the client will ask for. It is empty if the value isn't a valid
	// scope: that is no reason to refuse the client, which may ask for another one.
	Scope Scope `json:"scope"`
}

// Error is an error response of RFC 7591, section 3.2.2.
type Error struct {
	// Code is invalid_redirect_uri or invalid_client_metadata.
	Code string
	// Description is a sentence for the client's developer. Text from the request or
	// from another server in it has gone through [Quoted] or [Described].
	Description string
	// Cause is for the log only.
	Cause error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Code + ": " + e.Cause.Error()
	}
	return e.Code + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.Cause }

// narrow leaves out the redirect URIs that the operator hasn't allowed, if others
// remain: some clients register every URI that they could ever use, including a
// private scheme, and RFC 7591, section 2, lets a server replace what it doesn't
// support. A redirect URI that no operator could allow refuses them all.
func (m *Metadata) narrow(policy *Policy) error {
	var allowed []string
	var refused error
	for _, uri := range m.RedirectURIs {
		err := policy.Allows(uri)
		if err == nil {
			allowed = append(allowed, uri)
			continue
		}
		refused = &refusedURI{uri, err}
		if _, ok := errors.AsType[*NotAllowedError](err); !ok {
			return refused
		}
	}
	if len(allowed) == 0 {
		return refused
	}
	m.RedirectURIs = allowed
	return nil
}

// refusedURI is the error that names the redirect URI: clients register several.
type refusedURI struct {
	uri string
	err error
}

func (e *refusedURI) Error() string { return fmt.Sprintf("redirect URI %s %v", Quoted(e.uri), e.err) }

func (e *refusedURI) Unwrap() error { return e.err }

// Public reports whether the client says that it can do without authentication:
// either by the method it names, or by one of its other methods (OpenID Connect
// Relying Party Metadata Choices 1.0) if the server doesn't support the named one.
func (m *Metadata) Public() bool {
	return m.TokenEndpointAuthMethod == "none" || slices.Contains(m.TokenEndpointAuthMethods, "none")
}

// PrivateKeyJWT is the method of a client that authenticates by signing an assertion
// (OpenID Connect Core 1.0, section 9).
const PrivateKeyJWT = "private_key_jwt"

// Signs reports whether the client says that it can authenticate by an assertion that
// it signs, whichever method it prefers.
func (m *Metadata) Signs() bool {
	return m.TokenEndpointAuthMethod == PrivateKeyJWT || slices.Contains(m.TokenEndpointAuthMethods, PrivateKeyJWT)
}

// Parse reads and checks what a client says about itself. The error is an [*Error].
func Parse(body []byte, policy *Policy) (*Metadata, error) {
	m := new(Metadata)
	// Exact names, no duplicates: encoding/json would let the last of two
	// redirect_uris win, and read Redirect_Uris as well.
	if err := json.Unmarshal(body, m); err != nil {
		return nil, &Error{Code: "invalid_client_metadata", Description: "The client metadata is not a JSON object with values of the right types."}
	}
	if len(m.RedirectURIs) == 0 || len(m.RedirectURIs) > maxRedirectURIs {
		return nil, &Error{Code: "invalid_redirect_uri", Description: "redirect_uris must be a list of 1 to 10 URIs."}
	}
	if err := m.narrow(policy); err != nil {
		return nil, &Error{
			Code:        "invalid_redirect_uri",
			Description: "The " + Described(err.Error()) + ". Allowed are https, http on loopback, and what else the operator allows, without fragment, credentials or wildcards.",
			Cause:       err,
		}
	}
	if len(m.ClientName) > maxClientName {
		return nil, &Error{Code: "invalid_client_metadata", Description: "client_name is too long."}
	}
	if u, err := url.Parse(m.ClientURI); err != nil || len(m.ClientURI) > MaxRedirectURI || m.ClientURI != "" && u.Scheme != "https" {
		m.ClientURI = "" // only shown to the user, and not worth a refusal
	}
	if len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, "code") {
		return nil, &Error{Code: "invalid_client_metadata", Description: "response_types must contain code."}
	}
	if len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, "authorization_code") {
		return nil, &Error{Code: "invalid_client_metadata", Description: "grant_types must contain authorization_code."}
	}
	return m, nil
}

// Scope is a scope (RFC 6749, section 3.3), or empty.
type Scope string

// UnmarshalJSON reads what clients write, and keeps it only if it is a scope.
func (s *Scope) UnmarshalJSON(b []byte) error {
	*s = ""
	var text string
	if json.Unmarshal(b, &text) != nil {
		return nil
	}
	names := strings.Fields(text)
	for _, name := range names {
		if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			return nil
		}
	}
	*s = Scope(strings.Join(names, " "))
	return nil
}
