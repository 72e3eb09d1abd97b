package authserver

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/registration"
)

// authorize is the authorization endpoint (OAuth 2.1, section 3.1).
func (h *Handler) authorize(w http.ResponseWriter, r *http.Request) error {
	a, client, err := h.server.Authorize(r.Context(), r.URL.RawQuery)
	if err != nil {
		return err
	}
	t := &ticket{Authorization: a, Browser: h.browser(w, r), Created: h.now()}
	return h.next(w, r, t, client)
}

// proceed takes up a sign-in after the user has said who they are.
func (h *Handler) proceed(w http.ResponseWriter, r *http.Request) error {
	t, err := h.openTicket(w, r, r.URL.Query().Get("request"))
	if err != nil {
		return err
	}
	if t.Authorization == nil {
		return redirect(w, r, h.base+accountPath)
	}
	client, err := h.server.Client(r.Context(), t.Authorization)
	if err != nil {
		return err
	}
	return h.next(w, r, t, client)
}

// next shows what has to be asked next: who the user is, then whether they
// consent. If nothing has to be, the client gets its code.
func (h *Handler) next(w http.ResponseWriter, r *http.Request, t *ticket, client *oauth.Client) error {
	a := t.Authorization
	user, err := h.user(w, r)
	if err != nil {
		return err
	}
	if user != nil && !a.Accepts(user.SignedIn) {
		user = nil
	}
	if user == nil {
		if a.Prompts("none") {
			return h.server.InteractionNeeded(a, client, "login_required")
		}
		return h.showSignIn(w, r, t, client, pages.SignIn{Username: a.LoginHint}, http.StatusOK)
	}
	consented, err := h.server.Consented(r.Context(), *user, a, client)
	if err != nil {
		return err
	}
	if consented && !a.Prompts("consent") {
		return h.approve(w, r, user, a, "remembered")
	}
	if a.Prompts("none") {
		return h.server.ConsentNeeded(a, client)
	}
	return h.showConsent(w, r, t, client, user)
}

// showSignIn asks who the user is. It names the client and where the user will
// be sent back to: what they do here, at an upstream too, they do for it.
func (h *Handler) showSignIn(w http.ResponseWriter, r *http.Request, t *ticket, client *oauth.Client, page pages.SignIn, status int) error {
	sealed, err := h.sealTicket(r.Context(), t)
	if err != nil {
		return err
	}
	page.Site, page.Request, page.Action = h.site, sealed, h.base+signInPath
	page.Local = len(h.Users) > 0
	if client != nil {
		shown := shownClient(client, t.Authorization.RedirectURI)
		page.Client = &shown
	}
	for _, u := range h.Upstreams {
		page.Upstreams = append(page.Upstreams, pages.Upstream{
			Label: u.label(),
			URL:   h.base + upstreamPath + u.Name + "?" + url.Values{"request": {sealed}}.Encode(),
		})
	}
	page.Write(w, status)
	return nil
}

// signIn takes a user name and a password.
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) error {
	sealed := r.PostForm.Get("request")
	t, err := h.openTicket(w, r, sealed)
	if err != nil {
		return err
	}
	var client *oauth.Client
	if t.Authorization != nil {
		if client, err = h.server.Client(r.Context(), t.Authorization); err != nil {
			return err
		}
		if r.PostForm.Get("decision") == "cancel" {
			return h.server.Refuse(t.Authorization, nil)
		}
	}
	username, password := r.PostForm.Get("username"), r.PostForm.Get("password")
	again := func(status int, outcome, sentence string) error {
		signIns.WithLabelValues(h.Issuer, "password", outcome).Inc()
		logRefusal(r.Context(), "access_denied", fmt.Errorf("sign-in: %s", outcome))
		return h.showSignIn(w, r, t, client, pages.SignIn{Username: username, Error: sentence}, status)
	}
	if len(h.Users) == 0 {
		return errForm
	}
	address, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if wait := h.state.throttle.wait(address, username); wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		w.Header().Set("Retry-After", fmt.Sprint(seconds))
		return again(http.StatusTooManyRequests, "throttled", fmt.Sprintf("Too many attempts. Wait %d seconds, then try again.", seconds))
	}
	user, err := h.checkPassword(r.Context(), username, password)
	if err != nil {
		return err
	}
	if user == nil {
		return again(http.StatusUnauthorized, "wrong", "The user name or the password is wrong.")
	}
	h.state.throttle.succeeded(address, username)
	signIns.WithLabelValues(h.Issuer, "password", "ok").Inc()
	return h.signedIn(w, r, user.signedIn(), sealed)
}

