package authserver

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
)

// account shows the user who has access in their name.
func (h *Handler) account(w http.ResponseWriter, r *http.Request) error {
	user, err := h.user(w, r)
	if err != nil {
		return err
	}
	if user == nil {
		t := &ticket{Browser: h.browser(w, r), Created: h.now()}
		return h.showSignIn(w, r, t, nil, pages.SignIn{}, http.StatusOK)
	}
	return h.showAccount(w, r, user, "")
}

func (h *Handler) showAccount(w http.ResponseWriter, r *http.Request, user *oauth.User, done string) error {
	consents, err := h.server.Consents(r.Context(), user.Subject)
	if err != nil {
		return err
	}
	token, err := h.seal(r.Context(), "account", &accountForm{h.browser(w, r), user.Subject})
	if err != nil {
		return err
	}
	page := pages.Account{
		Site:    h.site,
		User:    displayName(user),
		Email:   user.Email,
		Action:  h.base + accountPath,
		SignOut: h.base + signOutPath,
		Token:   token,
		Done:    done,
	}
	for _, c := range consents {
		client := &oauth.Client{ID: c.ClientID, Name: c.ClientName, URI: c.ClientURI, Kind: c.Kind, RedirectURIs: []string{c.RedirectURI}}
		resources := make([]string, 0, len(c.Scopes))
		for resource := range c.Scopes {
			resources = append(resources, resource)
		}
		slices.Sort(resources)
		for _, resource := range resources {
			page.Access = append(page.Access, pages.Access{
				ID:       c.ID,
				Client:   shownClient(client, c.RedirectURI),
				Resource: resource,
				Scopes:   h.shownScopes(c.Scopes[resource]),
				Since:    c.Created,
				LastUsed: c.Used,
			})
		}
	}
	page.Write(w, http.StatusOK)
	return nil
}

// accountForm is sealed into the forms of the user's page: they are good for
// that user in that browser.
type accountForm struct {
	Browser string `json:"b"`
	Subject string `json:"u"`
}

// checkAccountForm returns the user who sent a form of their page.
func (h *Handler) checkAccountForm(w http.ResponseWriter, r *http.Request) (*oauth.User, error) {
	user, err := h.user(w, r)
	if err != nil {
		return nil, err
	}
	var form accountForm
	if err := h.open(r.Context(), "account", r.PostForm.Get("csrf"), &form); err != nil {
		return nil, err
	}
	if user == nil || form != (accountForm{h.browser(w, r), user.Subject}) {
		return nil, errTicket
	}
	return user, nil
}

// changeAccount takes a client's access away.
func (h *Handler) changeAccount(w http.ResponseWriter, r *http.Request) error {
	user, err := h.checkAccountForm(w, r)
	if err != nil {
		return err
	}
	consent, err := h.server.TakeBack(r.Context(), user.Subject, r.PostForm.Get("revoke"))
	if err != nil {
		return err
	}
	done := "That application had no access any longer."
	if consent != nil {
		done = "The application no longer has access. What it holds already stops working within " + spell(h.server.AccessTokenLifetime()) + "."
	}
	return h.showAccount(w, r, user, done)
}

// signOut ends the session. Clients keep their access: it is theirs, not the
// browser's.
func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.checkAccountForm(w, r); err != nil {
		return err
	}
	h.setCookie(w, sessionCookie, "", 0)
	pages.Message{
		Site:      h.site,
		Title:     "You are signed out",
		Text:      "This browser is. Applications that you gave access to keep it.",
		Link:      h.base + accountPath,
		LinkLabel: "Sign in again",
	}.Write(w, http.StatusOK)
	return nil
}

// spell writes a duration for people, rounded up to a unit that they would use.
func spell(d time.Duration) string {
	unit, name := time.Minute, "minute"
	if d >= 2*time.Hour {
		unit, name = time.Hour, "hour"
	}
	n := int((d + unit - 1) / unit)
	if n == 1 {
		return "a " + name
	}
	return fmt.Sprintf("%d %ss", n, name)
}
