package oauth

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// readBody returns the body of r, of at most limit bytes.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("the body is larger than %d bytes", limit)
	}
	return body, nil
}

func isMediaType(r *http.Request, want string) bool {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && got == want && len(r.Header.Values("Content-Type")) == 1
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(append(body, '\n'))
	return err
}

// ServesPath reports whether path is that of an endpoint which [Server.ServeHTTP]
// answers: all of them except the authorization endpoint, which needs pages.
func (s *Server) ServesPath(path string) bool { return s.endpoint(path) != "" }

// ServeHTTP answers at the endpoints that clients and resource servers call
// directly, and serves the metadata and the keys. Web pages of any origin may
// call them, because none of them uses cookies.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "DPoP-Nonce")
	h.Set("X-Content-Type-Options", "nosniff")
	name := s.endpoint(r.URL.Path)
	allowed := "POST"
	if name == "metadata" || name == "keys" {
		allowed = "GET, HEAD"
	}
	switch {
	case r.Method == http.MethodOptions:
		h.Set("Allow", allowed+", OPTIONS")
		h.Set("Access-Control-Allow-Methods", allowed)
		// `*` doesn't include Authorization (Fetch, section 4.9).
		h.Set("Access-Control-Allow-Headers", "*, Authorization")
		h.Set("Access-Control-Max-Age", "7200")
		w.WriteHeader(http.StatusNoContent)
		return
	case allowed == "POST" && r.Method != http.MethodPost, allowed != "POST" && r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", allowed+", OPTIONS")
		refuse(w, &Error{Code: "invalid_request", Description: "This endpoint doesn't support this method.", Status: http.StatusMethodNotAllowed})
		return
	}
	var event *Event
	var err error
	switch name {
	case "metadata":
		s.serveMetadata(w)
		return
	case "keys":
		s.serveKeys(w, r)
		return
	}
	// RFC 6749, section 5.1, and RFC 7591, section 3.2.1.
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	switch name {
	case "token":
		event, err = s.serveClient(w, r, s.tokenFor(r))
	case "register":
		event, err = s.register(w, r)
	case "revoke":
		event, err = s.serveClient(w, r, s.revoke)
	case "introspect":
		event, err = s.serveClient(w, r, s.introspect)
	default:
		http.NotFound(w, r)
		return
	}
	event.Endpoint = name
	if err != nil {
		event.Err = asError(err)
		refuse(w, event.Err)
	}
	s.observe(r.Context(), *event)
}

// refuse answers with an OAuth error (RFC 6749, section 5.2).
func refuse(w http.ResponseWriter, e *Error) {
	if e.challenge {
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
	}
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.retryAfter/time.Second)))
	}
	// Nothing can be done about a failed write.
	_ = writeJSON(w, e.Status, map[string]string{"error": e.Code, "error_description": e.Description})
}

func (s *Server) serveMetadata(w http.ResponseWriter) {
	document, err := s.metadata()
	if err != nil {
		refuse(w, unavailable(err))
		return
	}
	serveDocument(w, document)
}

func (s *Server) serveKeys(w http.ResponseWriter, r *http.Request) {
	keys, err := s.keys.Current(r.Context())
	if err != nil {
		e := unavailable(err)
		refuse(w, e)
		s.observe(r.Context(), Event{Endpoint: "keys", Err: e})
		return
	}
	serveDocument(w, keys.Document())
}

func serveDocument(w http.ResponseWriter, document []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(document)
}
