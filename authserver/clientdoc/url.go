package clientdoc

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// maxURL bounds a client identifier, in bytes. It is shown to users, and section
// 3 of the draft recommends a short one.
const maxURL = 2048

// checkURL returns an [*InvalidError] unless id can be a client identifier URL
// (section 3 of the draft): https with a host and a path, without userinfo,
// fragment and dot segments.
//
// This package is stricter than the draft. The URL must be in normal form (RFC
// 3986, section 6.2.2): client identifiers are compared byte by byte, so two
// spellings would be two clients at one address, and a URL that programs read
// differently could be one client to the user and another to us. The path must
// not be just "/", which the draft recommends against. The host must be a name,
// or an address for which allow, if not nil, returns true. The port must be 443
// or at least 1024. A query is allowed.
func checkURL(id string, allow func(netip.Addr) bool) error {
	if err := checkIdentifier(id, allow); err != nil {
		return &InvalidError{err}
	}
	return nil
}

func checkIdentifier(id string, allow func(netip.Addr) bool) error {
	if len(id) > maxURL {
		return fmt.Errorf("the URL is longer than %d bytes", maxURL)
	}
	if strings.Contains(id, "#") {
		return errors.New("the URL has a fragment")
	}
	u, err := url.Parse(id)
	switch {
	case err != nil:
		return errors.New("the URL is malformed")
	case !strings.HasPrefix(id, "https://"):
		return errors.New("the URL does not begin with https://")
	case u.User != nil:
		return errors.New("the URL has userinfo")
	case u.Path == "" || u.Path == "/":
		return errors.New("the URL has no path")
	}
	if err := checkHost(u.Hostname(), allow); err != nil {
		return err
	}
	if err := checkPort(u); err != nil {
		return err
	}
	path, query, _ := strings.Cut(strings.TrimPrefix(id, "https://"+u.Host), "?")
	if err := checkPath(path); err != nil {
		return err
	}
	if err := checkCharacters(query, "/?:@"); err != nil {
		return fmt.Errorf("the query %w", err)
	}
	if u.String() != id {
		return errors.New("the URL is not in its normal form")
	}
	return nil
}

// checkHost returns an error unless host is a lowercase DNS name (RFC 1123,
// section 2.1) without a trailing dot, which would be a second spelling.
// Addresses are refused unless allow accepts them, because an address is no name
// to show to users.
func checkHost(host string, allow func(netip.Addr) bool) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.String() != host || addr.Zone() != "" || addr.Is4In6() || allow == nil || !allow(addr) {
			return errors.New("the host is an IP address")
		}
		return nil
	}
	if host == "" || len(host) > 253 {
		return errors.New("the URL has no host")
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("the host is not a DNS name")
		}
		for _, c := range []byte(label) {
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
				return errors.New("the host is not a lowercase DNS name")
			}
		}
	}
	// Resolvers and browsers read 127.1, 0x7f.0.0.1 and 2130706433 as addresses.
	if last := labels[len(labels)-1]; last[0] < 'a' {
		return errors.New("the host is a number")
	}
	return nil
}

// checkPort returns an error unless u has the default port, left out, or a port
// from 1024. Ports below are those of SSH, SMTP, LDAP and others: a request to
// them, sent in this server's name for anyone, may look like an attack.
func checkPort(u *url.URL) error {
	if u.Port() == "" {
		if strings.HasSuffix(u.Host, ":") {
			return errors.New("the port is empty")
		}
		return nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case err != nil || strconv.FormatUint(port, 10) != u.Port():
		return errors.New("the port is not a number from 1 to 65535")
	case port == 443:
		return errors.New("the port is the default one and must be left out")
	case port < 1024:
		return errors.New("the port is neither 443 nor at least 1024")
	}
	return nil
}

// checkPath returns an error if the path has dot segments, or slashes that only
// some programs recognize.
func checkPath(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".", "..":
			return errors.New("the path has dot segments")
		}
	}
	if strings.Contains(path, "%2F") || strings.Contains(path, "%5C") {
		return errors.New("the path has an encoded slash")
	}
	if err := checkCharacters(path, "/:@"); err != nil {
		return fmt.Errorf("the path %w", err)
	}
	return nil
}

// checkCharacters returns an error if part has characters other than unreserved
// ones, sub-delimiters and those in delimiters (RFC 3986, section 3.3), or
// escapes that are not in normal form (section 6.2.2) or hide a control
// character.
func checkCharacters(part, delimiters string) error {
	for i := 0; i < len(part); i++ {
		c := part[i]
		if c != '%' {
			if !web.Unreserved(c) && !strings.Contains("!$&'()*+,;="+delimiters, string(rune(c))) {
				return errors.New("has a character that must be escaped")
			}
			continue
		}
		if len(part)-i < 3 || !upperHex(part[i+1]) || !upperHex(part[i+2]) {
			return errors.New("has an escape that is not % and two uppercase hex digits")
		}
		b, _ := strconv.ParseUint(part[i+1:i+3], 16, 8)
		switch decoded := byte(b); {
		case web.Unreserved(decoded):
			return errors.New("has an escape that is not needed")
		case decoded < ' ' || decoded == 0x7f:
			return errors.New("has a control character")
		}
		i += 2
	}
	return nil
}

func upperHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }
