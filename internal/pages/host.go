package pages

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// hostParts are the parts in which a host is shown. Domain is the part that
// identifies the owner: the registrable domain. The owner can choose any names
// before it.
type hostParts struct{ Before, Domain, After string }

// splitHost splits host[:port]. An address, or a host without a registrable
// domain, is all Domain: the owner can't choose any part freely.
func splitHost(s string) hostParts {
	shortened := ""
	s = host(s)
	if rest, ok := strings.CutPrefix(s, ellipsis); ok {
		shortened, s = ellipsis, rest
	}
	name, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.Contains(s[i:], "]") {
		name, port = s[:i], s[i:]
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || !isASCII(name) {
		return hostParts{shortened, name, port}
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(name))
	if err != nil {
		return hostParts{shortened, name, port}
	}
	at := len(name) - len(domain)
	return hostParts{shortened + name[:at], name[at:], port}
}

// isEncoded reports whether a host has Punycode, that is, letters of other
// alphabets.
func isEncoded(host string) bool {
	for label := range strings.SplitSeq(strings.ToLower(host), ".") {
		if strings.HasPrefix(label, "xn--") {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// Homepage returns the address of the client's home page for a link, or nil if
// there is none that can be shown. A client can name any address as its own. So
// it is shown only if users are sent back to the same host, which the page names
// anyway.
func (c Client) Homepage() *url.URL {
	u, err := url.Parse(c.URI)
	// A user name before the host could be taken for the host.
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || !isASCII(u.Host) {
		return nil
	}
	if c.Loopback || c.PrivateScheme || !strings.EqualFold(withoutDefaultPort(u.Host), withoutDefaultPort(c.RedirectHost)) {
		return nil
	}
	return u
}

func withoutDefaultPort(host string) string { return strings.TrimSuffix(host, ":443") }
