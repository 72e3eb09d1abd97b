package authserver

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
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

// pageTimeout bounds the work for a page, passwords and upstreams included.
const pageTimeout = 30 * time.Second

// route has the handlers of a path. A nil handler means that the method is not
// allowed.
type route struct {
	get, post func(*visit) error
}

func (h *Handler) pageRoutes() map[string]route {
	routes := map[string]route{
		oauth.AuthorizePath: {get: h.authorize},
		signInPath:          {post: h.signIn},
		consentPath:         {get: h.resume, post: h.submitConsent},
		accountPath:         {get: h.account, post: h.changeAccount},
		signOutPath:         {post: h.signOut},
	}
	for _, u := range h.Upstreams {
		routes[upstreamPath+u.Name] = route{get: func(v *visit) error { return h.startUpstream(v, u) }}
		routes[callbackPath+u.Name] = route{get: func(v *visit) error { return h.upstreamCallback(v, u) }}
	}
	return routes
}

// servePage serves a page.
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
			Title: "This page can't be opened directly",
			Text:  "It is one step of signing in. You may have reloaded it.",
			Cure:  "Start again from your application.",
		}.Write(w, http.StatusMethodNotAllowed)
		return nil
	}
	h.state.proxy.Check(r, h.logger)
	ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
	defer cancel()
	v := &visit{Visit: h.browsers.Visit(w, r.WithContext(ctx)), h: h}
	if r.Method == http.MethodPost {
		var err error
		if v.form, err = v.Form(); err != nil {
			h.fail(v, err)
			return nil
		}
	}
	if err := serve(v); err != nil {
		h.fail(v, err)
	}
	return nil
}

// redirect sends the browser on.
func redirect(v *visit, to string) error {
	v.Redirect(to)
	return nil
}

// errStep says that a sign-in can't be continued.
var errStep = errors.New("the sign-in has expired, or was started in another browser")

// openStep opens what the previous step of a sign-in had sealed.
func (v *visit) openStep(purpose sealed.Purpose, text string, value any) error {
	err := v.Open(purpose, text, value)
	if errors.Is(err, browser.ErrClosed) {
		return errStep
	}
	return err
}

// fail reports an error: to the client if it may be told, otherwise to the user,
// with what they can do.
func (h *Handler) fail(v *visit, err error) {
	code := "error"
	oauthError, isOAuth := errors.AsType[*oauth.Error](err)
	if isOAuth {
		code = oauthError.Code
	}
	logRefusal(v.Context(), code, err)
	page := pages.Message{Site: h.site}
	if refused, ok := errors.AsType[*oauth.AuthorizationError](err); ok {
		authorizations.WithLabelValues(h.Issuer, refused.Err.Code).Inc()
		switch {
		case refused.RedirectTo == "":
		case refused.Ask:
			page.Link, page.LinkLabel = refused.RedirectTo, "Go back to "+registration.RedirectTarget(refused.RedirectTo)
		default:
			_ = redirect(v, refused.RedirectTo)
			return
		}
	}
	status := http.StatusBadRequest
	throttled, isThrottled := errors.AsType[*throttledError](err)
	switch {
	case isThrottled:
		status = throttled.status
		throttled.setHeader(v.W.Header())
		page.Title = "Too many people are signing in"
		page.Text = "You were not signed in, and nothing was changed."
		page.Cure = "Wait " + count(throttled.seconds(), "second") + ", then start again from your application."
	case errors.Is(err, errStep):
		page.Title = "This sign-in has expired"
		page.Text = "It was started more than 30 minutes ago, or in another browser. Signing in needs cookies."
		page.Cure = "Start again from your application."
	case errors.Is(err, errStale):
		page.Title = "This page has expired"
		page.Text = "You have signed in or out since it was shown. Nothing was changed."
		page.Link, page.LinkLabel = h.base+accountPath, "Your account"
	case errors.Is(err, browser.ErrCrossSite), errors.Is(err, browser.ErrForm):
		status = http.StatusForbidden
		page.Title = "This form was not accepted"
		page.Text = "It did not come from a page of this site."
		page.Cure = "Start again from your application."
	case errors.Is(err, errNotSignedOut):
		status = http.StatusServiceUnavailable
		h.logger.Error("signing out failed", zap.Error(err))
		v.W.Header().Set("Retry-After", "5")
		page.Title = "You may still be signed in"
		page.Text = "Something needed to sign you out did not respond."
		page.Cure = "Go back and try again in a minute."
	case isOAuth && oauthError.Status < http.StatusInternalServerError:
		page.Title = "This application can't sign you in"
		page.Text = "This server does not accept its request. The application was not given access to anything."
		page.Cure = cure(oauthError.Code)
		page.Detail = oauthError.Code + ": " + oauthError.Description
	case isOAuth && oauthError.Unreachable != "":
		status = http.StatusServiceUnavailable
		v.W.Header().Set("Retry-After", "5")
		page.Title = "This server can't reach " + oauthError.Unreachable
		page.Text = "Your application says who it is on a page at " + oauthError.Unreachable + ", which this server has to read first."
		page.Cure = "Start again from your application in a minute. If you see this page again, tell the operator of this server: " +
			"without access to the internet it needs `client_documents off`, and applications then register with it instead; or a `proxy` in `client_documents`."
		page.Detail = oauthError.Code + ": " + oauthError.Description
	default:
		status = http.StatusServiceUnavailable
		h.logger.Error("answering failed", zap.String("path", v.R.URL.Path), zap.Error(err))
		v.W.Header().Set("Retry-After", "5")
		page.Title = "This doesn't work right now"
		page.Text = "Something needed to sign you in did not respond."
		page.Cure = "Try again in a minute."
		if isOAuth {
			page.Detail = oauthError.Code + ": " + oauthError.Description
		}
	}
	page.Write(v.W, status)
}

// cure says what a user can do about a refused authorization request.
func cure(code string) string {
	switch code {
	case "invalid_client":
		return "The application has to register with this server again. Remove the server from the application, then add it again. " +
			"If that doesn't help, ask the operator of this server whether the application is allowed."
	case "invalid_request":
		return "Start again from your application. If you see this page again, send the line below to the developers of the application."
	}
	return "Start again from your application."
}
