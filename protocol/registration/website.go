package registration

import (
	"net/netip"
	"net/url"
	"strings"
)

// LeadsToWebSite reports whether a redirect URI leads to a web site, which is the
// same for every user and proves its name with a certificate. A URI that leads to a
// program on the user's own computer does not: any program there can listen on
// loopback or claim a private scheme, and pose as the client (RFC 8252, section 8.6).
// That includes https on loopback.
//
// When in doubt, it reports false: callers then ask the user.
func LeadsToWebSite(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" || u.Opaque != "" || u.User != nil {
		return false
	}
	host := strings.TrimRight(strings.ToLower(u.Hostname()), ".")
	if strings.HasSuffix(host, ".localhost") || strings.HasPrefix(host, "localhost.") || strings.HasSuffix(host, ".docker.internal") || strings.Contains(host, ".localdomain") {
		// These stand for the user's own computer in many hosts files.
		return false
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.Zone() == "" && !addr.IsLoopback() && !addr.IsUnspecified()
	}
	// Resolvers read 127.1, 0x7f.1 and 2130706433 as addresses: a host whose last
	// label begins with a digit is no name (WHATWG URL, ends-in-a-number checker).
	// A name of one label, such as localhost, localhost6 or ip6-loopback, may stand
	// for anything.
	name, last, several := cutLast(host)
	return several && name != "" && last != "" && (last[0] < '0' || last[0] > '9')
}

// cutLast splits a host before its last label. It reports false if there is only one
// label.
func cutLast(host string) (name, last string, several bool) {
	i := strings.LastIndexByte(host, '.')
	if i < 0 {
		return "", host, false
	}
	return host[:i], host[i+1:], true
}

// IsPrivateScheme reports whether uri, which has passed [CheckRedirectURI],
// leads to the application that claims its scheme (RFC 8252, section 7.1).
func IsPrivateScheme(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme != "https" && u.Scheme != "http"
}

// LeadsToProgram reports whether uri, which has passed [CheckRedirectURI], leads to
// a program that listens on the user's own computer, by http or https.
func LeadsToProgram(uri string) bool { return !LeadsToWebSite(uri) && !IsPrivateScheme(uri) }