// signedIn begins a session and goes on with what the user signed in for, by a
// redirect, so that reloading the next page doesn't send a password again.
func (h *Handler) signedIn(w http.ResponseWriter, r *http.Request, user oauth.User, sealed string) error {
	if err := h.startSession(w, r, user); err != nil {
		return err
	}
	return redirect(w, r, h.base+consentPath+"?"+url.Values{"request": {sealed}}.Encode())
}

// showConsent asks whether the user lets the client have what it asks for.
func (h *Handler) showConsent(w http.ResponseWriter, r *http.Request, t *ticket, client *oauth.Client, user *oauth.User) error {
	shown := *t
	// What was shown to one user isn't decided by another.
	shown.Subject = user.Subject
	sealed, err := h.sealTicket(r.Context(), &shown)
	if err != nil {
		return err
	}
	a := t.Authorization
	page := pages.Consent{
		Site:     h.site,
		Client:   shownClient(client, a.RedirectURI),
		User:     displayName(user),
		Email:    user.Email,
		Resource: a.Resource,
		Scopes:   h.shownScopes(a.Scopes),
		Offline:  a.Offline,
		Action:   h.base + consentPath,
		Request:  sealed,
	}
	page.Write(w, http.StatusOK)
	return nil
}

// decide takes the user's answer.
func (h *Handler) decide(w http.ResponseWriter, r *http.Request) error {
	t, err := h.openTicket(w, r, r.PostForm.Get("request"))
	if err != nil {
		return err
	}
	if t.Authorization == nil || t.Subject == "" {
		return errTicket
	}
	client, err := h.server.Client(r.Context(), t.Authorization)
	if err != nil {
		return err
	}
	user, err := h.user(w, r)
	if err != nil {
		return err
	}
	if user == nil || user.Subject != t.Subject {
		// The session has ended, or is another user's: ask again.
		return h.next(w, r, t, client)
	}
	switch r.PostForm.Get("decision") {
	case "allow":
		return h.approve(w, r, user, t.Authorization, "approved")
	case "deny":
		return h.server.Refuse(t.Authorization, nil)
	case "switch":
		h.setCookie(w, sessionCookie, "", 0)
		t.Subject = ""
		return h.showSignIn(w, r, t, client, pages.SignIn{}, http.StatusOK)
	}
	return errForm
}

func (h *Handler) approve(w http.ResponseWriter, r *http.Request, user *oauth.User, a *oauth.Authorization, outcome string) error {
	to, err := h.server.Approve(r.Context(), *user, a)
	if err != nil {
		return err
	}
	authorizations.WithLabelValues(h.Issuer, outcome).Inc()
	return redirect(w, r, to)
}

// shownClient is how a client is presented that sends the user to redirectURI.
func shownClient(c *oauth.Client, redirectURI string) pages.Client {
	name := c.Name
	if name == "" && c.Kind == oauth.PreRegistered {
		name = c.ID
	}
	return pages.Client{
		Name:         name,
		ID:           c.ID,
		IDHost:       c.DocumentHost(),
		URI:          c.URI,
		RedirectHost: registration.RedirectTarget(redirectURI),
		// Also of a client that has other addresses besides: any program here
		// can pose as it, by this one.
		Loopback: registration.IsLoopback(redirectURI),
		Trusted:  c.Kind == oauth.PreRegistered,
	}
}

func (h *Handler) shownScopes(names []string) []pages.Scope {
	var list []pages.Scope
	for _, name := range names {
		i := slices.IndexFunc(h.Scopes, func(s Scope) bool { return s.Name == name })
		if i >= 0 {
			list = append(list, pages.Scope(h.Scopes[i]))
		} else {
			list = append(list, pages.Scope{Name: name}) // granted under an older configuration
		}
	}
	return list
}

func displayName(u *oauth.User) string {
	if u.Name != "" {
		return u.Name
	}
	return u.Username
}
