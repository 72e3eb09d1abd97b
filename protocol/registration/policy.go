package registration

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
)

// Policy says which clients may register, and what they may ask for.
type Policy struct {
	// Off allows only the operator's own clients.
	Off bool
	// RedirectURIs, if any, are the only ones allowed; one on loopback allows any
	// port, and one that ends in /* allows every URI below it. Default: every https
	// URI, and loopback.
	RedirectURIs []string
	// PrivateSchemes are schemes of native applications that are allowed in addition
	// to https and loopback, such as cursor.
	PrivateSchemes []string
}

// Check returns an error if the policy makes no sense.
func (r *Policy) Check() error {
	if r.Off && len(r.RedirectURIs)+len(r.PrivateSchemes) > 0 {
		return errors.New("it is off: remove redirect URIs and private schemes")
	}
	for _, uri := range r.RedirectURIs {
		if err := CheckListed(uri); err != nil {
			return fmt.Errorf("redirect URI %q %w", uri, err)
		}
	}
	for _, scheme := range r.PrivateSchemes {
		if scheme == "https" || scheme == "http" {
			return fmt.Errorf("%s is not a private scheme", scheme)
		}
		if err := CheckRedirectURI(scheme+"://x", []string{scheme}); err != nil {
			return fmt.Errorf("private scheme %q: %w", scheme, err)
		}
	}
	return nil
}

// Allows returns an error if no client may have the redirect URI: a
// [*NotAllowedError] if the operator could allow it.
func (r *Policy) Allows(uri string) error {
	if len(r.RedirectURIs) == 0 {
		return CheckRedirectURI(uri, r.PrivateSchemes)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return errors.New("is not a URI")
	}
	if err := CheckRedirectURI(uri, append([]string{u.Scheme}, r.PrivateSchemes...)); err != nil {
		return err
	}
	if slices.Contains(r.PrivateSchemes, u.Scheme) {
		return nil
	}
	for _, listed := range r.RedirectURIs {
		if Lists(listed, uri) {
			return nil
		}
	}
	return &NotAllowedError{"is not one that the operator allows"}
}
