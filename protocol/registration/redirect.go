// Package registration checks what OAuth clients say about themselves (RFC 7591),
// above all their redirect URIs. Some published example code accepts javascript: as
// one.
package registration

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// MaxRedirectURI bounds a redirect URI, in bytes. Real ones have a hundred.
const MaxRedirectURI = 1024

// Schemes that a browser runs or reads itself, instead of handing the address to the
// application that registered it.
var forbiddenSchemes = []string{
	"about", "blob", "chrome", "content", "data", "file", "filesystem", "ftp", "intent", "jar", "javascript", "mailto",
	"ms-its", "mk", "resource", "sms", "tel", "vbscript", "view-source", "ws", "wss",
}

// NotAllowedError says that a redirect URI is valid, but the operator hasn't allowed
// it.
type NotAllowedError struct{ reason string }

func (e *NotAllowedError) Error() string { return e.reason }

// CheckRedirectURI returns an error if codes must not be sent to uri: it has to be
// https, or http on loopback (RFC 8252, section 7.3), or have one of the private
// schemes (section 7.1); absolute, and without fragment (RFC 6749, section 3.1.2). A
// URI that two programs could read differently is refused. The error is a
// [*NotAllowedError] if the operator would only have to allow the scheme.
func CheckRedirectURI(uri string, privateSchemes []string) error {
	switch {
	case uri == "":
		return errors.New("is empty")
	case len(uri) > MaxRedirectURI:
		return fmt.Errorf("is longer than %d bytes", MaxRedirectURI)
	case strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.ContainsAny(uri, "\\\"<>^`{|}"):
		return errors.New("contains characters that URIs can't have")
	case strings.Contains(uri, "#"):
		return errors.New("has a fragment")
	case strings.Contains(uri, "*"):
		return errors.New("has a wildcard")
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme == "":
		return errors.New("is not an absolute URI")
	case u.User != nil:
		return errors.New("contains credentials")
	case !strings.HasPrefix(uri, u.Scheme+":"):
		return errors.New("has uppercase letters in its scheme")
	case slices.Contains(forbiddenSchemes, u.Scheme):
		return fmt.Errorf("has the scheme %s, which does not belong to an application", u.Scheme)
	}
	switch u.Scheme {
	case "https", "http":
		if u.Opaque != "" || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") {
			return errors.New("has no host")
		}
		// The rules for a resource's host: every reader must read it the same way.
		if _, err := resource.Parse("https://" + u.Host); err != nil {
			return errors.New("has a host that can be misread")
		}
		if u.Scheme == "http" && !web.IsLoopback(u.Hostname()) {
			return errors.New("is neither https nor on loopback")
		}
	default:
		if !slices.Contains(privateSchemes, u.Scheme) {
			return &NotAllowedError{fmt.Sprintf("has the scheme %s, which is not one of private_schemes", u.Scheme)}
		}
	}
	return nil
}

// IsLoopback reports whether uri, which has passed [CheckRedirectURI],
// leads to a program on the user's own computer.
func IsLoopback(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "http"
}

// WithoutPort returns a loopback URI without its port: a native application listens
// on whatever port is free (RFC 8252, section 7.3). Clients use localhost as well as
// the addresses, so this holds for the name too. Any other URI is returned unchanged.
func WithoutPort(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return uri
	}
	// The port is cut out of the text, so that nothing else in it changes.
	return strings.Replace(uri, "://"+u.Host, "://"+strings.TrimSuffix(u.Host, ":"+u.Port()), 1)
}

// SameRedirectURI reports whether uri is exactly the registered one (OAuth 2.1,
// section 4.1.1), except for the port on loopback.
func SameRedirectURI(registered, uri string) bool {
	return registered == uri || WithoutPort(registered) == WithoutPort(uri)
}

// RedirectTarget returns where a redirect URI leads, in a form for people: host and
// port, the host alone on loopback, where the port means nothing, or the scheme if it
// is private.
func RedirectTarget(uri string) string {
	u, err := url.Parse(WithoutPort(uri))
	if err != nil {
		return ""
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return u.Scheme + ":"
	}
	return u.Host
}

// WithParameters adds parameters to the query of a redirect URI and keeps those that
// are there (RFC 6749, section 3.1.2).
func WithParameters(uri string, parameters url.Values) string {
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
		if strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&") {
			separator = ""
		}
	}
	return uri + separator + parameters.Encode()
}
