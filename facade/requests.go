package facade

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/repair"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
)

// maxForm bounds the body of a request to an endpoint, in bytes.
const maxForm = 64 << 10

var errForm = errors.New("the form can't be read, or is too large")

// form returns the parameters in the body of r; nil if it is not a form.
func form(r *http.Request) (url.Values, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil || len(body) > maxForm {
		return nil, errForm
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errForm
	}
	return values, nil
}

// setForm replaces the body of r.
func setForm(r *http.Request, values url.Values) {
	body := values.Encode()
	r.Body = io.NopCloser(strings.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(body))), nil }
}

// authorize looks at an authorization request before the server does. Its
// parameters may be in the query and, in a POST, in the body (RFC 6749, section
// 3.1): the server's own pages repeat them there. Whatever has a client in it is
// looked at, so that neither evades what is checked of the other.
func (h *Handler) authorize(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return h.refusePage(w, r, atAuthorization, errors.New("the query is malformed"))
	}
	var body url.Values
	if r.Method == http.MethodPost {
		if body, err = form(r); err == nil && body == nil && r.ContentLength != 0 {
			err = errForm // some servers read others, such as multipart/form-data
		}
		if err != nil {
			return h.refusePage(w, r, atAuthorization, err)
		}
	}
	for _, parameters := range []url.Values{query, body} {
		if !isAuthorization(parameters) {
			continue
		}
		if err := h.checkAuthorization(parameters); err != nil {
			return h.refusePage(w, r, atAuthorization, err)
		}
		if h.needsConsent(r, parameters) {
			if r.Method == http.MethodPost {
				return h.refusePage(w, r, atAuthorization, errors.New("the user was not asked about the application"))
			}
			return h.showConsent(w, r, parameters)
		}
		h.noteUse(r, parameters.Get("client_id"))
	}
	var done []string
	if isAuthorization(query) {
		if done = h.repairs.Apply(query); len(done) > 0 {
			r.URL.RawQuery = query.Encode()
			r.RequestURI = r.URL.RequestURI()
		}
	}
	if body != nil {
		if isAuthorization(body) {
			done = append(done, h.repairs.Apply(body)...)
		}
		setForm(r, body)
	}
	h.repaired(r, atAuthorization, done)
	return next.ServeHTTP(w, r)
}

// isAuthorization reports whether parameters have something of an authorization
// request in them.
func isAuthorization(parameters url.Values) bool {
	return parameters.Has("client_id") || parameters.Has("response_type") || parameters.Has("redirect_uri")
}

// repaired says what was done to a request.
func (h *Handler) repaired(r *http.Request, endpoint string, done []string) {
	if len(done) == 0 {
		h.count(endpoint, "ok")
		return
	}
	h.count(endpoint, "repaired")
	logField(r.Context(), "mcp_auth_facade_repairs", strings.Join(done, ", "))
}

// checkAuthorization returns an error if the server behind must not see an
// authorization request with the parameters.
func (h *Handler) checkAuthorization(parameters url.Values) error {
	if err := repair.CheckPKCE(parameters); err != nil {
		return err
	}
	if h.isShared(parameters) && !h.shared.AllowsRedirect(parameters.Get("redirect_uri")) {
		return errors.New("the redirect_uri is not one that is registered")
	}
	return nil
}

// isShared reports whether a request is of the client that is many.
func (h *Handler) isShared(parameters url.Values) bool {
	return h.shared != nil && parameters.Get("client_id") == h.shared.SharedClientID()
}

// needsConsent reports whether the user has to be asked first.
func (h *Handler) needsConsent(r *http.Request, parameters url.Values) bool {
	return h.isShared(parameters) && h.Consent != consentUpstream && !h.consented(r, parameters)
}

// token repairs a token request.
func (h *Handler) token(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	values, err := form(r)
	if err != nil {
		h.count(atToken, "invalid_request")
		logRefusal(r.Context(), "invalid_request", err)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		writeError(w, http.StatusRequestEntityTooLarge, "invalid_request", "The form can't be read, or is too large.")
		return nil
	}
	if values == nil {
		h.count(atToken, "ok")
		return next.ServeHTTP(w, r)
	}
	h.repaired(r, atToken, h.repairs.Apply(values))
	setForm(r, values)
	return next.ServeHTTP(w, r)
}

// refusePage refuses an authorization request on a page: whether its redirect
// URI is the client's only the server behind knows, so nobody is sent there.
func (h *Handler) refusePage(w http.ResponseWriter, r *http.Request, endpoint string, cause error) error {
	h.count(endpoint, "invalid_request")
	logRefusal(r.Context(), "invalid_request", cause)
	pages.Message{
		Site:   h.site,
		Title:  "This application can't sign you in",
		Text:   "Its request is not one that this server accepts, so you were not asked anything, and it was not given anything.",
		Cure:   "Start again from your application. If this page comes back, the application has to be mended: tell its makers the line below.",
		Detail: "invalid_request: " + cause.Error(),
	}.Write(w, http.StatusBadRequest)
	return nil
}
