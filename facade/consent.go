package facade

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// To the server behind, clients that share an identifier are one client. It asks
// the user about the first of them, and would then let an attacker's link pass
// without a question (MCP, security best practices, confused deputy). So the façade
// asks: once for each web site that the user would be sent back to, and every time
// if it is a program on their computer.

const (
	consentPath     = "/oauth/facade-consent"
	consentUpstream = "upstream"
	// askLifetime is how long a question may stay open.
	askLifetime = 30 * time.Minute
)

// question is an authorization request that waits for the user's answer, sealed
// into the page's form for this browser. It holds what was judged and shown, as
// values: the address that the request came by is not read again.
type question struct {
	// Endpoint is where the request goes on to.
	Endpoint    string `json:"to"`
	ClientID    string `json:"client_id"`
	RedirectURI string `json:"redirect_uri"`
	State       string `json:"state,omitempty"`
	// Request tells this request from others, see [authorization.hash].
	Request string `json:"r"`
	// Query has all parameters, encoded from what was judged. It is sent on, and
	// never parsed here.
	Query string `json:"q"`
}

// hash tells an authorization request from any other. It covers everything that ties
// the code to the client that asked for it. Repairs change none of that.
func (a *authorization) hash() string {
	return hashed(a.judged.Get("client_id"), a.judged.Get("redirect_uri"), a.judged.Get("response_type"), a.judged.Get("state"),
		a.judged.Get("code_challenge"), a.judged.Get("code_challenge_method"))
}

// showConsent asks the user.
func (h *Handler) showConsent(v *browser.Visit, a *authorization) error {
	redirect := a.judged.Get("redirect_uri")
	text, err := v.Seal(sealed.Question, &question{
		Endpoint:    a.endpoint.address,
		ClientID:    a.judged.Get("client_id"),
		RedirectURI: redirect,
		State:       a.judged.Get("state"),
		Request:     a.hash(),
		Query:       reading.Encode(a.query),
	}, askLifetime)
	if err != nil {
		return h.unavailable(v.W, v.R, atAuthorization, err)
	}
	h.count(atAuthorization, "asked")
	pages.Leave{
		Site:          h.site,
		RedirectHost:  registration.RedirectTarget(redirect),
		Loopback:      registration.LeadsToProgram(redirect),
		PrivateScheme: registration.IsPrivateScheme(redirect),
		Action:        h.base + consentPath,
		Request:       text,
	}.Write(v.W, http.StatusOK)
	return nil
}

// serveConsent takes the user's answer. It sends the browser on to the server
// behind, or back to the client.
func (h *Handler) serveConsent(w http.ResponseWriter, r *http.Request) error {
	w = unread.Track(w, r)
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return h.refusePage(w, r, atConsent, fmt.Errorf("%w: this page can't be opened directly", errMethod))
	}
	v := h.browsers.Visit(w, r)
	form, err := v.Form()
	if err != nil {
		return h.refusePage(w, r, atConsent, err)
	}
	var q question
	err = v.Open(sealed.Question, form.Get("request"), &q)
	switch {
	case errors.Is(err, browser.ErrClosed), err == nil && !h.stillAsked(r, &q):
		return h.refusePage(w, r, atConsent, errors.New("the question has expired, or was asked in another browser"))
	case err != nil:
		return h.unavailable(w, r, atConsent, err)
	}
	if !h.shared.AllowsRedirect(q.RedirectURI) {
		return h.refusePage(w, r, atConsent, fmt.Errorf("the redirect_uri %s is not registered", registration.Quoted(q.RedirectURI)))
	}
	if form.Get("decision") != "allow" {
		h.audited.Write(r.Context(), &audit.Event{Kind: audit.Consent, Outcome: "denied", Client: q.ClientID})
		return h.tellClient(w, r, atConsent, "denied", q.RedirectURI, q.State, "access_denied", "The user denied the request.")
	}
	if err := h.remember(v, &q); err != nil {
		return h.unavailable(w, r, atConsent, err)
	}
	h.count(atConsent, "allowed")
	h.audited.Write(r.Context(), &audit.Event{Kind: audit.Consent, Outcome: "approved", Client: q.ClientID})
	v.Redirect(q.Endpoint + "?" + q.Query)
	return nil
}

// stillAsked reports whether the façade, as it is configured now, would still ask
// q.
func (h *Handler) stillAsked(r *http.Request, q *question) bool {
	if h.shared == nil || q.ClientID != h.shared.SharedClientID() {
		return false
	}
	list, err := h.discoveredEndpoints(r.Context())
	return err == nil && slices.ContainsFunc(list, func(g inspected) bool {
		return g.kind == authorizationRequest && g.address == q.Endpoint
	})
}

// answerClient sends the browser back to a client whose request can't be met.
func (h *Handler) answerClient(w http.ResponseWriter, r *http.Request, parameters url.Values, code, description string) error {
	logRefusal(r.Context(), code, errors.New(description))
	return h.tellClient(w, r, atAuthorization, code, parameters.Get("redirect_uri"), parameters.Get("state"), code, description)
}

// tellClient sends the browser to a redirect URI that was judged, with an error
// (RFC 6749, section 4.1.2.1).
func (h *Handler) tellClient(w http.ResponseWriter, r *http.Request, endpoint, outcome, redirectURI, state, code, description string) error {
	h.count(endpoint, outcome)
	parameters := url.Values{"error": {code}, "error_description": {description}}
	if state != "" {
		parameters.Set("state", state)
	}
	// RFC 9207, section 2.4: clients that were promised iss want it here, too.
	if fields, err := h.fields(r.Context()); err == nil && fields["authorization_response_iss_parameter_supported"] == true {
		parameters.Set("iss", h.Issuer)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", registration.WithParameters(redirectURI, parameters))
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
