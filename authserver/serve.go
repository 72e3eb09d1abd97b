package authserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/registration"
)

// The paths of the pages, below the issuer's, beside the authorization endpoint.
const (
	signInPath   = "/oauth/signin"
	consentPath  = "/oauth/consent"
	accountPath  = "/oauth/account"
	signOutPath  = "/oauth/signout"
	upstreamPath = "/oauth/upstream/"
	callbackPath = "/oauth/callback/"
)

const (
	// maxForm bounds what a page sends, in bytes. A ticket is the largest part.
	maxForm = 32 << 10
	// pageTimeout bounds the work for a page, passwords and upstreams included.
	pageTimeout = 30 * time.Second
)

// route is what there is at a path. A nil handler means that the method is not
// allowed.
type route struct {
	get, post func(http.ResponseWriter, *http.Request) error
}

func (h *Handler) pageRoutes() map[string]route {
	routes := map[string]route{
		oauth.AuthorizePath: {get: h.authorize},
		signInPath:          {post: h.signIn},
		consentPath:         {get: h.proceed, post: h.decide},
		accountPath:         {get: h.account, post: h.changeAccount},
		signOutPath:         {post: h.signOut},
	}
	for _, u := range h.Upstreams {
		routes[upstreamPath+u.Name] = route{get: func(w http.ResponseWriter, r *http.Request) error { return h.leave(w, r, u) }}
		routes[callbackPath+u.Name] = route{get: func(w http.ResponseWriter, r *http.Request) error { return h.comeBack(w, r, u) }}
	}
	return routes
}

// servePage serves what is for browsers.
func (h *Handler) servePage(w http.ResponseWriter, r *http.Request, page route) error {
	w.Header().Set("Cache-Control", "no-store")
	serve, allow := page.get, "GET, HEAD"
	if r.Method == http.MethodPost {
		serve = page.post
	} else if r.Method != http.MethodGet && r.Method != http.MethodHead {
		serve = nil
	}
	if serve == nil {
		switch {
		case page.get == nil:
			allow = "POST"
		case page.post != nil:
			allow = "GET, HEAD, POST"
		}
		w.Header().Set("Allow", allow)
		pages.Message{
			Site:  h.site,
			Title: "This address is not for opening",
			Text:  "You may have reloaded a page that was on its way somewhere else.",
			Cure:  "Start again from your application.",
		}.Write(w, http.StatusMethodNotAllowed)
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	if r.Method == http.MethodPost {
		if err := h.readForm(w, r); err != nil {
			h.fail(w, r, err)
			return nil
		}
	}
	if err := serve(w, r); err != nil {
		h.fail(w, r, err)
	}
	return nil
}

var (
	errCrossSite = errors.New("the form was sent by another site")
	errForm      = errors.New("the form can't be read")
)

// readForm reads a page's form into r.PostForm. A form of another site's is none
// of ours.
func (h *Handler) readForm(w http.ResponseWriter, r *http.Request) error {
	if err := h.csrf.Check(r); err != nil {
		return fmt.Errorf("%w: %w", errCrossSite, err)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	if r.PostForm, err = url.ParseQuery(string(body)); err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	return nil
}

// redirect sends the browser on. See Other, so that a form isn't sent along.
func redirect(w http.ResponseWriter, r *http.Request, to string) error {
	w.Header().Set("Location", to)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// fail says what went wrong: to the client, if it may be told, or else to the
// user, with what they can do about it.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	code := "error"
	oauthError, isOAuth := errors.AsType[*oauth.Error](err)
	if isOAuth {
		code = oauthError.Code
	}
	logRefusal(r.Context(), code, err)
	page := pages.Message{Site: h.site}
	if refused, ok := errors.AsType[*oauth.AuthorizationError](err); ok {
		authorizations.WithLabelValues(h.Issuer, refused.Err.Code).Inc()
		switch {
		case refused.RedirectTo == "":
		case refused.Ask:
			page.Link, page.LinkLabel = refused.RedirectTo, "Go back to "+registration.RedirectTarget(refused.RedirectTo)
		default:
			_ = redirect(w, r, refused.RedirectTo)
			return
		}
	}
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, errTicket):
		page.Title = "This sign-in is over"
		page.Text = "It has expired, or it was begun in another browser. Sign-ins are open for 30 minutes, and need cookies."
		page.Cure = "Start again from your application."
	case errors.Is(err, errCrossSite), errors.Is(err, errForm):
		status = http.StatusForbidden
		page.Title = "This form was not accepted"
		page.Text = "It did not come from this site's own page."
		page.Cure = "Start again from your application."
	case isOAuth && oauthError.Status < http.StatusInternalServerError:
		page.Title = "This application can't sign you in"
		page.Text = "Its request is not one that this server accepts, so you were not asked anything, and it was not given anything."
		page.Cure = cure(oauthError.Code)
		page.Detail = oauthError.Code + ": " + oauthError.Description
	default:
		status = http.StatusServiceUnavailable
		h.logger.Error("answering failed", zap.String("path", r.URL.Path), zap.Error(err))
		w.Header().Set("Retry-After", "5")
		page.Title = "This doesn't work just now"
		page.Text = "Something that is needed to sign you in did not answer."
		page.Cure = "Try again in a minute."
		if isOAuth {
			page.Detail = oauthError.Code + ": " + oauthError.Description
		}
	}
	page.Write(w, status)
}

// cure says what a user can do about an authorization request that was refused.
func cure(code string) string {
	switch code {
	case "invalid_client":
		return "The application has to register with this server again: remove the server from it, and add it anew. If that doesn't help, ask whoever runs this server whether the application is allowed."
	case "invalid_request":
		return "Start again from your application. If this page comes back, the application has to be mended: tell its makers the line below."
	}
	return "Start again from your application."
}
