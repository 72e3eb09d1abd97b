// Package inprocess lets modules of one Caddy send requests to the authorization
// server beside them without a network. So nothing has to listen yet, no
// certificate has to be trusted, and no proxy is in the way.
package inprocess

import (
	"bytes"
	"io"
	"net/http"
	"net/url"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Server answers requests for an issuer's endpoints.
type Server interface {
	http.Handler
	// ServesPath reports whether the server answers at path.
	ServesPath(path string) bool
}

// servers has the authorization servers, by issuer.
var servers pool.Registry[Server]

// Register adds s as the authorization server with the identifier issuer, until
// release is called.
func Register(issuer string, s Server) (release func()) { return servers.Register(issuer, s) }

// lookup returns the server of issuer that answers at path.
func lookup(issuer, path string) (Server, bool) {
	s, ok := servers.Latest(issuer)
	return s, ok && s.ServesPath(path)
}

// transport sends requests to the server in this process, if there is one.
type transport struct {
	issuer, origin string
	base           http.RoundTripper
}

// Transport returns a transport for requests to issuer. If the server with that
// identifier in this process answers at the path, the request goes to it; all
// others go to base.
func Transport(issuer string, base http.RoundTripper) http.RoundTripper {
	u, err := url.Parse(issuer)
	if err != nil {
		return base
	}
	return &transport{issuer, web.Origin(u), base}
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if web.Origin(req.URL) != t.origin {
		return t.base.RoundTrip(req)
	}
	s, ok := lookup(t.issuer, req.URL.Path)
	if !ok {
		return t.base.RoundTrip(req)
	}
	in := req.Clone(req.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	in.Host, in.RequestURI = req.URL.Host, req.URL.RequestURI()
	w := &recorder{header: make(http.Header)}
	s.ServeHTTP(w, in)
	w.WriteHeader(http.StatusOK)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status:        http.StatusText(w.status),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.sent,
		Body:          io.NopCloser(&w.body),
		ContentLength: int64(w.body.Len()),
		Request:       req,
	}, nil
}

// CloseIdleConnections is called by [http.Client.CloseIdleConnections].
func (t *transport) CloseIdleConnections() {
	if closer, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// recorder records a response.
type recorder struct {
	header http.Header
	sent   http.Header // a copy from when the status was written; nil before
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.sent == nil {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
