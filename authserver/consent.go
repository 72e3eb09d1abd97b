package authserver

import (
	"net/http"
	"slices"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// question is what the consent page asks, sealed into its form. So the answer is
// for what was shown, and comes from the user who was asked.
type question struct {
	SignIn signIn `json:"s"`
	// Subject is the user.
	Subject string `json:"u"`
}

// showConsent asks the user whether the client may have what it requests.
func (h *Handler) showConsent(v *visit, s *signIn, client *oauth.Client, user *oauth.User) error {
	before, err := h.server.AllowedBefore(v.Context(), *user, s.Authorization)
	if err != nil {
		return err
	}
	text, err := v.Seal(sealed.Consent, &question{*s, user.Subject}, s.rest(h.now()))
	if err != nil {
		return err
	}
	a := s.Authorization
	page := pages.Consent{
		Site:    h.site,
		Client:  shownClient(client, a.RedirectURI),
		Server:  shownServer(a.Resource),
		User:    displayName(user),
		Email:   user.Email,
		Scopes:  h.shownScopes(a.Scopes),
		Offline: a.Offline,
		Ends:    spell(h.server.AccessTokenLifetime()),
		// Other programs can pose as such a client, so the user is asked each
		// time. If the client wants the user to consent, they get the whole page.
		Again:   before.All && !a.Prompts("consent") && !registration.LeadsToWebSite(a.RedirectURI),
		Action:  h.base + consentPath,
		Request: text,
	}
	// Addresses that the operator lists are known to be right.
	listed := h.Registration != nil && len(h.Registration.RedirectURIs) > 0
	page.New = !before.Known && !listed && !page.Client.Trusted && registration.LeadsToWebSite(a.RedirectURI)
	page.Write(v.W, http.StatusOK)
	return nil
}

// submitConsent handles the user's answer.
func (h *Handler) submitConsent(v *visit) error {
	var q question
	if err := v.openStep(sealed.Consent, v.form.Get("request"), &q); err != nil {
		return err
	}
	s := &q.SignIn
	if s.Authorization == nil {
		return errStep
	}
	client, err := h.server.Client(v.Context(), s.Authorization)
	if err != nil {
		return err
	}
	user, err := v.signedIn()
	if err != nil {
		return err
	}
	if user == nil || user.Subject != q.Subject {
		// The session has ended, or belongs to another user: ask again.
		return h.next(v, s, client)
	}
	switch v.form.Get("decision") {
	case "allow":
		return h.approve(v, user, s.Authorization, "approved")
	case "deny":
		h.auditConsent(v.Context(), "denied", user, s.Authorization)
		return h.server.Refuse(s.Authorization, nil)
	case "switch":
		if err := v.endSession(); err != nil {
			return notSignedOut(err)
		}
		s.Switch = true
		return h.showSignIn(v, s, client, pages.SignIn{}, http.StatusOK)
	}
	return browser.ErrForm
}

func (h *Handler) approve(v *visit, user *oauth.User, a *oauth.Authorization, outcome string) error {
	to, err := h.server.Approve(v.Context(), *user, a)
	if err != nil {
		return err
	}
	authorizations.WithLabelValues(h.Issuer, outcome).Inc()
	h.auditConsent(v.Context(), outcome, user, a)
	return redirect(v, to)
}

// shownServer returns how the pages show the MCP server.
func shownServer(resource string) pages.Server {
	return pages.Server{URL: resource, Name: inprocess.ResourceName(resource)}
}

// shownClient returns how the pages show a client that sends the user to
// redirectURI.
func shownClient(c *oauth.Client, redirectURI string) pages.Client {
	name := c.Name
	if name == "" && c.Kind == oauth.PreRegistered {
		name = c.ID
	}
	return pages.Client{
		Name:         name,
		IDHost:       c.DocumentHost(),
		URI:          c.URI,
		RedirectHost: registration.RedirectTarget(redirectURI),
		Trusted:      c.Kind == oauth.PreRegistered,
		// This holds for a client that has other addresses as well: any program
		// on the computer can pose as it, with this one.
		Loopback:      registration.LeadsToProgram(redirectURI),
		PrivateScheme: registration.IsPrivateScheme(redirectURI),
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
