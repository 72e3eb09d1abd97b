package registration

import (
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/go-json-experiment/json"
)

const (
	// MaxBody bounds a registration request, in bytes.
	MaxBody = 16 << 10

	maxRedirectURIs = 10
	maxClientName   = 200 // bytes
)

// Metadata is what a client says of itself (RFC 7591, section 2). Unknown
// members are ignored, as the section demands.
type Metadata struct {
	RedirectURIs            []string `json:"redirect_uris"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method"`
	// TokenEndpointAuthMethods are all that the client can do.
	TokenEndpointAuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	GrantTypes               []string `json:"grant_types"`
	ResponseTypes            []string `json:"response_types"`
	ApplicationType          string   `json:"application_type"`
	ClientName               string   `json:"client_name"`
	ClientURI                string   `json:"client_uri"`
}

// Error is one of RFC 7591, section 3.2.2.
type Error struct {
	// Code is invalid_redirect_uri or invalid_client_metadata.
	Code string
	// Description is a fixed sentence.
	Description string
	// Cause is for the log alone.
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
// remain: some clients register all that they could ever use, a scheme of their
// own among them, and RFC 7591, section 2, lets a server replace what it doesn't
// support. One that nobody may have spoils them all.
func (m *Metadata) narrow(policy *Policy) error {
	var allowed []string
	var refused error
	for _, uri := range m.RedirectURIs {
		err := policy.Allows(uri)
		if err == nil {
			allowed = append(allowed, uri)
			continue
		}
		if _, ok := errors.AsType[*NotAllowedError](err); !ok {
			return err
		}
		refused = err
	}
	if len(allowed) == 0 {
		return refused
	}
	m.RedirectURIs = allowed
	return nil
}

// Public reports whether the client says that it can do without authentication:
// by the method it names, or among others that it has (OpenID Connect Relying
// Party Metadata Choices 1.0), for a server that doesn't support that method.
func (m *Metadata) Public() bool {
	return m.TokenEndpointAuthMethod == "none" || slices.Contains(m.TokenEndpointAuthMethods, "none")
}

// Parse reads and judges what a client says of itself. The error is an
// [*Error].
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
			Description: "A redirect URI must be https, or http on loopback, without fragment, credentials and wildcards, and be allowed by the operator.",
			Cause:       fmt.Errorf("redirect URI %w", err),
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
