package facade

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/repair"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// authorization is a request to the authorization endpoint as it was read. Only
// this form of it is judged, sealed and passed on.
type authorization struct {
	endpoint *inspected
	// query and form are the parameters by where they were sent. Servers' own
	// pages repeat the query's parameters in their forms (RFC 6749, section 3.1).
	query, form url.Values
	// judged are the parameters of both, which must agree.
	judged  url.Values
	repairs []string
}

// authorize inspects an authorization request before the authorization server
// gets it.
func (h *Handler) authorize(w http.ResponseWriter, r *http.Request, g *inspected, next caddyhttp.Handler) error {
	a, err := h.readAuthorization(r, g)
	if err != nil {
		if errors.Is(err, errMethod) {
			w.Header().Set("Allow", "GET, HEAD, POST")
		}
		return h.refusePage(w, r, g.label, err)
	}
	v := h.browsers.Visit(w, r)
	if reading.IsAuthorization(a.judged) {
		if err := h.checkAuthorization(a.judged); err != nil {
			return h.refusePage(w, r, g.label, err)
		}
		asking, err := h.asking(v, a)
		switch {
		case err != nil:
			return h.unavailable(w, r, g.label, err)
		case asking == noQuestion:
		case slices.Contains(strings.Fields(a.judged.Get("prompt")), "none"):
			if asking == theirQuestion && h.policy.Allows(a.judged.Get("redirect_uri")) != nil {
				return h.refusePage(w, r, g.label, errors.New("the prompt is none, but the user has to be asked"))
			}
			return h.answerClient(w, r, a.judged, "interaction_required", "The user has to be asked.")
		case asking == theirQuestion:
			a.askForConsent()
		case r.Method == http.MethodPost:
			return h.refusePage(w, r, g.label, errors.New("the user was not asked about the application, or was asked too long ago"))
		default:
			return h.showConsent(v, a)
		}
	}
	reading.SetQuery(r, a.query)
	if a.form != nil {
		reading.SetForm(r, a.form)
	} else {
		reading.SetNoBody(r)
	}
	h.repaired(r, g.label, a.repairs)
	return next.ServeHTTP(h.onAnswer(v, a), r)
}

// readAuthorization reads and repairs a request. It refuses one that could be
// read in two ways.
func (h *Handler) readAuthorization(r *http.Request, g *inspected) (*authorization, error) {
	if err := reading.CheckHeaders(r.Header); err != nil {
		return nil, err
	}
	query, err := h.authorizations.Query(r)
	if err != nil {
		return nil, fmt.Errorf("the query can't be read: %w", err)
	}
	if query.Has("_method") {
		return nil, errors.New("the parameter _method stands for another method")
	}
	a := &authorization{endpoint: g, query: query}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		err = reading.NoBody(r)
	case http.MethodPost:
		a.form, err = h.readForm(r)
	default:
		err = errMethod
	}
	if err != nil {
		return nil, err
	}
	// Repairs come first: a server's form repeats the parameters that the server
	// got, which were repaired.
	switch {
	case reading.IsAuthorization(a.query):
		a.repairs = append(a.repairs, h.repairs.Apply(a.query)...)
	case reading.IsAuthorization(a.form):
		a.repairs = append(a.repairs, h.repairs.Translate(a.query)...)
	}
	switch {
	case reading.IsAuthorization(a.form):
		a.repairs = append(a.repairs, h.repairs.Apply(a.form)...)
	case reading.IsAuthorization(a.query):
		a.repairs = append(a.repairs, h.repairs.Translate(a.form)...)
	}
	a.judged, err = h.merge(a.query, a.form)
	return a, err
}

// readForm reads the form of a server's own page. The form for refusing may stand
// for DELETE, as in Rails and Laravel. That is allowed, because it gives nobody a
// code.
func (h *Handler) readForm(r *http.Request) (url.Values, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	form, err := h.authorizations.Form(r)
	if err != nil {
		return nil, fmt.Errorf("the form can't be read: %w", err)
	}
	if form.Has("_method") && !strings.EqualFold(form.Get("_method"), http.MethodDelete) {
		return nil, errors.New("the parameter _method stands for another method")
	}
	return form, nil
}

// decisive are parameters that must be the same in query and form, even if one is
// empty.
var decisive = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "code_challenge", "code_challenge_method", "state", "scope", "resource", "prompt",
}

// merge returns the parameters of a query and a form. It refuses differing
// values, because servers differ in which one they use.
func (h *Handler) merge(query, form url.Values) (url.Values, error) {
	merged := make(url.Values, len(query)+len(form))
	for name, values := range query {
		merged[name] = values
	}
	for name, values := range form {
		other, both := query[name]
		if both && h.authorizations.Knows(name) && !slices.Equal(values, other) &&
			(slices.Contains(decisive, name) || form.Get(name) != "" && query.Get(name) != "") {
			return nil, fmt.Errorf("%s differs between the query and the form", name)
		}
		if !both || form.Get(name) != "" {
			merged[name] = values
		}
	}
	return merged, nil
}

