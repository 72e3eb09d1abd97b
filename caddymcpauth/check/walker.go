package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

const (
	// maxBody bounds a document, in bytes. Real ones have a few kilobytes.
	maxBody = 1 << 20

	userAgent = "caddy-mcp-auth-check"

	// origin is the origin of the MCP Inspector, a client in the browser. It is
	// on loopback, which every server should allow.
	origin = "http://localhost:6274"

	// initialize is a client's first message.
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
		`"capabilities":{},"clientInfo":{"name":"caddy-mcp-auth-check","version":"1"}}}`
)

// walker is the state of a check.
type walker struct {
	client  *http.Client
	timeout time.Duration
	report  *Report
	about   string
	// local says that the target is on this machine.
	local bool
	// methods has the resource's responses to requests without a token, by
	// method.
	methods map[string]*answer
}

func newWalker(target string, id resource.Identifier, config Config) *walker {
	client := outbound.NewClient()
	client.Timeout = 0 // each request has one
	if config.Roots != nil {
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: config.Roots}
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	u, _ := url.Parse(id.Origin()) // it was parsed before
	return &walker{
		client:  client,
		timeout: config.Timeout,
		report:  &Report{Target: target, Kind: Resource},
		about:   target,
		local:   web.IsLoopback(u.Hostname()),
	}
}

// answer is a response. Its body is only read for documents: the response of an
// MCP server may be a stream that never ends.
type answer struct {
	status int
	length int64 // -1 if it isn't known
	header http.Header
	body   []byte
}

// nothing reports whether the response has no content.
func (a *answer) nothing() bool {
	return a.length == 0 && a.header.Get("Content-Type") == ""
}

// probe sends a request without a token, and follows no redirect. headers are
// names and values in turn.
func (w *walker) probe(ctx context.Context, method, address string, headers ...string) (*answer, error) {
	var body io.Reader
	all := []string{"Accept", "application/json, text/event-stream"}
	switch method {
	case http.MethodPost:
		body = strings.NewReader(initialize)
		all = append(all, "Content-Type", "application/json")
	case http.MethodGet:
		all = []string{"Accept", "text/event-stream"}
	}
	return w.send(ctx, outbound.WithoutRedirects(w.client), method, address, body, 0, append(all, headers...))
}

// document gets a document. Redirects are followed within its origin.
func (w *walker) document(ctx context.Context, address string) (*answer, error) {
	headers := []string{"Accept", "application/json", "Origin", origin}
	return w.send(ctx, w.client, http.MethodGet, address, nil, maxBody, headers)
}

// send sends a request and reads up to limit bytes of the body; with a limit of
// zero, none.
func (w *walker) send(ctx context.Context, client *http.Client, method, address string, body io.Reader, limit int, headers []string) (*answer, error) {
	if err := w.reachable(address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, length: resp.ContentLength, header: resp.Header}
	if limit == 0 {
		return a, nil
	}
	read, err := outbound.Read(resp, limit)
	if err != nil {
		return nil, err
	}
	a.body = read.Body
	return a, nil
}

// reachable returns an error unless a client may go to address. A server
// elsewhere that names an address on this machine is misconfigured, or malicious.
func (w *walker) reachable(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%s is not an absolute URL", discovery.Quote(address))
	case u.User != nil:
		return errors.New("the URL contains credentials")
	case web.IsLoopback(u.Hostname()):
		if !w.local {
			return fmt.Errorf("%s is on the client's own machine", discovery.Quote(address))
		}
	case u.Scheme == "http":
		return fmt.Errorf("%s is not https", discovery.Quote(address))
	}
	return nil
}

// read decodes the JSON document at address into v.
func (w *walker) read(ctx context.Context, address string, v any) error {
	a, err := w.document(ctx, address)
	switch {
	case err != nil:
		return err
	case a.status != http.StatusOK:
		return fmt.Errorf("status %d", a.status)
	}
	return json.Unmarshal(a.body, v)
}

// unreachable adds the finding that there is no server.
func (w *walker) unreachable(err error) {
	w.fail("connect", "unreachable", "no answer: "+cause(err), connectCure(err))
}

// connectCure says how to fix a connection error.
func connectCure(err error) string {
	var alert tls.AlertError
	var operation *net.OpError
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, isHost := errors.AsType[x509.HostnameError](err)
	_, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isUnknown:
		return "clients refuse it too unless they trust that authority; to continue here, name its root certificate with --ca " +
			"(for Caddy's own authority: pki/authorities/local/root.crt in its data directory)"
	case isHost:
		return "get a certificate for this host name"
	case isInvalid && invalid.Reason == x509.Expired:
		return "renew the certificate, or set the clock of this machine: the certificate has expired or isn't valid yet; Caddy renews its own if it can be reached from outside and its storage is writable"
	case isInvalid:
		return "get a server certificate from an authority that clients trust"
	case isDNS:
		return "check that the host name is right and has a DNS record"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "this port does not speak TLS: use the port that does, or write http:// if the server is on this machine"
	case errors.As(err, &alert), errors.As(err, &operation) && operation.Op == "remote error":
		return "the server refuses the TLS handshake: check that it has a certificate for this host name (Caddy gets one for the names in its Caddyfile, and logs why if it can't), and that it doesn't require client certificates"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check that the server is running, and on this port"
	}
	return "check that the server is running and reachable from here; --timeout gives it more time"
}

// maxCause bounds a shown error, in bytes.
const maxCause = 400

// cause returns the text of an error without the request that it is about.
// Servers can influence some of these texts, so they are put on one line, in
// ASCII, and cut off.
func cause(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, err.Error())
	if len(text) > maxCause {
		text = text[:maxCause] + "..."
	}
	return text
}
