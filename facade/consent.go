package facade

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/registration"
)

// Clients that share an identifier are one to the server behind: what a user
// allows one of them all have, and a stranger's link to sign in passes without
// a question (MCP, security best practices, confused deputy). So users are asked
// here for each place they would be sent back to.

const (
	consentPath     = "/oauth/facade-consent"
	consentUpstream = "upstream"
	// consentLifetime is how long an answer is remembered, by the browser.
	consentLifetime = 90 * 24 * time.Hour
	// askLifetime is how long a question may stay open.
	askLifetime = 30 * time.Minute
	// maxConsents bounds how many answers a cookie holds.
	maxConsents = 20
)

const (
	consentCookie = "mcp_auth_facade_consent"
	browserCookie = "mcp_auth_facade_browser"
)

// question is an authorization request that waits for the user, sealed into the
// page's form.
type question struct {
	Query   string    `json:"q"`
	Browser string    `json:"b"`
	Asked   time.Time `json:"t"`
}

// answers are where a user lets clients send them, sealed into a cookie.
type answers struct {
	Browser string               `json:"b"`
	Targets map[string]time.Time `json:"t"` // redirect URI: until when
}

func (h *Handler) cookieName(name string) string {
	if h.secure {
		return "__Host-" + name
	}
	return name
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
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// target is what an answer holds for: a redirect URI, whatever the port of
// loopback.
func target(query url.Values) string {
	return registration.WithoutPort(query.Get("redirect_uri"))
}

// remembered returns what the user of this browser has answered.
func (h *Handler) remembered(r *http.Request) answers {
	var a answers
	keys, err := h.keys.get(r.Context())
	if err != nil {
		return a
	}
	plain, err := keys.Open("answers", h.cookie(r, consentCookie))
	if err != nil || json.Unmarshal(plain, &a) != nil || a.Browser != h.browser(r) {
		return answers{}
	}
	return a
}

// consented reports whether the user lets themselves be sent where the request
// says.
func (h *Handler) consented(r *http.Request, query url.Values) bool {
	return h.now().Before(h.remembered(r).Targets[target(query)])
}

// showConsent asks the user.
func (h *Handler) showConsent(w http.ResponseWriter, r *http.Request, query url.Values) error {
	keys, err := h.keys.get(r.Context())
	if err != nil {
		return h.unavailable(w, r, atAuthorization, err)
	}
	if h.browser(r) == "" {
		id := rand.Text()
		h.setCookie(w, browserCookie, id, consentLifetime)
		r.AddCookie(&http.Cookie{Name: h.cookieName(browserCookie), Value: id})
	}
	// The whole address: the question stands before one of perhaps several.
	b, err := json.Marshal(question{Query: r.URL.Path + "?" + r.URL.RawQuery, Browser: h.browser(r), Asked: h.now()})
	if err != nil {
		return err
	}
	h.count(atAuthorization, "asked")
	redirect := query.Get("redirect_uri")
	pages.Leave{
		Site:         h.site,
		RedirectHost: registration.RedirectTarget(redirect),
		Loopback:     registration.IsLoopback(redirect),
		Action:       h.base + consentPath,
		Request:      keys.Seal("question", b),
	}.Write(w, http.StatusOK)
	return nil
}

// serveConsent takes the user's answer, and sends them on to where they were
// going, or back to the client.
func (h *Handler) serveConsent(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return h.refusePage(w, r, atConsent, errors.New("this address is not for opening"))
	}
	if err := h.csrf.Check(r); err != nil {
		return h.refusePage(w, r, atConsent, errors.New("the form was sent by another site"))
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	body, err := io.ReadAll(r.Body)
	values, errQuery := url.ParseQuery(string(body))
	if err != nil || errQuery != nil {
		return h.refusePage(w, r, atConsent, errForm)
	}
	keys, err := h.keys.get(r.Context())
	if err != nil {
		return h.unavailable(w, r, atConsent, err)
	}
	var q question
	plain, err := keys.Open("question", values.Get("request"))
	if err != nil || json.Unmarshal(plain, &q) != nil || q.Browser == "" || q.Browser != h.browser(r) || h.now().After(q.Asked.Add(askLifetime)) {
		return h.refusePage(w, r, atConsent, errors.New("the question has expired, or was asked in another browser"))
	}
	to, err := url.Parse(q.Query)
	if err != nil {
		return err
	}
	query := to.Query()
	if !h.shared.AllowsRedirect(query.Get("redirect_uri")) {
		return h.refusePage(w, r, atConsent, errors.New("the redirect_uri is not one that is registered"))
	}
	if values.Get("decision") != "allow" {
		h.count(atConsent, "denied")
		w.Header().Set("Location", h.refusal(r.Context(), query))
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	a := h.remembered(r)
	a.remember(target(query), h.now())
	a.Browser = h.browser(r)
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	h.setCookie(w, consentCookie, keys.Seal("answers", b), consentLifetime)
	h.count(atConsent, "allowed")
	w.Header().Set("Location", q.Query)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// remember adds a target, at the expense of the oldest if there are many.
func (a *answers) remember(target string, now time.Time) {
	if a.Targets == nil {
		a.Targets = make(map[string]time.Time)
	}
	a.Targets[target] = now.Add(consentLifetime)
	for len(a.Targets) > maxConsents {
		oldest := ""
		for t, until := range a.Targets {
			if oldest == "" || until.Before(a.Targets[oldest]) {
				oldest = t
			}
		}
		delete(a.Targets, oldest)
	}
}

// refusal returns where the client learns that the user said no (RFC 6749,
// section 4.1.2.1).
func (h *Handler) refusal(ctx context.Context, query url.Values) string {
	parameters := url.Values{"error": {"access_denied"}, "error_description": {"The user refused."}}
	if state := query.Get("state"); state != "" {
		parameters.Set("state", state)
	}
	// RFC 9207, section 2.4: clients that were promised iss want it here, too.
	if fields, err := h.fields(ctx); err == nil && fields["authorization_response_iss_parameter_supported"] == true {
		parameters.Set("iss", h.Issuer)
	}
	return registration.WithParameters(query.Get("redirect_uri"), parameters)
}
