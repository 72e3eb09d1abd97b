package authserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// stepLifetime is how long a sign-in may take, from the client's request to the
// user's answer.
const stepLifetime = 30 * time.Minute

// signIn is a sign-in under way. It is sealed, and the browser keeps it in the
// pages' forms. So nothing is stored for unauthenticated requests, and a restart
// or another Caddy on the same storage makes no difference.
type signIn struct {
	// Authorization is the client's request; nil if the user opened their account
	// page.
	Authorization *oauth.Authorization `json:"a,omitempty"`
	Created       time.Time            `json:"t"`
	// Switch says that the user wants to use another account.
	Switch bool `json:"w,omitempty"`
}

// wish returns what to request of an upstream: who the client thinks the user is,
// and whether the upstream should ask, because the client or the user wants that.
// Without a prompt, an upstream that knows the browser sends the same user back
// immediately.
func (s *signIn) wish() upstream.Wish {
	var wish upstream.Wish
	if a := s.Authorization; a != nil {
		wish.LoginHint = a.LoginHint
		wish.MaxAge = a.MaxAge
		switch {
		case a.Prompts("login") || a.MaxAge != nil:
			wish.Prompt = "login"
		case a.Prompts("select_account"):
			wish.Prompt = "select_account"
		}
	}
	if s.Switch {
		// The hint may name the account that the user doesn't want.
		wish = upstream.Wish{Prompt: "select_account", MaxAge: wish.MaxAge}
	}
	return wish
}

// rest returns how much time is left for the sign-in.
func (s *signIn) rest(now time.Time) time.Duration { return s.Created.Add(stepLifetime).Sub(now) }

// showSignIn shows the sign-in page. It names the client, the MCP server, and
// where the user will be sent back to, because signing in is for them, also at an
// upstream.
func (h *Handler) showSignIn(v *visit, s *signIn, client *oauth.Client, page pages.SignIn, status int) error {
	text, err := v.Seal(sealed.SignIn, s, s.rest(h.now()))
	if err != nil {
		return err
	}
	page.Site, page.Request, page.Action = h.site, text, h.base+signInPath
	page.Local = len(h.Users) > 0
	if client != nil {
		shown := shownClient(client, s.Authorization.RedirectURI)
		page.Client = &shown
		page.Server = shownServer(s.Authorization.Resource)
	}
	for _, u := range h.Upstreams {
		page.Upstreams = append(page.Upstreams, pages.Upstream{
			Label: u.label(),
			URL:   h.base + upstreamPath + u.Name + "?" + url.Values{"request": {text}}.Encode(),
		})
	}
	page.Write(v.W, status)
	return nil
}

// signIn handles a user name and a password.
func (h *Handler) signIn(v *visit) error {
	text := v.form.Get("request")
	s := new(signIn)
	if err := v.openStep(sealed.SignIn, text, s); err != nil {
		return err
	}
	var client *oauth.Client
	if s.Authorization != nil {
		var err error
		if client, err = h.server.Client(v.Context(), s.Authorization); err != nil {
			return err
		}
		if v.form.Get("decision") == "cancel" {
			return h.server.Refuse(s.Authorization, nil)
		}
	}
	username, password := v.form.Get("username"), v.form.Get("password")
	again := func(status int, outcome, sentence string) error {
		h.tried(v.Context(), "password", outcome, h.knownName(username), nil)
		logRefusal(v.Context(), "access_denied", fmt.Errorf("sign-in: %s", outcome))
		return h.showSignIn(v, s, client, pages.SignIn{Username: username, Error: sentence}, status)
	}
	if len(h.Users) == 0 {
		return errStep
	}
	browser, known := v.Known(username)
	if !known {
		browser = ""
	}
	user, err := h.state.signInWith(v.Context(), username, browser, func() (*User, error) { return h.checkPassword(username, password) })
	if e, ok := errors.AsType[*throttledError](err); ok {
		e.setHeader(v.W.Header())
		sentence := "Too many attempts. Wait " + count(e.seconds(), "second") + ", then try again."
		if e.status == http.StatusServiceUnavailable {
			sentence = "Too many people are signing in. Wait " + count(e.seconds(), "second") + ", then try again."
		}
		return again(e.status, "throttled", sentence)
	}
	if err != nil {
		return err
	}
	if user == nil {
		return again(http.StatusUnauthorized, "wrong", "The user name or the password is wrong.")
	}
	h.tried(v.Context(), "password", "ok", user.Username, nil)
	if err := v.remember(user.Username); err != nil {
		return err
	}
	return h.resumeAs(v, user.signedIn(), text)
}

// resumeAs starts a session and resumes the sign-in with a redirect, so that
// reloading the next page doesn't send a password again.
func (h *Handler) resumeAs(v *visit, user oauth.User, text string) error {
	if err := v.startSession(user); err != nil {
		return err
	}
	return redirect(v, h.base+consentPath+"?"+url.Values{"request": {text}}.Encode())
}
