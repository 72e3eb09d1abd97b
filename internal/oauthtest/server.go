// Package oauthtest is a fake authorization server for unit tests.
//
// It publishes metadata and a key set, mints access tokens, answers introspection
// and userinfo, counts what it is asked, and fails in every way that a test asks
// for. It can imitate real authorization servers, see [Personality]. [Hostile] and
// [Benign] are matrices of tokens to judge a verifier with.
//
// It signs nobody in: there is no authorization, token or registration
// endpoint, although its metadata names them. Import it from tests only.
package oauthtest

import (
	"bytes"
	"context"
	"crypto"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// Options choose what a [Server] is like. The zero value is a server that
// answers at all metadata locations, signs with RS256, and knows introspection
// and userinfo.
type Options struct {
	// Personality makes the server behave like a certain product. The other
	// options, where set, take precedence over what it brings.
	Personality Personality

	// Path is the issuer's path: "/oidc" makes it http://127.0.0.1:port/oidc.
	// Empty: none. A trailing slash is kept.
	Path string

	// MetadataAt are the well-known locations that answer; the others are 404.
	// Zero: all three.
	MetadataAt Location

	// Metadata sets fields of the metadata document; [Absent] removes one.
	Metadata map[string]any

	// Algorithm is what the first key signs with. Default: RS256.
	Algorithm string

	// Audience is the "aud" of tokens whose claims don't say otherwise.
	// Default: https://mcp.example.com/mcp.
	Audience string

	// JWKSCacheControl is the Cache-Control header of the key set. Default: none.
	JWKSCacheControl string

	// ClientID and ClientSecret are the credentials that introspection asks
	// for. Default: "front-door" and "s3cr3t & more: 100%", which survives the
	// form-encoding of RFC 6749 section 2.3.1 only if that is done.
	ClientID, ClientSecret string

	// ClientKey verifies private_key_jwt client assertions. If nil, that method is
	// refused.
	ClientKey crypto.PublicKey

	// Now is the clock for the times in tokens and for judging expiry.
	// Default: time.Now.
	Now func() time.Time

	// Network is where the server listens. Default: loopback. With a network in
	// memory the server may be in a bubble of testing/synctest.
	Network *testkit.Network
}

// Location is a set of well-known metadata locations.
type Location uint8

// The locations in the order in which the MCP specification tries them, for
// the issuer https://as.example/path.
const (
	// RFC8414Insert is /.well-known/oauth-authorization-server/path.
	RFC8414Insert Location = 1 << iota
	// OIDCInsert is /.well-known/openid-configuration/path.
	OIDCInsert
	// OIDCAppend is /path/.well-known/openid-configuration. For an issuer
	// without a path it is the same address as OIDCInsert.
	OIDCAppend
	// Nowhere alone makes a server without metadata.
	Nowhere
)

// Endpoint is one of the server's endpoints, to order faults for and to count.
type Endpoint string

const (
	// Metadata is every well-known location, also one that answers 404.
	Metadata Endpoint = "metadata"
	// JWKS is the key set.
	JWKS Endpoint = "jwks"
	// Introspection is RFC 7662, and GitHub's check of an application's token.
	Introspection Endpoint = "introspection"
	// Userinfo is OpenID Connect's userinfo, and GitHub's /user.
	Userinfo Endpoint = "userinfo"
	// Groups are GitHub's /user/orgs and /user/teams.
	Groups Endpoint = "groups"
	// Other is any other path. It answers 404.
	Other Endpoint = "other"
	// Any stands for all of them, in [Server.SetFault] and [Server.Count].
	Any Endpoint = "any"
)

// Request is one request that the server has seen.
type Request struct {
	// Endpoint is where it came. Method, Path, Header and Body are its parts.
	Endpoint Endpoint
	Method   string
	Path     string
	Header   http.Header
	Body     string
	// Auth is how the caller authenticated: "none", "basic", "post" (a secret
	// in the form), "private_key_jwt", "bearer", or "other".
	Auth string
}

// Server is a fake authorization server on a loopback port. Its methods may be
// called at any time, from any goroutine.
type Server struct {
	// URL is the server's origin, without a path.
	URL string

	opts      Options
	character character
	routes    map[string]route
	t         testing.TB

	mu       sync.Mutex
	faults   map[Endpoint]Fault
	requests []Request
	keys     keySet
	opaque   map[string]map[string]any
	revoked  map[string]bool
	serial   int // last number given to a key, a token or a subject
}

// route is what answers at one path.
type route struct {
	endpoint Endpoint
	serve    http.HandlerFunc
}

// New starts a server. It ends with the test, together with all requests that
// still hang in it.
func New(t testing.TB, opts Options) *Server {
	t.Helper()
	s := &Server{
		opts:    opts,
		t:       t,
		faults:  make(map[Endpoint]Fault),
		opaque:  make(map[string]map[string]any),
		revoked: make(map[string]bool),
	}
	s.takeOn(opts.Personality)
	s.mount()

	ts := &httptest.Server{Config: &http.Server{Handler: s}}
	if opts.Network != nil {
		ts.Listener = opts.Network.Listen()
	} else {
		ts = httptest.NewUnstartedServer(s)
	}
	s.URL = "http://" + ts.Listener.Addr().String()
	running, stop := context.WithCancel(context.Background())
	ts.Config.BaseContext = func(net.Listener) context.Context { return running }
	ts.Start()
	t.Cleanup(func() {
		stop()
		ts.CloseClientConnections()
		ts.Close()
		s.returnKeys()
	})
	s.Rotate(false)
	return s
}

// Issuer returns the issuer identifier.
func (s *Server) Issuer() string { return s.URL + s.opts.Path }

// Endpoint returns the address of an endpoint, or "" if the server has none.
func (s *Server) Endpoint(e Endpoint) string {
	paths := map[Endpoint]string{
		JWKS: s.character.jwks, Introspection: s.character.introspection, Userinfo: s.character.userinfo,
	}
	path, ok := paths[e]
	if !ok || path == "" {
		return ""
	}
	return s.URL + s.base() + path
}

// base is the issuer's path without its trailing slash.
func (s *Server) base() string { return strings.TrimSuffix(s.opts.Path, "/") }

// mount fills the table of paths.
func (s *Server) mount() {
	s.routes = make(map[string]route)
	handle := func(e Endpoint, path string, serve http.HandlerFunc) {
		s.routes[path] = route{e, serve}
	}
	locations := []struct {
		location Location
		path     string
	}{
		{RFC8414Insert, "/.well-known/oauth-authorization-server" + s.base()},
		{OIDCInsert, "/.well-known/openid-configuration" + s.base()},
		{OIDCAppend, s.base() + "/.well-known/openid-configuration"},
	}
	for _, l := range locations {
		if s.opts.MetadataAt&l.location != 0 {
			handle(Metadata, l.path, s.serveMetadata)
		} else if _, taken := s.routes[l.path]; !taken {
			handle(Metadata, l.path, http.NotFound)
		}
	}
	c := s.character
	if c.jwks != "" {
		handle(JWKS, s.base()+c.jwks, s.serveJWKS)
	}
	if c.introspection != "" {
		handle(Introspection, s.base()+c.introspection, func(w http.ResponseWriter, r *http.Request) { c.introspect(s, w, r) })
	}
	if slashless, ok := strings.CutSuffix(s.base()+c.introspection, "/"); ok && c.introspection != "" {
		handle(Introspection, slashless, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, slashless+"/", http.StatusMovedPermanently)
		})
	}
	if c.userinfo != "" {
		handle(Userinfo, s.base()+c.userinfo, func(w http.ResponseWriter, r *http.Request) { c.identify(s, w, r) })
	}
	for path, serve := range c.groups {
		handle(Groups, s.base()+path, func(w http.ResponseWriter, r *http.Request) { serve(s, w, r) })
	}
}

// ServeHTTP records the request, then answers it, or fails as ordered.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Read the body now: the server notices that a client hangs up only after
	// that, and a fault that waits depends on it.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "reading body", http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	to, ok := s.routes[r.URL.Path]
	if !ok {
		to = route{Other, http.NotFound}
	}
	s.mu.Lock()
	s.requests = append(s.requests, Request{
		Endpoint: to.endpoint,
		Method:   r.Method,
		Path:     r.URL.Path,
		Header:   r.Header.Clone(),
		Body:     string(body),
		Auth:     authForm(r, string(body)),
	})
	fault := s.faults[to.endpoint]
	if fault == nil {
		fault = s.faults[Any]
	}
	s.mu.Unlock()

	if fault == nil {
		to.serve(w, r)
		return
	}
	fault(w, r, to.serve)
}

// Count returns how many requests an endpoint has seen, answered or not.
func (s *Server) Count(e Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if e == Any || r.Endpoint == e {
			n++
		}
	}
	return n
}

// Requests returns the requests seen so far, in order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ForgetRequests sets all counts back to zero.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// number returns a number that it has never returned before.
func (s *Server) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	return s.serial
}
