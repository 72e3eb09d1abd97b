package authserver

import (
	"net/http"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// authorize is the authorization endpoint (OAuth 2.1, section 3.1).
func (h *Handler) authorize(v *visit) error {
	a, client, err := h.server.Authorize(v.Context(), v.R.URL.RawQuery)
	if err != nil {
		return err
	}
	return h.next(v, &signIn{Authorization: a, Created: h.now()}, client)
}

// resume continues a sign-in after the user has signed in.
func (h *Handler) resume(v *visit) error {
	s := new(signIn)
	if err := v.openStep(sealed.SignIn, v.R.URL.Query().Get("request"), s); err != nil {
		return err
	}
	if s.Authorization == nil {
		return redirect(v, h.base+accountPath)
	}
	client, err := h.server.Client(v.Context(), s.Authorization)
	if err != nil {
		return err
	}
	return h.next(v, s, client)
}

// next shows the next page of a sign-in: the sign-in page, then the consent page.
// If neither is needed, the client gets its code.
func (h *Handler) next(v *visit, s *signIn, client *oauth.Client) error {
	a := s.Authorization
	user, err := v.signedIn()
	if err != nil {
		return err
	}
	if user != nil && !a.Accepts(user.SignedIn) {
		user = nil
	}
	// OpenID Connect Core 1.0, section 3.1.2.1: prompt=none succeeds only for the
	// user that the client means.
	expected := user == nil || isHinted(user, a.LoginHint)
	if user == nil || a.Prompts("none") && !expected {
		if a.Prompts("none") {
			return h.server.InteractionNeeded(a, client, "login_required")
		}
		return h.showSignIn(v, s, client, pages.SignIn{Username: a.LoginHint}, http.StatusOK)
	}
	consented, err := h.server.Consented(v.Context(), *user, a, client)
	if err != nil {
		return err
	}
	if consented && expected && !a.Prompts("consent") {
		return h.approve(v, user, a, "remembered")
	}
	if a.Prompts("none") {
		return h.server.ConsentNeeded(a, client)
	}
	return h.showConsent(v, s, client, user)
}

// isHinted reports whether the user may be the one that the client means. A hint
// that can't be compared with what is known about the user doesn't count.
func isHinted(user *oauth.User, hint string) bool {
	for _, name := range []string{"", user.Username, user.Subject, user.Email} {
		if strings.EqualFold(name, hint) {
			return true
		}
	}
	isAddress := strings.Contains(hint, "@")
	return isAddress && user.Email == "" && !strings.Contains(user.Username, "@")
}
