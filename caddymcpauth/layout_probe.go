package caddymcpauth

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// probe is a request to follow.
type probe struct {
	method, path, query string
	header              http.Header
	major               int    // of the HTTP version
	client              string // its address
	host                string // if not the resource's
}

func (p probe) equal(other probe) bool {
	return p.method == other.method && p.path == other.path && p.query == other.query && p.major == other.major && p.client == other.client && p.host == other.host && len(p.header) == len(other.header)
}

// networks are addresses that a matcher may treat differently, one of each kind.
var networks = []string{"203.0.113.1", "10.0.0.1", "127.0.0.1", "2001:db8::1"}

// path is the resource's.
func (l *layout) path() string {
	return cmp.Or(strings.TrimPrefix(l.resource.MetadataPath(), resource.WellKnown), "/")
}

// host returns the host of requests: the resource's, or another host of the site
// if a proxy in front knows the site by other names.
func (l *layout) host() string {
	u, err := url.Parse(l.resource.Origin())
	if err != nil {
		return ""
	}
	for _, host := range l.self.Hosts {
		if strings.EqualFold(host, u.Hostname()) {
			return u.Host
		}
	}
	for _, host := range l.self.Hosts {
		if strings.HasPrefix(host, "*.") && strings.HasSuffix(u.Hostname(), host[1:]) {
			return u.Host
		}
	}
	if len(l.self.Hosts) > 0 {
		return strings.Replace(l.self.Hosts[0], "*", "x", 1)
	}
	return u.Host
}

func (l *layout) follow(p probe) *routing.Way {
	r := &http.Request{
		Method:     p.method,
		URL:        &url.URL{Path: p.path, RawQuery: p.query},
		ProtoMajor: max(p.major, 1),
		ProtoMinor: 1,
		Proto:      "HTTP/1.1",
		Header:     p.header.Clone(),
		Host:       cmp.Or(p.host, l.host()),
		RemoteAddr: net.JoinHostPort(cmp.Or(p.client, networks[0]), "49152"),
	}
	if p.major > 1 {
		r.ProtoMinor, r.Proto = 0, fmt.Sprintf("HTTP/%d.0", p.major)
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	if strings.HasPrefix(l.resource.Origin(), "https:") {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: host}
	}
	return l.tree.Way(r.WithContext(context.Background()), p.path)
}
