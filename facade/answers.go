package facade

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// The browser keeps what the user has allowed, each answer in a cookie of its own:
// tabs that are answered at the same time would otherwise overwrite each other's
// answers.

const (
	browserCookie = "mcp_auth_facade_browser"
	// siteCookie is followed by the hash of a redirect URI: that of a web site,
	// which is what the user was shown.
	siteCookie = "mcp_auth_facade_site_"
	// requestCookie is followed by the hash of one request. If any program could be
	// the one that the user has allowed, they are asked about each request (RFC
	// 8252, section 8.6). Signing in at the server behind may take some steps, each
	// of which passes here again, until the client gets its answer.
	requestCookie = "mcp_auth_facade_request_"

	// consentLifetime is how long an answer about a web site counts.
	consentLifetime = 90 * 24 * time.Hour
	// requestLifetime is how long an answer about one request counts, if the client
	// doesn't get its answer before.
	requestLifetime = time.Hour
	// maxConsents and maxRequests bound how many of these cookies a browser keeps.
	maxConsents = 16
	maxRequests = 8
	// maxOpened bounds how many cookies of a request are looked at.
	maxOpened = 64
)

// answer is something that the user has allowed, sealed into a cookie for this
// browser.
type answer struct {
	// For is the hash of the client's identifier and the cookie's name, and so of
	// what the user has allowed.
	For string `json:"f"`
	// Given is when, in seconds since 1970.
	Given int64 `json:"t"`
}

// newSite returns what the façade knows of browsers.
func (h *Handler) newSite() *browser.Site {
	return &browser.Site{
		Issuer:     h.Issuer,
		Secure:     h.secure,
		IDCookie:   browserCookie,
		IDLifetime: consentLifetime,
		Sealer:     h.secret,
		Now:        func() time.Time { return h.now() },
	}
}

// hashed returns a hash of parts, short enough for a cookie.
func hashed(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		// Each part is hashed by itself, so that the parts can't be divided in
		// another way.
		one := sha256.Sum256([]byte(part))
		_, _ = sum.Write(one[:]) // never fails
	}
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16])
}

// opened returns the answer in the cookie with that name. The error is
// [browser.ErrClosed] if there is none that counts; any other error means that this
// could not be found out.
func (h *Handler) opened(v *browser.Visit, name string) (answer, error) {
	var a answer
	if err := v.Open(sealed.Answers, v.Cookie(name), &a); err != nil {
		return answer{}, err
	}
	if a.For != hashed(h.shared.SharedClientID(), name) {
		return answer{}, browser.ErrClosed
	}
	return a, nil
}

// allowed reports whether the user has allowed what is remembered under name.
func (h *Handler) allowed(v *browser.Visit, name string) (bool, error) {
	_, err := h.opened(v, name)
	if errors.Is(err, browser.ErrClosed) {
		return false, nil
	}
	return err == nil, err
}

// consented reports whether the user has allowed to be sent where the request says.
func (h *Handler) consented(v *browser.Visit, a *authorization) (bool, error) {
	if ok, err := h.allowed(v, requestCookie+a.hash()); ok || err != nil {
		return ok, err
	}
	redirect := a.judged.Get("redirect_uri")
	if !registration.LeadsToWebSite(redirect) {
		return false, nil
	}
	return h.allowed(v, siteCookie+hashed(redirect))
}

// remember has the browser keep the answer to q, at the expense of the oldest if it
// keeps many.
func (h *Handler) remember(v *browser.Visit, q *question) error {
	prefix, of, lifetime, limit := requestCookie, q.Request, requestLifetime, maxRequests
	if registration.LeadsToWebSite(q.RedirectURI) {
		prefix, of, lifetime, limit = siteCookie, hashed(q.RedirectURI), consentLifetime, maxConsents
	}
	name := prefix + of
	text, err := v.Seal(sealed.Answers, &answer{For: hashed(q.ClientID, name), Given: h.now().Unix()}, lifetime)
	if err != nil {
		return err
	}
	v.SetCookie(name, text, lifetime)
	return h.forgetOldest(v, prefix, name, limit-1)
}

// forgetOldest has the browser forget all but the newest answers under names that
// begin with prefix, and those that no longer count. The answer under keep stays,
// and isn't counted.
func (h *Handler) forgetOldest(v *browser.Visit, prefix, keep string, limit int) error {
	type kept struct {
		name  string
		given int64
	}
	var list []kept
	names := v.CookieNames(prefix)
	for _, name := range names[:min(len(names), maxOpened)] {
		if name == keep {
			continue
		}
		a, err := h.opened(v, name)
		switch {
		case errors.Is(err, browser.ErrClosed):
			v.RemoveCookie(name)
		case err != nil:
			return err
		default:
			list = append(list, kept{name, a.Given})
		}
	}
	slices.SortFunc(list, func(a, b kept) int { return cmp.Compare(b.given, a.given) })
	for _, old := range list[min(len(list), limit):] {
		v.RemoveCookie(old.name)
	}
	return nil
}

// answering is the response to a request that the user has allowed. When the
// server behind sends the browser back to the client, the answer is used up.
type answering struct {
	*caddyhttp.ResponseWriterWrapper
	used     func()
	redirect *url.URL
}

// onAnswer returns the writer of v, or one that has the browser forget what the user
// said about this request as soon as the client has its answer.
func (h *Handler) onAnswer(v *browser.Visit, a *authorization) http.ResponseWriter {
	if !h.isShared(a.judged) || h.Consent == consentUpstream {
		return v.W
	}
	name := requestCookie + a.hash()
	redirect, err := url.Parse(a.judged.Get("redirect_uri"))
	if err != nil || v.Cookie(name) == "" {
		return v.W
	}
	return &answering{&caddyhttp.ResponseWriterWrapper{ResponseWriter: v.W}, func() { v.RemoveCookie(name) }, redirect}
}

// WriteHeader implements [http.ResponseWriter].
func (w *answering) WriteHeader(status int) {
	if status/100 == 3 {
		to, err := url.Parse(w.Header().Get("Location"))
		if err == nil && to.Scheme == w.redirect.Scheme && to.Host == w.redirect.Host {
			w.used()
		}
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}