// checkAuthorization returns an error if the authorization server must not see a
// request with these parameters.
func (h *Handler) checkAuthorization(parameters url.Values) error {
	if err := repair.CheckAuthorization(parameters); err != nil {
		return err
	}
	if err := h.checkClientID(parameters.Get("client_id")); err != nil {
		return err
	}
	if !h.isShared(parameters) {
		return nil
	}
	if redirect := parameters.Get("redirect_uri"); !h.shared.AllowsRedirect(redirect) {
		return fmt.Errorf("the redirect_uri %s is not registered", registration.Quoted(redirect))
	}
	if mode := parameters.Get("response_mode"); mode != "" && mode != "query" {
		return errors.New("the response_mode is not query")
	}
	return nil
}

// checkClientID refuses an identifier that a server might take for the one that
// clients share.
func (h *Handler) checkClientID(id string) error {
	if h.shared != nil && id != h.shared.SharedClientID() && reading.SameIdentifier(h.shared.SharedClientID(), id) {
		return errors.New("the client_id is not exactly the registered one")
	}
	return nil
}

// isShared reports whether a request has the client identifier that clients
// share.
func (h *Handler) isShared(parameters url.Values) bool {
	return h.shared != nil && parameters.Get("client_id") == h.shared.SharedClientID()
}

// asking says who must ask the user before a client gets a code.
type asking int

const (
	noQuestion    asking = iota
	ourQuestion          // the façade
	theirQuestion        // the authorization server, even if it remembers an answer
)

func (h *Handler) asking(v *browser.Visit, a *authorization) (asking, error) {
	_, alike := h.registrar.(Reuser)
	switch {
	case h.isShared(a.judged):
		if h.Consent == consentUpstream {
			return noQuestion, nil
		}
		if ok, err := h.consented(v, a); ok || err != nil {
			return noQuestion, err
		}
		return ourQuestion, nil
	case alike && h.mayBeAnyProgram(a.judged.Get("redirect_uri")):
		// Any program can register with the same metadata, and gets the
		// identifier of the program that the user has allowed (RFC 8252, section
		// 8.6).
		return theirQuestion, nil
	}
	return noQuestion, nil
}

// mayBeAnyProgram reports whether a redirect URI may lead to a program on the
// user's computer that registered here. The authorization server may not compare
// it exactly: one that parses URIs takes HTTP://LOCALHOST and http://127.1 for
// loopback, and a missing one for the client's only redirect URI. So the answer
// is yes, except for URIs that can't have been registered, however they are read:
// plain http to a web site, and private schemes of the operator's own
// applications.
func (h *Handler) mayBeAnyProgram(redirect string) bool {
	u, err := url.Parse(redirect)
	switch {
	case err != nil || u.Scheme == "":
		return true
	case u.Scheme == "http":
		u.Scheme = "https"
		return !registration.LeadsToWebSite(u.String())
	case u.Scheme == "https":
		return !registration.LeadsToWebSite(redirect)
	}
	return slices.Contains(h.policy.PrivateSchemes, u.Scheme)
}

// askForConsent tells the authorization server to ask the user, even if it
// remembers an answer (OpenID Connect Core 1.0, section 3.1.2.1).
func (a *authorization) askForConsent() {
	prompts := strings.Fields(a.judged.Get("prompt"))
	if slices.Contains(prompts, "consent") {
		return
	}
	prompt := strings.Join(append(prompts, "consent"), " ")
	for _, parameters := range []url.Values{a.query, a.form} {
		if reading.IsAuthorization(parameters) {
			parameters.Set("prompt", prompt)
		}
	}
	a.repairs = append(a.repairs, "asked for consent")
}

// repaired counts a request that is passed on, and logs what was repaired.
func (h *Handler) repaired(r *http.Request, endpoint string, done []string) {
	if len(done) == 0 {
		h.count(endpoint, "ok")
		return
	}
	h.count(endpoint, "repaired")
	slices.Sort(done)
	logField(r.Context(), "mcp_auth_facade_repairs", strings.Join(slices.Compact(done), ", "))
}

// isTooLong reports whether err is about a body that exceeds its limit.
func isTooLong(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

// refusePage refuses an authorization request on a page. The browser is not sent
// to the redirect URI, because only the authorization server knows whether that
// is the client's.
func (h *Handler) refusePage(w http.ResponseWriter, r *http.Request, endpoint string, cause error) error {
	unread.Answer(w, r)
	h.count(endpoint, "invalid_request")
	logRefusal(r.Context(), "invalid_request", cause)
	status := http.StatusBadRequest
	switch {
	case errors.Is(cause, errMethod):
		status = http.StatusMethodNotAllowed
	case errors.Is(cause, reading.ErrTooLarge), isTooLong(cause):
		status = http.StatusRequestEntityTooLarge
	}
	pages.Message{
		Site:   h.site,
		Title:  "This application can't sign you in",
		Text:   "This server does not accept its request. You were not asked anything, and the application got nothing.",
		Cure:   "Start again from your application. If you see this page again, the application needs a fix: send the line below to its developers.",
		Detail: "invalid_request: " + cause.Error(),
	}.Write(w, status)
	return nil
}
