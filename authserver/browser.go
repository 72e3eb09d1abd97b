package authserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// Names of cookies. With https they get the prefix __Host-. They end in a hash of
// the issuer.
const (
	browserCookie = "mcp_auth_browser"
	sessionCookie = "mcp_auth_session"
	knownCookie   = "mcp_auth_known"
	// upstreamCookie is the prefix of the cookies of sign-ins at upstreams.
	upstreamCookie = "mcp_auth_upstream_"
)

// newSite returns the site of this server, for cookies and sealed forms.
func (h *Handler) newSite() *browser.Site {
	return &browser.Site{Issuer: h.Issuer, Secure: h.secure, IDCookie: browserCookie, Sealer: h.server, Now: h.now}
}

// visit is one request of a browser for a page. servePage makes it once.
type visit struct {
	*browser.Visit
	h *Handler
	// form is the posted form.
	form url.Values

	session oauth.SessionID
	user    *oauth.User
	looked  bool
}

// signedIn returns the user who is signed in, or nil if nobody is. It looks once
// in a visit.
func (v *visit) signedIn() (*oauth.User, error) {
	if v.looked {
		return v.user, nil
	}
	id, err := v.sessionID()
	if err != nil {
		return nil, err
	}
	user, err := v.h.server.SessionUser(v.Context(), id, v.h.sessionLifetime())
	if err != nil {
		return nil, err
	}
	v.looked, v.session, v.user = true, id, user
	return user, nil
}

// sessionID returns the session that the browser's cookie names; empty if none.
func (v *visit) sessionID() (oauth.SessionID, error) {
	var id oauth.SessionID
	err := v.Open(sealed.Session, v.Cookie(sessionCookie), &id)
	if errors.Is(err, browser.ErrClosed) {
		return oauth.SessionID{}, nil
	}
	return id, err
}

// startSession signs the user in, and ends the session of the previous user.
func (v *visit) startSession(user oauth.User) error {
	if err := v.endSession(); err != nil {
		return err
	}
	lifetime := v.h.sessionLifetime()
	id, err := v.h.server.StartSession(v.Context(), user, lifetime)
	if err != nil {
		return err
	}
	text, err := v.Seal(sealed.Session, id, lifetime)
	if err != nil {
		return err
	}
	// The cookie lasts as long as the browser's identifier, without which it doesn't
	// open.
	v.SetCookie(sessionCookie, text, 0)
	return nil
}

// endSession signs the user out. It ends the session here, not only in the
// browser, because the cookie may have been copied. If the session can't be
// ended, the browser keeps it.
func (v *visit) endSession() error {
	id, err := v.sessionID()
	if err != nil {
		return err
	}
	if err := v.h.server.EndSession(v.Context(), id); err != nil {
		return err
	}
	v.forgetSession()
	return nil
}

// forgetSession removes the cookie of a session that has ended.
func (v *visit) forgetSession() {
	if v.Cookie(sessionCookie) != "" {
		v.RemoveCookie(sessionCookie)
	}
	v.looked, v.session, v.user = true, oauth.SessionID{}, nil
}

const (
	// knownLifetime is how long a browser is remembered after a sign-in.
	knownLifetime = 365 * 24 * time.Hour
	// maxKnown bounds how many users of a browser are remembered.
	maxKnown = 8
	// maxCookie bounds a cookie: browsers drop larger ones.
	maxCookie = 3900
)

// known is a browser in which users of this server have signed in. It outlives
// their sessions and grants no access. It distinguishes a user's own browser, in
// which they mistype their password, from an attacker's that guesses it.
type known struct {
	// ID stays the same in all copies of the cookie, so that attempts can be
	// counted.
	ID string `json:"i"`
	// Users are their names, the last one first.
	Users   []string  `json:"u"`
	Expires time.Time `json:"e"`
}

// known returns what the browser's cookie says; nothing if it can't be read.
func (v *visit) known() known {
	text := v.Cookie(knownCookie)
	if text == "" || len(text) > maxCookie {
		return known{}
	}
	var k known
	if v.h.open(v.Context(), sealed.KnownBrowser, text, &k) != nil || !v.h.now().Before(k.Expires) {
		return known{}
	}
	return k
}

// Known reports whether the user with that name has signed in with this browser
// before, within a year. The identifier is the browser's: attempts in a known
// browser can be counted under it, in place of the user's name.
func (v *visit) Known(username string) (id string, ok bool) {
	k := v.known()
	return k.ID, slices.Contains(k.Users, username)
}

// remember adds the user to the browser's known users.
func (v *visit) remember(username string) error {
	k := v.known()
	if k.ID == "" {
		k.ID = rand.Text()
	}
	k.Users = slices.DeleteFunc(k.Users, func(other string) bool { return other == username })
	k.Users = slices.Insert(k.Users, 0, username)
	k.Users = k.Users[:min(len(k.Users), maxKnown)]
	k.Expires = v.h.now().Add(knownLifetime)
	// This cookie is not bound to the browser's identifier, which ends when the
	// browser is closed.
	text, err := v.h.seal(v.Context(), sealed.KnownBrowser, &k)
	if err != nil {
		return err
	}
	v.SetCookie(knownCookie, text, knownLifetime)
	return nil
}

// seal encrypts v for a browser or client to keep. It opens in any browser.
func (h *Handler) seal(ctx context.Context, purpose sealed.Purpose, v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return h.server.Seal(ctx, purpose, b)
}

// open is seal's inverse.
func (h *Handler) open(ctx context.Context, purpose sealed.Purpose, text string, v any) error {
	b, err := h.server.Open(ctx, purpose, text)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
