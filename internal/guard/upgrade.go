package guard

import (
	"encoding/base64"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// upgradeHeaders are the headers with which a request asks for another protocol.
var upgradeHeaders = web.NewNames("Upgrade", "HTTP2-Settings")

// protocolHeader is where Go's HTTP/2 server puts the protocol of a CONNECT.
const protocolHeader = ":protocol"

// scrubUpgrade removes from r every header that asks for another protocol, unless
// r is a WebSocket handshake. reverse_proxy passes every Upgrade on, and after a
// 101 it passes the bytes in both directions. With `Upgrade: h2c` a client could
// send the server behind further requests, with any path and any header, and
// nothing here would see them. A server may ignore an Upgrade (RFC 9110, section
// 7.8), so the request itself goes on.
//
// Found contains those of upgradeHeaders and protocolHeader that are in r.Header,
// and possibly others.
func scrubUpgrade(r *http.Request, found []string) {
	handshake := len(found) > 0 && isHandshake(r)
	for _, key := range found {
		switch {
		case handshake && key == "Upgrade":
		case upgradeHeaders.Contains(key), key == protocolHeader && !isWebSocketConnect(r):
			delete(r.Header, key)
		}
	}
	if handshake {
		// Connection names no other header, so no proxy removes one on the way:
		// the server behind gets what was checked.
		r.Header["Connection"] = []string{"Upgrade"}
		return
	}
	removeOptions(r.Header, upgradeHeaders)
}

// isHandshake reports whether r is a client's opening handshake of the WebSocket
// protocol (RFC 6455, section 4.1). Only HTTP/1.1 has these.
func isHandshake(r *http.Request) bool {
	h := r.Header
	return r.ProtoMajor == 1 && r.ProtoMinor >= 1 &&
		r.Method == http.MethodGet && r.ContentLength == 0 && len(r.TransferEncoding) == 0 &&
		len(h["Upgrade"]) == 1 && isWebSocket(h["Upgrade"][0]) &&
		httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade") &&
		isWebSocketVersion(h) && isWebSocketKey(h.Values("Sec-WebSocket-Key"))
}

// isWebSocketConnect reports whether r opens a WebSocket in a stream of HTTP/2
// (RFC 8441) or HTTP/3 (RFC 9220). Go's HTTP/2 server puts the protocol among the
// headers, quic-go in the place of the version.
func isWebSocketConnect(r *http.Request) bool {
	if r.Method != http.MethodConnect || !isWebSocketVersion(r.Header) {
		return false
	}
	switch protocol := r.Header[protocolHeader]; r.ProtoMajor {
	case 2:
		return len(protocol) == 1 && protocol[0] == "websocket"
	case 3:
		return len(protocol) == 0 && r.Proto == "websocket"
	}
	return false
}

// isWebSocket reports whether a protocol is websocket, ignoring case.
// strings.EqualFold alone would also accept letters outside ASCII.
func isWebSocket(protocol string) bool {
	return len(protocol) == len("websocket") && strings.EqualFold(protocol, "websocket")
}

func isWebSocketVersion(h http.Header) bool {
	version := h.Values("Sec-WebSocket-Version")
	return len(version) == 1 && version[0] == "13"
}

// isWebSocketKey reports whether key is the base64 of 16 bytes.
func isWebSocketKey(key []string) bool {
	if len(key) != 1 {
		return false
	}
	b, err := base64.StdEncoding.DecodeString(key[0])
	return err == nil && len(b) == 16
}
