package facade

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// token inspects the requests that programs send, for tokens, revocation and
// introspection. Their parameters are in the body (RFC 6749, section 3.2).
func (h *Handler) token(w http.ResponseWriter, r *http.Request, g *inspected, next caddyhttp.Handler) error {
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions:
		if err := errors.Join(reading.CheckHeaders(r.Header), reading.NoBody(r)); err != nil {
			h.refuseProgram(w, r, g.label, http.StatusBadRequest, err)
			return nil
		}
		return next.ServeHTTP(w, r) // the server answers preflights
	default:
		w.Header().Set("Allow", "POST, OPTIONS")
		h.refuseProgram(w, r, g.label, http.StatusMethodNotAllowed, errMethod)
		return nil
	}
	query, form, err := h.readToken(r)
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, reading.ErrTooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		h.refuseProgram(w, r, g.label, status, err)
		return nil
	}
	var done []string
	if g.label == atToken {
		done = h.repairs.Apply(form)
	}
	reading.SetQuery(r, query)
	reading.SetForm(r, form)
	h.repaired(r, g.label, done)
	sweeper, ok := h.registrar.(Sweeper)
	clientID := clientOf(r, form)
	if !ok || clientID == "" || g.label != atToken {
		return next.ServeHTTP(w, r)
	}
	recorder := caddyhttp.NewResponseRecorder(w, nil, nil)
	if err := next.ServeHTTP(recorder, r); err != nil {
		return err
	}
	// Only a token shows that the client is in use. Any stranger can name it.
	if recorder.Status() == http.StatusOK {
		sweeper.Used(r.Context(), clientID)
	}
	return nil
}

// readToken reads a request. It refuses one that could be read in two ways.
func (h *Handler) readToken(r *http.Request) (query, form url.Values, err error) {
	if err := reading.CheckHeaders(r.Header); err != nil {
		return nil, nil, err
	}
	if query, err = h.tokens.Query(r); err != nil {
		return nil, nil, fmt.Errorf("the query can't be read: %w", err)
	}
	for name := range query {
		// Other parameters may be part of the endpoint, such as a tenant's name.
		if h.tokens.Knows(name) {
			return nil, nil, fmt.Errorf("%s is in the query: parameters go into the body", name)
		}
	}
	if form, err = h.tokens.Form(r); err != nil {
		return nil, nil, fmt.Errorf("the form can't be read: %w", err)
	}
	for name := range form {
		if query.Has(name) {
			return nil, nil, fmt.Errorf("%s is given twice", name)
		}
	}
	switch {
	case query.Has("_method") || form.Has("_method"):
		return nil, nil, errors.New("the parameter _method stands for another method")
	case form.Has("request") || form.Has("request_uri"):
		return nil, nil, errors.New("request and request_uri are not supported")
	}
	return query, form, errors.Join(h.checkClientID(form.Get("client_id")), h.checkClientID(clientOf(r, nil)))
}

// clientOf returns the client identifier of a request: the one in the form, or
// the user name of HTTP Basic (RFC 6749, section 2.3.1).
func clientOf(r *http.Request, form url.Values) string {
	if id := form.Get("client_id"); id != "" {
		return id
	}
	name, _, _ := r.BasicAuth()
	id, err := url.QueryUnescape(name)
	if err != nil {
		return name
	}
	return id
}

// refuseProgram refuses a request with the JSON of RFC 6749, section 5.2.
func (h *Handler) refuseProgram(w http.ResponseWriter, r *http.Request, endpoint string, status int, cause error) {
	unread.Answer(w, r)
	h.count(endpoint, "invalid_request")
	logRefusal(r.Context(), "invalid_request", cause)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "no-store")
	writeError(w, status, "invalid_request", registration.Described(cause.Error()))
}
