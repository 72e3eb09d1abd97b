package facade

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/throttle"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

const registerPath = "/oauth/register"

// serveRegistration is the registration endpoint (RFC 7591, section 3).
func (h *Handler) serveRegistration(w http.ResponseWriter, r *http.Request) error {
	w = unread.Track(w, r)
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodOptions:
		preflight(w, http.MethodPost)
		return nil
	case http.MethodPost:
	default:
		header.Set("Allow", "POST, OPTIONS")
		writeError(w, http.StatusMethodNotAllowed, "invalid_request", "Clients register with POST.")
		return nil
	}
	tooMany := func(wait time.Duration) {
		h.count(atRegistration, "too_many")
		logRefusal(r.Context(), "temporarily_unavailable", errors.New("too many registrations from this network"))
		header.Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		writeError(w, http.StatusTooManyRequests, "temporarily_unavailable", "Too many registrations from this network: try again later.")
	}
	h.limits.proxy.Check(r, h.logger)
	if wait := h.limits.registrations.Take(clientip.Of(r.Context())); wait > 0 {
		tooMany(wait)
		return nil
	}
	answer, err := h.register(r)
	if err == nil {
		h.count(atRegistration, "ok")
		id, _ := answer["client_id"].(string)
		h.audited.Write(r.Context(), &audit.Event{Kind: audit.Registration, Outcome: audit.OK, Client: id})
		return writeJSON(w, http.StatusCreated, answer)
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		h.count(atRegistration, refused.Code)
		h.audited.Write(r.Context(), &audit.Event{Kind: audit.Registration, Outcome: refused.Code, Detail: refused.Error()})
		logRefusal(r.Context(), refused.Code, refused)
		if operator, ok := errors.AsType[*OperatorError](err); ok {
			h.logger.Warn("the authorization server doesn't register clients", zap.Error(operator))
		}
		writeError(w, http.StatusBadRequest, refused.Code, refused.Description)
		return nil
	}
	if busy, ok := errors.AsType[*throttle.BusyError](err); ok && busy.Own {
		tooMany(registrationEvery)
		return nil
	}
	h.count(atRegistration, "temporarily_unavailable")
	logRefusal(r.Context(), "temporarily_unavailable", err)
	h.logger.Warn("registering a client failed", zap.Error(err))
	header.Set("Retry-After", "10")
	writeError(w, http.StatusServiceUnavailable, "temporarily_unavailable", "Clients can't be registered right now: try again.")
	return nil
}

// register checks the request before the authorization server gets it.
func (h *Handler) register(r *http.Request) (map[string]any, error) {
	invalid := func(description string) error {
		return &RefusedError{Code: "invalid_client_metadata", Description: description}
	}
	if err := reading.CheckHeaders(r.Header); err != nil {
		return nil, invalid("The request could be read in two ways: " + registration.Described(err.Error()) + ".")
	}
	mediaType, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" || parameters["charset"] != "" && !strings.EqualFold(parameters["charset"], "utf-8") {
		return nil, invalid("The request must be application/json.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, registration.MaxBody+1))
	if err != nil || len(body) > registration.MaxBody {
		return nil, invalid("The request is too large or incomplete.")
	}
	m, err := registration.Parse(body, &h.policy)
	if err != nil {
		return nil, err
	}
	for _, uri := range m.RedirectURIs {
		if h.shared != nil && !h.shared.AllowsRedirect(uri) {
			return nil, &RefusedError{
				Code:        "invalid_redirect_uri",
				Description: "The redirect URI " + registration.Quoted(uri) + " is not one that the operator has registered.",
			}
		}
	}
	wait, cancel := context.WithTimeout(r.Context(), registrationWait)
	defer cancel()
	release, err := h.limits.atServer.Take(wait, clientip.Of(r.Context()))
	if err != nil {
		return nil, err
	}
	defer release()
	return h.registrar.Register(r.Context(), &ClientMetadata{
		RedirectURIs:            m.RedirectURIs,
		TokenEndpointAuthMethod: m.TokenEndpointAuthMethod,
		GrantTypes:              m.GrantTypes,
		ResponseTypes:           m.ResponseTypes,
		ApplicationType:         m.ApplicationType,
		ClientName:              m.ClientName,
		ClientURI:               m.ClientURI,
		Scope:                   string(m.Scope),
	})
}

const (
	// registrationBurst is how many clients an address may register at once, and
	// registrationEvery is the interval after which it may register another. A
	// person has several clients, and connects them again and again.
	registrationBurst = 20
	registrationEvery = 3 * time.Second

	// maxRegistrations is how many registrations are sent to the server at the
	// same time. registrationQueue is how many more may wait, for
	// registrationWait at most. Networks take turns.
	maxRegistrations  = 8
	registrationQueue = 64
	registrationWait  = 10 * time.Second
)

// limits throttle clients that register often.
type limits struct {
	registrations *throttle.Buckets
	atServer      *throttle.Slots
	proxy         clientip.ProxyWarning
}

func newLimits(now func() time.Time) *limits {
	return &limits{
		registrations: throttle.NewBuckets(throttle.Rate{Burst: registrationBurst, Every: registrationEvery}, now),
		atServer:      throttle.NewSlots(maxRegistrations, registrationQueue, 0),
	}
}
