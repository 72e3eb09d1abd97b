package clientdoc_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// publisher is a server that publishes documents, and counts who asks.
type publisher struct {
	*httptest.Server
	hits atomic.Int64

	mu      sync.Mutex
	handler http.HandlerFunc
}

// newPublisher starts a server that answers with handler; nil: with the proper
// document for whatever URL it is asked.
func newPublisher(t testing.TB, handler http.HandlerFunc) *publisher {
	t.Helper()
	p := &publisher{handler: handler}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.hits.Add(1)
		p.mu.Lock()
		handler := p.handler
		p.mu.Unlock()
		if handler == nil {
			handler = proper
		}
		handler(w, r)
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail, as they should
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// dial connects to the publisher, whatever the address.
func (p *publisher) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", p.Listener.Addr().String())
}

// answer replaces the handler.
func (p *publisher) answer(handler http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handler = handler
}

// id returns the URL of a document.
func (p *publisher) id(name string) string { return p.URL + "/" + name }

// idAt returns the URL of a document at a host that only a resolver of ours knows.
func (p *publisher) idAt(host string) string {
	_, port, _ := net.SplitHostPort(p.Listener.Addr().String())
	return "https://" + host + ":" + port + "/client.json"
}

func (p *publisher) wantHits(t testing.TB, what string, want int64) {
	t.Helper()
	if got := p.hits.Load(); got != want {
		t.Errorf("%s: got %d fetches, want %d", what, got, want)
	}
}

// document returns the proper document for id.
func document(id string) string { return fmt.Sprintf(`{"client_id":%q,"client_name":"Test"}`, id) }

func proper(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, document("https://"+r.Host+r.RequestURI))
}

// respond returns a handler for the proper document with these headers, given as
// name and value in turn.
func respond(headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Add(headers[i], headers[i+1])
		}
		proper(w, r)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// body returns a handler that answers with this body.
func body(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		fmt.Fprint(w, text)
	}
}

func loopback(addr netip.Addr) bool { return addr == netip.MustParseAddr("127.0.0.1") }

// newFetcher returns a fetcher that reaches and trusts p.
func newFetcher(t testing.TB, p *publisher, config clientdoc.Config) *clientdoc.Fetcher {
	t.Helper()
	if config.RootCAs == nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AddCert(p.Certificate())
	}
	if config.AllowPrivate == nil {
		config.AllowPrivate = loopback
	}
	f := clientdoc.New(config)
	f.Unpadded()
	t.Cleanup(f.Close)
	return f
}

// client is where those who ask come from, unless it matters.
const client = "192.0.2.1"

func fetch(t testing.TB, f *clientdoc.Fetcher, id string) ([]byte, error) {
	t.Helper()
	return f.Fetch(t.Context(), id, client)
}

func mustFetch(t testing.TB, f *clientdoc.Fetcher, id string) {
	t.Helper()
	got, err := fetch(t, f, id)
	if err != nil || string(got) != document(id) {
		t.Fatalf("got %s, %v, want the document of %s", got, err, id)
	}
}

// wantInvalid checks that err is an *InvalidError that says cause.
func wantInvalid(t testing.TB, got []byte, err error, cause string) {
	t.Helper()
	var invalid *clientdoc.InvalidError
	if !errors.As(err, &invalid) || got != nil || !strings.Contains(err.Error(), cause) {
		t.Errorf("got %q, %v, want an *InvalidError that says %q", got, err, cause)
	}
}

// wantUnavailable checks that err is an *outbound.UnavailableError that says cause.
func wantUnavailable(t testing.TB, got []byte, err error, cause string) {
	t.Helper()
	var unavailable *outbound.UnavailableError
	if !errors.As(err, &unavailable) || got != nil || !strings.Contains(err.Error(), cause) {
		t.Errorf("got %q, %v, want an *outbound.UnavailableError that says %q", got, err, cause)
	}
}

// lookup puts every host of example.com and example.org here, but for one that
// does not exist.
func lookup(host string) []netip.Addr {
	if strings.HasPrefix(host, "missing.") {
		return nil
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
}

// resolver returns a resolver that takes the addresses of a name, IPv4 and IPv6,
// from lookup.
func resolver(lookup func(host string) []netip.Addr) *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go serveDNS(ours, lookup)
			return theirs, nil
		},
	}
}

// serveDNS answers one query over a stream (RFC 1035, section 4.2.2).
func serveDNS(conn net.Conn, lookup func(host string) []netip.Addr) {
	defer conn.Close()
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return
	}
	raw := make([]byte, int(length[0])<<8|int(length[1]))
	if _, err := io.ReadFull(conn, raw); err != nil {
		return
	}
	var m dnsmessage.Message
	if m.Unpack(raw) != nil || len(m.Questions) != 1 {
		return
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	q := m.Questions[0]
	header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}
	for _, addr := range lookup(strings.TrimSuffix(q.Name.String(), ".")) {
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	if raw, err := m.Pack(); err == nil {
		_, _ = conn.Write(append([]byte{byte(len(raw) >> 8), byte(len(raw))}, raw...))
	}
}
