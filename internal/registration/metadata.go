package registration

import (
	"errors"
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
	GrantTypes              []string `json:"grant_types"`
	ResponseTypes           []string `json:"response_types"`
	ApplicationType         string   `json:"application_type"`
	ClientName              string   `json:"client_name"`
	ClientURI               string   `json:"client_uri"`
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
	for _, uri := range m.RedirectURIs {
		if err := policy.Allows(uri); err != nil {
			return nil, &Error{
				Code:        "invalid_redirect_uri",
				Description: "A redirect URI must be https, or http on loopback, without fragment, credentials and wildcards, and be allowed by the operator.",
				Cause:       errors.New("redirect URI " + err.Error()),
			}
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
