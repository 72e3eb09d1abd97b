package whoami

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse
//
// The SDK's own handler for this transport is not used: it takes a POST of
// anyone who knows the session's ID, tells the tools nothing about the caller,
// and announces a URL without the path prefix that handle_path has stripped.

// sseWriteTimeout is how long a client may take to accept an event. Otherwise, a
// client that stops reading would delay the end of its session, and a shutdown.
const sseWriteTimeout = 5 * time.Second

// sseHandler serves the HTTP+SSE transport at one path. identify must wrap it.
type sseHandler struct {
	server       *mcp.Server
	writeTimeout time.Duration // sseWriteTimeout, except in tests

	mu       sync.Mutex
	sessions map[string]*sseSession
}

func newSSEHandler(server *mcp.Server) *sseHandler {
	return &sseHandler{
		server:       server,
		writeTimeout: sseWriteTimeout,
		sessions:     make(map[string]*sseSession),
	}
}

func (h *sseHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		h.open(w, r)
	case http.MethodPost:
		h.post(w, r)
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

// open starts a session, which lasts as long as the request.
func (h *sseHandler) open(w http.ResponseWriter, r *http.Request) {
	id := rand.Text()
	s := &sseSession{
		transport:    &mcp.SSEServerTransport{Endpoint: endpoint(r, id), Response: w},
		control:      http.NewResponseController(w),
		writeTimeout: h.writeTimeout,
		owner:        userID(r),
		incoming:     make(chan jsonrpc.Message),
		closed:       make(chan struct{}),
	}
	h.mu.Lock()
	h.sessions[id] = s
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.sessions, id)
		h.mu.Unlock()
	}()

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache, no-transform")
	session, err := h.server.Connect(r.Context(), s, nil)
	if err != nil {
		return // the first event could not be written: the client is gone
	}
	defer session.Close()

	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
}

// post passes a message on to its session.
func (h *sseHandler) post(w http.ResponseWriter, r *http.Request) {
	// This forces browsers to send a preflight from other sites' pages.
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		http.Error(w, "Content-Type must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	id := r.URL.Query().Get("sessionid")
	if id == "" {
		// A client of a later revision tries this first. It takes 400 as the sign
		// to fall back to a GET.
		http.Error(w, "sessionid is missing: open a session with GET", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	s := h.sessions[id]
	h.mu.Unlock()
	// A different user who knows the ID doesn't learn that it exists.
	if s == nil || s.owner != userID(r) {
		http.Error(w, "session not found", http.StatusNotFound)
		return
	}
	s.post(w, r)
}

// endpoint returns the reference that the client resolves against the URL of the
// event stream to find where to POST. It is built from the path that the client
// sent, before handle_path or rewrite changed it.
func endpoint(r *http.Request, id string) string {
	u := r.URL
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		u = original.URL
	}
	// Two slashes would begin a host, and the client would send its token there.
	path := "/" + strings.TrimLeft(u.EscapedPath(), "/")
	return path + "?" + url.Values{"sessionid": {id}}.Encode()
}

// sseSession is the transport of one session, and its connection: the SDK's
// transport writes the events, and POSTs bring the messages.
type sseSession struct {
	transport *mcp.SSEServerTransport
	mcp.Connection
	control      *http.ResponseController
	writeTimeout time.Duration

	owner    string // userID of the opener
	incoming chan jsonrpc.Message

	writing sync.Mutex
	closing sync.Once
	closed  chan struct{}
}

// post passes the message in r's body to the server, with the identity of its
// sender: the session's owner, possibly with a newer token.
func (s *sseSession) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			http.Error(w, "request body too large", http.StatusRequestEntityTooLarge)
			return
		}
		http.Error(w, "reading body failed", http.StatusBadRequest)
		return
	}
	message, err := jsonrpc.DecodeMessage(body)
	if err != nil {
		http.Error(w, "body is not a JSON-RPC message", http.StatusBadRequest)
		return
	}
	if request, ok := message.(*jsonrpc.Request); ok {
		request.Extra = &mcp.RequestExtra{TokenInfo: auth.TokenInfoFromContext(r.Context())}
	}
	select {
	case s.incoming <- message:
		w.WriteHeader(http.StatusAccepted)
	case <-s.closed:
		http.Error(w, "session not found", http.StatusNotFound)
	case <-r.Context().Done():
	}
}

// Connect sends the client the first event.
func (s *sseSession) Connect(ctx context.Context) (_ mcp.Connection, err error) {
	s.Connection, err = s.transport.Connect(ctx)
	return s, err
}

// SupportsProtocolVersion reports whether the transport knows the revision.
func (s *sseSession) SupportsProtocolVersion(version string) bool {
	return s.transport.SupportsProtocolVersion(version)
}

// Read returns the next message that was POSTed.
func (s *sseSession) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case message := <-s.incoming:
		return message, nil
	case <-s.closed:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Write sends message as an event.
func (s *sseSession) Write(ctx context.Context, message jsonrpc.Message) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	select {
	case <-s.closed:
		return io.EOF // the request has ended: its connection may serve the next one
	default:
	}
	// Not every writer supports deadlines, but those for client connections do.
	// The deadline is removed afterwards, whatever limit the server sets on
	// ordinary responses: in HTTP/2 it would end a stream that is merely silent.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.writeTimeout))
	err := s.Connection.Write(ctx, message)
	_ = s.control.SetWriteDeadline(time.Time{})
	return err
}

// Close ends the session. No event is written after it returns.
func (s *sseSession) Close() error {
	s.closing.Do(func() { close(s.closed) })
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.Connection.Close()
}

// Interface guards
var (
	_ mcp.Transport                = (*sseSession)(nil)
	_ mcp.Connection               = (*sseSession)(nil)
	_ mcp.ProtocolVersionSupporter = (*sseSession)(nil)
)
