package authserver

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// account shows the user which clients have access in their name.
func (h *Handler) account(v *visit) error {
	user, err := v.signedIn()
	if err != nil {
		return err
	}
	if user == nil {
		return h.showSignIn(v, &signIn{Created: h.now()}, nil, pages.SignIn{}, http.StatusOK)
	}
	return h.showAccount(v, user, "")
}

func (h *Handler) showAccount(v *visit, user *oauth.User, done string) error {
	consents, err := h.server.Consents(v.Context(), user.Subject)
	if err != nil {
		return err
	}
	token, err := v.Seal(sealed.AccountForm, &accountForm{user.Subject}, h.sessionLifetime())
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
				Server:   shownServer(resource),
				Scopes:   h.shownScopes(c.Scopes[resource]),
				Since:    c.Created,
				LastUsed: c.Used,
			})
		}
	}
	page.Write(v.W, http.StatusOK)
	return nil
}

// accountForm is sealed into the forms of the account page. They are valid for
// that user in that browser.
type accountForm struct {
	Subject string `json:"u"`
}

var (
	// errStale says that a form was shown to another user, or too long ago.
	errStale = errors.New("the page has expired")
	// errNotSignedOut says that a session could not be ended.
	errNotSignedOut = errors.New("ending the session failed")
)

func notSignedOut(cause error) error { return fmt.Errorf("%w: %w", errNotSignedOut, cause) }

// openAccountForm returns the user whom the account page was shown to.
func (v *visit) openAccountForm() (subject string, err error) {
	var form accountForm
	err = v.Open(sealed.AccountForm, v.form.Get("csrf"), &form)
	if errors.Is(err, browser.ErrClosed) {
		return "", errStale
	}
	return form.Subject, err
}

// changeAccount removes a client's access.
func (h *Handler) changeAccount(v *visit) error {
	subject, err := v.openAccountForm()
	if err != nil {
		return err
	}
	user, err := v.signedIn()
	if err != nil {
		return err
	}
	if user == nil || user.Subject != subject {
		return errStale
	}
	consent, err := h.server.RevokeConsent(v.Context(), user.Subject, v.form.Get("revoke"))
	if err != nil {
		return err
	}
	done := "That application no longer has access."
	if consent != nil {
		h.audited.Write(v.Context(), &audit.Event{Kind: audit.Revocation, Outcome: audit.OK, User: user.Subject, Client: consent.ClientID})
		done = "The application no longer has access. Its tokens stop working within " + spell(h.server.AccessTokenLifetime()) + "."
	}
	return h.showAccount(v, user, done)
}

// signOut ends the session, or all sessions of the user. Clients keep their
// access, which doesn't depend on the browser. Signing out twice is no error: a
// form of this browser says what the user wants, whether or not they are still
// signed in.
func (h *Handler) signOut(v *visit) error {
	subject, err := v.openAccountForm()
	if err != nil {
		return err
	}
	everywhere := v.form.Get("where") == "everywhere"
	if everywhere {
		user, err := v.signedIn()
		if err != nil {
			return notSignedOut(err)
		}
		switch {
		case user == nil:
			// A form alone must not end sessions in other browsers.
			everywhere = false
		case user.Subject != subject:
			return errStale
		default:
			if err := h.server.EndSessions(v.Context(), v.session); err != nil {
				return notSignedOut(err)
			}
			v.forgetSession()
		}
	}
	if !everywhere {
		if err := v.endSession(); err != nil {
			return notSignedOut(err)
		}
	}
	h.audited.Write(v.Context(), &audit.Event{Kind: audit.SignOut, Outcome: audit.OK, User: subject})
	page := pages.Message{
		Site:      h.site,
		Title:     "You are signed out",
		Text:      "You are signed out of this browser. Applications you allowed keep their access.",
		Link:      h.base + accountPath,
		LinkLabel: "Sign in again",
	}
	if everywhere {
		page.Title = "You are signed out everywhere"
		page.Text = "You are signed out of every browser. Applications you allowed keep their access. To end it, sign in again and remove them."
	}
	page.Write(v.W, http.StatusOK)
	return nil
}

// spell writes a duration for people, rounded up to whole minutes or hours.
func spell(d time.Duration) string {
	unit, name := time.Minute, "minute"
	if d >= 2*time.Hour {
		unit, name = time.Hour, "hour"
	}
	return count(int((d+unit-1)/unit), name)
}

// count writes a number of things, such as "2 minutes".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
