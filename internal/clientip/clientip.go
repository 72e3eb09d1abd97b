// Package clientip determines where a request comes from, so that shares can be
// given out per network.
package clientip

import (
	"context"
	"net/http"
	"net/netip"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Of returns the address of the client whose request ctx belongs to. Behind a
// proxy, the server's option trusted_proxies determines it.
func Of(ctx context.Context) string {
	address, _ := caddyhttp.GetVar(ctx, caddyhttp.ClientIPVarKey).(string)
	return address
}

// sharedNAT is the address range inside a carrier's network or a tunnel (RFC
// 6598).
var sharedNAT = netip.MustParsePrefix("100.64.0.0/10")

// ProxyWarning warns once about a proxy that the server doesn't trust. The zero
// value is ready to use.
type ProxyWarning struct{ once sync.Once }

// Check warns if the request comes from such a proxy. A client on the same
// network can cause the warning, but nothing else.
func (p *ProxyWarning) Check(r *http.Request, logger *zap.Logger) {
	if r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == "" {
		return
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		return
	}
	addr, err := netip.ParseAddr(Of(r.Context()))
	if err != nil {
		return
	}
	if addr = addr.Unmap(); !addr.IsLoopback() && !addr.IsPrivate() && !addr.IsLinkLocalUnicast() && !sharedNAT.Contains(addr) {
		return // on the internet, any client can send such a header
	}
	p.once.Do(func() {
		logger.Warn("requests come through a proxy that isn't trusted, so all clients appear to have its address, and one can slow down all others: name it in the global options, `servers { trusted_proxies static <address> }`",
			zap.String("address", addr.String()))
	})
}
