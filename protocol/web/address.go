package web

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// Origin returns the origin of u: lower-case scheme and host, and the port
// unless it is the scheme's own (RFC 6454, section 6.2).
func Origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port := u.Port()
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + port
}

// IsLoopback reports whether host, without port, can only be this machine: an address
// of loopback (RFC 8252, section 7.3), or localhost, which every system has in its
// hosts file. Names below localhost don't count. RFC 6761, section 6.3, says that
// they are loopback, but many resolvers ask the DNS for them, and then the network
// decides where they lead.
func IsLoopback(host string) bool {
	if strings.ToLower(host) == "localhost" { // not EqualFold, for which ſ is an s
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() && addr.Zone() == ""
}

// CheckAddress returns an error unless address, which an operator configured or
// an authorization server named, is one that tokens and credentials may be sent
// to: https, or http on loopback. The error doesn't quote it.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("not an absolute URL: write it with https://")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		return errors.New("not https: a token sent there could be read on the way")
	case u.User != nil:
		return errors.New("contains credentials: there are options for them")
	case u.Fragment != "":
		return errors.New("contains a fragment")
	}
	return nil
}
