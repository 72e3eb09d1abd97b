package facade

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// Clients that share an identifier are one to the server behind: what a user
// allows one of them all have, and a stranger's link to sign in passes without
// a question (MCP, security best practices, confused deputy). So users are asked
// here for each place they would be sent back to, and each time where that place
// is a program on their computer.

const (
	consentPath     = "/oauth/facade-consent"
	consentUpstream = "upstream"
	// consentLifetime is how long an answer is remembered, by the browser.
	consentLifetime = 90 * 24 * time.Hour
	// askLifetime is how long a question may stay open.
	askLifetime = 30 * time.Minute
	// requestLifetime is how long one request may come by again, until the user
	// has signed in.
	requestLifetime = time.Hour
	// maxConsents and maxRequests bound how many answers a cookie holds.
	maxConsents = 16
	maxRequests = 8
)

const (
	consentCookie = "mcp_auth_facade_consent"
	browserCookie = "mcp_auth_facade_browser"
)

// question is an authorization request that waits for the user, sealed into the
// page's form: what was judged and shown, as values. Nothing of it is read again
// from the address that it came by.
type question struct {
	Issuer  string    `json:"iss"`
	Browser string    `json:"b"`
	Asked   time.Time `json:"t"`
	// Endpoint is where the request goes on to.
	Endpoint    string `json:"to"`
	ClientID    string `json:"client_id"`
	RedirectURI string `json:"redirect_uri"`
	State       string `json:"state,omitempty"`
	// Request tells this request from others, see [authorization.hash].
	Request string `json:"r"`
	// Query has all parameters, written from what was judged. It is sent on, and
	// never read here again.
	Query string `json:"q"`
}

// answers are what a user has allowed, sealed into a cookie.
type answers struct {
	Issuer   string `json:"iss"`
	Browser  string `json:"b"`
	ClientID string `json:"client_id"`
	// Targets are hashes of redirect URIs, which may be long while a cookie may
	// not: until when. They lead to web sites, which are
	// what the user was shown.
	Targets map[string]time.Time `json:"t,omitempty"`
	// Requests are single requests: until when. Where any program could be the
	// one that the user has allowed, every request is asked about (RFC 8252,
	// section 8.6). Signing in at the server behind may take some steps, each of
	// which comes by here again, until the client gets its answer.
	Requests map[string]time.Time `json:"r,omitempty"`
}

func (h *Handler) cookieName(name string) string {
	return browser.CookieName(name, h.Issuer, h.secure)
}

func (h *Handler) setCookie(w http.ResponseWriter, name, value string, lifetime time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name:     h.cookieName(name),
		Value:    value,
		Path:     "/",
		Secure:   h.secure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
		MaxAge:   int(lifetime / time.Second),
	})
}

func (h *Handler) cookie(r *http.Request, name string) string {
	if cookies := browser.Cookies(r, h.cookieName(name)); len(cookies) == 1 {
		return cookies[0].Value
	}
	return ""
}

// browser returns the hash of what tells this browser from others; empty if
// there is nothing yet.
func (h *Handler) browser(r *http.Request) string {
	id := h.cookie(r, browserCookie)
	if id == "" {
		return ""
	}
	return browserHash(id)
}

func browserHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// hash tells an authorization request from any other: by all that ties the code
// to who asked for it. Repairs change none of it.
func (a *authorization) hash() string {
	b, err := json.Marshal([]string{
		a.judged.Get("client_id"), a.judged.Get("redirect_uri"), a.judged.Get("response_type"), a.judged.Get("state"),
		a.judged.Get("code_challenge"), a.judged.Get("code_challenge_method"),
	})
	if err != nil {
		panic(err) // texts
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// remembered returns what the user of this browser has answered.
func (h *Handler) remembered(r *http.Request) answers {
	none := answers{Issuer: h.Issuer, Browser: h.browser(r), ClientID: h.shared.SharedClientID()}
	keys, err := h.secret.Keys(r.Context())
	if err != nil {
		return none
	}
	var a answers
	plain, err := keys.Open(sealed.Answers, h.cookie(r, consentCookie))
	if err != nil || json.Unmarshal(plain, &a) != nil || a.Browser == "" ||
		a.Issuer != none.Issuer || a.Browser != none.Browser || a.ClientID != none.ClientID {
		return none
	}
	return a
}

// consented reports whether the user lets themselves be sent where the request
// says.
func (h *Handler) consented(r *http.Request, a *authorization) bool {
	answered, now := h.remembered(r), h.now()
	if now.Before(answered.Requests[a.hash()]) {
		return true
	}
	redirect := a.judged.Get("redirect_uri")
	return registration.LeadsToWebSite(redirect) && now.Before(answered.Targets[targetOf(redirect)])
}

// targetOf is what an answer about a redirect URI is remembered by.
func targetOf(redirectURI string) string {
	sum := sha256.Sum256([]byte(redirectURI))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// showConsent asks the user.
func (h *Handler) showConsent(w http.ResponseWriter, r *http.Request, a *authorization) error {
	keys, err := h.secret.Keys(r.Context())
	if err != nil {
		return h.unavailable(w, r, atAuthorization, err)
	}
	who := h.browser(r)
	if who == "" {
		id := rand.Text()
		h.setCookie(w, browserCookie, id, consentLifetime)
		who = browserHash(id)
	}
	redirect := a.judged.Get("redirect_uri")
	b, err := json.Marshal(question{
		Issuer:      h.Issuer,
		Browser:     who,
		Asked:       h.now(),
		Endpoint:    a.endpoint.address,
		ClientID:    a.judged.Get("client_id"),
		RedirectURI: redirect,
		State:       a.judged.Get("state"),
		Request:     a.hash(),
		Query:       reading.Encode(a.query),
	})
	if err != nil {
		return err
	}
	h.count(atAuthorization, "asked")
	pages.Leave{
		Site:          h.site,
		RedirectHost:  registration.RedirectTarget(redirect),
		Loopback:      registration.LeadsToProgram(redirect),
		PrivateScheme: registration.IsPrivateScheme(redirect),
		Action:        h.base + consentPath,
		Request:       keys.Seal(sealed.Question, b),
	}.Write(w, http.StatusOK)
	return nil
}

// serveConsent takes the user's answer, and sends them on to where they were
// going, or back to the client.
func (h *Handler) serveConsent(w http.ResponseWriter, r *http.Request) error {
	w = unread.Track(w, r)
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return h.refusePage(w, r, atConsent, fmt.Errorf("%w: this page can't be opened directly", errMethod))
	}
	if err := h.csrf.Check(r); err != nil {
		return h.refusePage(w, r, atConsent, errors.New("the form was sent by another site"))
	}
	values, err := h.readAnswer(r)
	if err != nil {
		return h.refusePage(w, r, atConsent, err)
	}
	keys, err := h.secret.Keys(r.Context())
	if err != nil {
		return h.unavailable(w, r, atConsent, err)
	}
	var q question
	plain, err := keys.Open(sealed.Question, values.Get("request"))
	if err != nil || json.Unmarshal(plain, &q) != nil || !h.stillAsked(r, &q) {
		return h.refusePage(w, r, atConsent, errors.New("the question has expired, or was asked in another browser"))
	}
	if !h.shared.AllowsRedirect(q.RedirectURI) {
		return h.refusePage(w, r, atConsent, fmt.Errorf("the redirect_uri %s is not registered", registration.Quoted(q.RedirectURI)))
	}
	if values.Get("decision") != "allow" {
		return h.tellClient(w, r, atConsent, "denied", q.RedirectURI, q.State, "access_denied", "The user denied the request.")
	}
	a := h.remembered(r)
	a.remember(&q, h.now())
	if err := h.keep(w, r, a); err != nil {
		return h.unavailable(w, r, atConsent, err)
	}
	h.count(atConsent, "allowed")
	w.Header().Set("Location", q.Endpoint+"?"+q.Query)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// readAnswer reads the form of the page.
func (h *Handler) readAnswer(r *http.Request) (url.Values, error) {
	if err := reading.CheckHeaders(r.Header); err != nil {
		return nil, err
	}
	values, err := reading.Plain().Form(r)
	if err != nil {
		return nil, fmt.Errorf("the form can't be read: %w", err)
	}
	return values, nil
}

// stillAsked reports whether a question is one of this façade as it is now, to
// this browser, and not too old.
func (h *Handler) stillAsked(r *http.Request, q *question) bool {
	if q.Issuer != h.Issuer || q.Browser == "" || q.Browser != h.browser(r) || q.ClientID != h.shared.SharedClientID() ||
		h.now().After(q.Asked.Add(askLifetime)) {
		return false
	}
	list, err := h.guards(r.Context())
	return err == nil && slices.ContainsFunc(list, func(g guarded) bool {
		return g.kind == authorizationRequest && g.address == q.Endpoint
	})
}

// remember adds what the user has allowed, at the expense of the oldest if there
// are many.
func (a *answers) remember(q *question, now time.Time) {
	if !registration.LeadsToWebSite(q.RedirectURI) {
		if a.Requests == nil {
			a.Requests = make(map[string]time.Time)
		}
		a.Requests[q.Request] = now.Add(requestLifetime)
		bound(a.Requests, maxRequests, now)
		return
	}
	if a.Targets == nil {
		a.Targets = make(map[string]time.Time)
	}
	a.Targets[targetOf(q.RedirectURI)] = now.Add(consentLifetime)
	bound(a.Targets, maxConsents, now)
}

// keep has the browser keep the answers.
func (h *Handler) keep(w http.ResponseWriter, r *http.Request, a answers) error {
	keys, err := h.secret.Keys(r.Context())
	if err != nil {
		return err
	}
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	h.setCookie(w, consentCookie, keys.Seal(sealed.Answers, b), consentLifetime)
	return nil
}

// answering is the response to a request that the user has allowed. When the
// server behind sends the browser back to the client, the answer is used up.
type answering struct {
	*caddyhttp.ResponseWriterWrapper
	answered func()
	redirect *url.URL
}

// onAnswer returns w, or one that forgets what the user said about this request
// as soon as the client has its answer.
func (h *Handler) onAnswer(w http.ResponseWriter, r *http.Request, a *authorization) http.ResponseWriter {
	if !h.isShared(a.judged) || h.Consent == consentUpstream {
		return w
	}
	answered, hash := h.remembered(r), a.hash()
	if _, once := answered.Requests[hash]; !once {
		return w
	}
	redirect, err := url.Parse(a.judged.Get("redirect_uri"))
	if err != nil {
		return w // it is one that is registered
	}
	return &answering{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, func() {
		delete(answered.Requests, hash)
		// What can't be forgotten now is over in an hour.
		_ = h.keep(w, r, answered)
	}, redirect}
}

// WriteHeader implements [http.ResponseWriter].
func (w *answering) WriteHeader(status int) {
	if status/100 == 3 {
		to, err := url.Parse(w.Header().Get("Location"))
		if err == nil && to.Scheme == w.redirect.Scheme && to.Host == w.redirect.Host {
			w.answered()
		}
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

// bound removes what is over, and the oldest of what are too many.
func bound(list map[string]time.Time, limit int, now time.Time) {
	maps.DeleteFunc(list, func(_ string, until time.Time) bool { return !now.Before(until) })
	for len(list) > limit {
		oldest := ""
		for t, until := range list {
			if oldest == "" || until.Before(list[oldest]) {
				oldest = t
			}
		}
		delete(list, oldest)
	}
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
