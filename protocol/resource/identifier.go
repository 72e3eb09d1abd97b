// Package resource describes a protected resource to OAuth clients: its
// identifier (RFC 8707, section 2), its metadata (RFC 9728), and the challenges
// that lead a client there (RFC 6750, section 3; RFC 9728, section 5). It knows
// nothing of Caddy.
package resource

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// WellKnown is where metadata lives, before the path of the resource (RFC 9728,
// section 3).
const WellKnown = "/.well-known/oauth-protected-resource"

// Identifier is the identifier of a protected resource: the URL under which
// clients reach the MCP server.
type Identifier struct {
	raw    string
	origin string // scheme://host[:port]
	path   string // escaped, no trailing slash
}

// Parse returns the identifier raw. It must be an absolute https URL without query
// and fragment; http is allowed on loopback, where there is no network to protect it
// from.
func Parse(raw string) (Identifier, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return Identifier{}, fmt.Errorf("%q is not a URL", raw)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "":
		return Identifier{}, fmt.Errorf("%q is not an absolute URL: write it as clients use it, for example https://mcp.example.com/mcp", raw)
	case u.Scheme == "http" && !web.IsLoopback(u.Hostname()):
		return Identifier{}, fmt.Errorf("%q is not https: tokens would cross the network in the clear (http is for localhost, 127.0.0.1 and [::1] only)", raw)
	case u.User != nil:
		return Identifier{}, errors.New("the URL contains credentials: remove them")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return Identifier{}, fmt.Errorf("%q has a fragment: remove it, clients never send it", raw)
	case u.RawQuery != "" || u.ForceQuery:
		return Identifier{}, fmt.Errorf("%q has a query: remove it", raw)
	case !plainHost(u.Hostname()):
		return Identifier{}, fmt.Errorf("%q has a host that clients write differently: write it in ASCII, as in xn--bcher-kva.example", raw)
	case !simplePath(u):
		return Identifier{}, fmt.Errorf("the path of %q is not in its simplest form: remove dot segments, doubled and encoded slashes", raw)
	}
	return Identifier{
		raw:    raw,
		origin: web.Origin(u),
		path:   strings.TrimSuffix(u.EscapedPath(), "/"),
	}, nil
}

// plainHost reports whether host is a host name in ASCII or an IP address. Other
// characters are dropped from a challenge, and the name that remains could be another
// host's.
func plainHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.' || r == '_')
	})
}

// simplePath reports whether every server reads the path of u in the same way:
// decoding or cleaning it doesn't change its segments.
func simplePath(u *url.URL) bool {
	if u.Path == "" || u.Path == "/" {
		return true
	}
	return path.Clean(u.Path) == strings.TrimSuffix(u.Path, "/") && !strings.Contains(u.Path, "//") &&
		strings.Count(u.Path, "/") == strings.Count(u.EscapedPath(), "/")
}

// String returns the identifier as it was written: clients, and the audience of
// tokens, repeat it exactly.
func (id Identifier) String() string { return id.raw }

// Origin returns scheme, host and port, in the form browsers use.
func (id Identifier) Origin() string { return id.origin }

// MetadataPath returns the path of the metadata on the resource's own host: the
// well-known string comes before the resource's path (RFC 9728, section 3.1).
func (id Identifier) MetadataPath() string { return WellKnown + id.path }

// MetadataURL returns the absolute URL of the metadata.
func (id Identifier) MetadataURL() string { return id.origin + id.MetadataPath() }

// Same reports whether a and b name the same resource. Some issuers repeat the
// identifier with its host name in lower case, or with a slash added to or removed
// from its end. These differences are ignored: an origin means the same either way
// (RFC 3986, section 6.2.2.1), and nobody runs two resources that differ only in a
// last slash. No other difference is: a longer path is another resource.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	if errA != nil || errB != nil || ua.Host == "" || ub.Host == "" {
		return false
	}
	// Only the origin is normalized, so that everything after the host is compared as
	// it was written: query, fragment, escapes.
	restA, okA := afterOrigin(a, ua)
	restB, okB := afterOrigin(b, ub)
	return okA && okB && web.Origin(ua) == web.Origin(ub) && ua.User == nil && ub.User == nil &&
		withoutSlash(restA) == withoutSlash(restB)
}

// withoutSlash returns rest without the slash at the end of its path. One at the
// end of a query or a fragment belongs to that.
func withoutSlash(rest string) string {
	if strings.ContainsAny(rest, "?#") {
		return rest
	}
	return strings.TrimSuffix(rest, "/")
}

// afterOrigin returns what follows the authority in raw.
func afterOrigin(raw string, u *url.URL) (string, bool) {
	prefix := len(u.Scheme) + len("://") + len(u.Host)
	if len(raw) < prefix || !strings.EqualFold(raw[:len(u.Scheme)+3], u.Scheme+"://") || !strings.EqualFold(raw[prefix-len(u.Host):prefix], u.Host) {
		return "", false
	}
	return raw[prefix:], true
}
