package facade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI removes registered clients that nobody uses:
//
//	POST /mcp_auth_facade/sweep
//	{"issuer": "https://auth.example.com/oidc", "unused_for": "2160h"}
//
// answers {"removed": ["<client_id>", …]}.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.mcp_auth_facade",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Routes implements [caddy.AdminRouter].
func (adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: "/mcp_auth_facade/sweep", Handler: caddy.AdminHandlerFunc(serveSweep)}}
}

// minUnused is the shortest time after which a client may count as unused. The
// last use is only known to the day.
const minUnused = 2 * useResolution

func serveSweep(w http.ResponseWriter, r *http.Request) error {
	refuse := func(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }
	if r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, errors.New("use POST"))
	}
	var request struct {
		Issuer    string `json:"issuer"`
		UnusedFor string `json:"unused_for"`
	}
	decoder := json.NewDecoder(io.LimitReader(r.Body, 1<<16))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		return refuse(http.StatusBadRequest, fmt.Errorf("reading the request: %w", err))
	}
	unusedFor, err := caddy.ParseDuration(request.UnusedFor)
	if err != nil || unusedFor < minUnused {
		return refuse(http.StatusBadRequest, fmt.Errorf("unused_for is a duration of at least %s, such as 90d", minUnused))
	}
	sweeper, ok := sweepers.Latest(request.Issuer)
	if !ok {
		return refuse(http.StatusNotFound, fmt.Errorf("no facade for issuer %q with a registrar that can be swept", request.Issuer))
	}
	removed, err := sweeper.Sweep(r.Context(), unusedFor)
	if err != nil {
		return refuse(http.StatusBadGateway, fmt.Errorf("removed %d clients, then: %w", len(removed), err))
	}
	if removed == nil {
		removed = []string{}
	}
	return writeJSON(w, http.StatusOK, map[string]any{"removed": removed})
}

// sweepers are the registrars of the running configurations, by issuer.
var sweepers pool.Registry[Sweeper]

// Interface guard
var _ caddy.AdminRouter = (*adminAPI)(nil)
