package authserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
)

const (
	// ticketLifetime is how long a sign-in may take.
	ticketLifetime = 30 * time.Minute
	// maxTicket bounds a ticket that comes back, in bytes.
	maxTicket = 16 << 10
)

// The cookies. With https their names have the prefix __Host-, so that no other
// host of the domain can plant them.
const (
	browserCookie = "mcp_auth_browser"
	sessionCookie = "mcp_auth_session"
	// upstreamCookie is followed by a part that tells sign-ins apart.
	upstreamCookie = "mcp_auth_upstream_"
)

func (h *Handler) cookieName(name string) string {
	if h.secure {
		return "__Host-" + name
	}
	return name
}

func (h *Handler) setCookie(w http.ResponseWriter, name, value string, lifetime time.Duration) {
	c := &http.Cookie{
		Name:     h.cookieName(name),
		Value:    value,
		Path:     "/",
		Secure:   h.secure,
		HttpOnly: true,
		// Lax: authorization requests and upstreams' answers come from
		// elsewhere, as links do.
		SameSite: http.SameSiteLaxMode,
		MaxAge:   int(lifetime / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// cookie returns a cookie's value; empty if there is none, or two: the second
// would be somebody else's.
func (h *Handler) cookie(r *http.Request, name string) string {
	if cookies := browser.Cookies(r, h.cookieName(name)); len(cookies) == 1 {
		return cookies[0].Value
	}
	return ""
}

// browser returns the hash of what tells this browser from others, which it is
// given if it has none. What is begun in one browser can't be finished in
// another, so nobody can be made to finish what a stranger has begun.
func (h *Handler) browser(w http.ResponseWriter, r *http.Request) string {
	id := h.cookie(r, browserCookie)
	if len(id) != 26 {
		id = rand.Text()
		h.setCookie(w, browserCookie, id, 0)
		// For whoever asks next while this request is answered.
		r.AddCookie(&http.Cookie{Name: h.cookieName(browserCookie), Value: id})
	}
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// ticket is a sign-in under way. It is sealed and kept by the browser, as a
// field of the pages' forms: strangers can't fill anything here, and a restart
// or another Caddy on the same storage makes no difference.
type ticket struct {
	// Authorization is the client's request; nil if the user wants to see their
	// own page.
	Authorization *oauth.Authorization `json:"a,omitempty"`
	Browser       string               `json:"b"`
	Created       time.Time            `json:"t"`
	// Subject is the user whom the consent page was shown; empty before.
	Subject string `json:"u,omitempty"`
}

var errTicket = errors.New("the sign-in has expired, or was begun in another browser")

func (h *Handler) sealTicket(ctx context.Context, t *ticket) (string, error) {
	return h.seal(ctx, "ticket", t)
}

// openTicket returns the sign-in that a form or a link carries.
func (h *Handler) openTicket(w http.ResponseWriter, r *http.Request, sealed string) (*ticket, error) {
	t := new(ticket)
	if len(sealed) > maxTicket {
		return nil, errTicket
	}
	if err := h.open(r.Context(), "ticket", sealed, t); err != nil {
		return nil, err
	}
	if t.Browser != h.browser(w, r) || h.now().After(t.Created.Add(ticketLifetime)) {
		return nil, errTicket
	}
	return t, nil
}

// session is a browser whose user has signed in.
type session struct {
	User    oauth.User `json:"u"`
	Browser string     `json:"b"`
	Expires time.Time  `json:"e"`
}

func (h *Handler) startSession(w http.ResponseWriter, r *http.Request, user oauth.User) error {
	user.SignedIn = h.now()
	sealed, err := h.seal(r.Context(), "session", &session{
		User:    user,
		Browser: h.browser(w, r),
		Expires: h.now().Add(h.sessionLifetime()),
	})
	if err != nil {
		return err
	}
	h.setCookie(w, sessionCookie, sealed, h.sessionLifetime())
	return nil
}

// user returns who is signed in; nil if nobody is.
func (h *Handler) user(w http.ResponseWriter, r *http.Request) (*oauth.User, error) {
	sealed := h.cookie(r, sessionCookie)
	if sealed == "" {
		return nil, nil
	}
	s := new(session)
	err := h.open(r.Context(), "session", sealed, s)
	if errors.Is(err, errTicket) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s.Browser != h.browser(w, r) || h.now().After(s.Expires) || h.welcome(r.Context(), s.User) != nil {
		return nil, nil
	}
	return &s.User, nil
}

func (h *Handler) seal(ctx context.Context, purpose string, v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return h.server.Seal(ctx, purpose, b)
}

// open is seal's inverse. Its error is errTicket for anything that was not
// sealed here.
func (h *Handler) open(ctx context.Context, purpose, sealed string, v any) error {
	b, err := h.server.Open(ctx, purpose, sealed)
	if _, failed := errors.AsType[*oauth.Error](err); failed {
		return err
	}
	if err != nil || json.Unmarshal(b, v) != nil {
		return errTicket
	}
	return nil
}
