package authserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/access"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI shows an operator who has access, and ends it:
//
//	GET  /mcp_auth_server/status
//	GET  /mcp_auth_server/grants?user=ada&client=desk
//	POST /mcp_auth_server/revoke     {"user": "ada", "client": "desk"}
//	POST /mcp_auth_server/sign_out   {"user": "ada"}
//
// With several servers, each accepts an `issuer`. A user is named by the subject, or by
// the name that they sign in with; a client by its identifier or its name.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.mcp_auth_server",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Routes implements [caddy.AdminRouter].
func (adminAPI) Routes() []caddy.AdminRoute {
	route := func(name, method string, serve func(context.Context, *adminRequest) (any, error)) caddy.AdminRoute {
		return caddy.AdminRoute{Pattern: "/mcp_auth_server/" + name, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			return serveAdmin(w, r, method, serve)
		})}
	}
	return []caddy.AdminRoute{
		route("status", http.MethodGet, adminStatus),
		route("grants", http.MethodGet, adminGrants),
		route("revoke", http.MethodPost, adminRevoke),
		route("sign_out", http.MethodPost, adminSignOut),
	}
}

const (
	// maxAdminRequest bounds the body.
	maxAdminRequest = 16 << 10
	// adminTimeout bounds a request. All records are read.
	adminTimeout = time.Minute
	// endedFor is how long access tokens may last that were issued before their
	// user's access ended, whatever the configuration said then.
	endedFor = oauth.MaxAccessTokenLifetime
)

// adminRequest says whom a request is about.
type adminRequest struct {
	// Issuer is the server. Default: all of this Caddy.
	Issuer string `json:"issuer"`
	// User and Client select; empty means all.
	User   string `json:"user"`
	Client string `json:"client"`
}

// running are the servers of the running configurations.
var running pool.Registry[*Handler]

const allServers = ""

// servers returns the servers that a request is about, one for each issuer: during a
// reload, the latest.
func (req *adminRequest) servers() ([]*Handler, error) {
	var list []*Handler
	at := make(map[string]int)
	for _, h := range running.All(allServers) {
		if req.Issuer != "" && req.Issuer != h.Issuer {
			continue
		}
		if i, there := at[h.Issuer]; there {
			list[i] = h
			continue
		}
		at[h.Issuer] = len(list)
		list = append(list, h)
	}
	if len(list) == 0 && req.Issuer != "" {
		return nil, adminError(http.StatusNotFound, fmt.Errorf("this Caddy has no mcp_auth_server %s", req.Issuer))
	}
	return list, nil
}

func adminError(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// serveAdmin reads a request and writes the answer.
func serveAdmin(w http.ResponseWriter, r *http.Request, method string, serve func(context.Context, *adminRequest) (any, error)) error {
	if r.Method != method {
		return adminError(http.StatusMethodNotAllowed, errors.New("use "+method))
	}
	req := new(adminRequest)
	if method == http.MethodGet {
		query := r.URL.Query()
		for name, values := range query {
			to := map[string]*string{"issuer": &req.Issuer, "user": &req.User, "client": &req.Client}[name]
			if to == nil || len(values) != 1 {
				return adminError(http.StatusBadRequest, errors.New("the query may have issuer, user and client, once each"))
			}
			*to = values[0]
		}
	} else if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxAdminRequest), req, json.RejectUnknownMembers(true)); err != nil {
		return adminError(http.StatusBadRequest, fmt.Errorf("reading the request: %w", err))
	}
	ctx, cancel := context.WithTimeout(r.Context(), adminTimeout)
	defer cancel()
	answer, err := serve(ctx, req)
	if _, ok := errors.AsType[caddy.APIError](err); !ok && err != nil {
		err = adminError(http.StatusServiceUnavailable, err)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.MarshalWrite(w, answer)
}

func adminGrants(ctx context.Context, req *adminRequest) (any, error) {
	servers, err := req.servers()
	if err != nil {
		return nil, err
	}
	answer := access.Grants{Grants: []access.Grant{}}
	for _, h := range servers {
		list, err := h.server.Access(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if req.User != "" && req.User != a.Subject && req.User != a.Username || req.Client != "" && !isClient(a, req.Client) {
				continue
			}
			answer.Grants = append(answer.Grants, access.Grant{
				Issuer: h.Issuer, User: a.Subject, Username: a.Username, Client: a.ClientID, ClientName: a.ClientName,
				Kind: string(a.Kind), Provider: a.Provider, Scopes: a.Scopes, Since: a.Since, Used: a.Used, Grants: a.Grants,
			})
		}
	}
	return answer, nil
}

// isClient reports whether a is of the client that is called name.
func isClient(a *oauth.Access, name string) bool { return a.ClientID == name || a.ClientName == name }

func adminRevoke(ctx context.Context, req *adminRequest) (any, error) {
	if req.User == "" || req.Client == "" {
		return nil, adminError(http.StatusBadRequest, errors.New("name a user and a client; sign_out ends the access of all clients"))
	}
	answer := access.AllEnded{Ended: []access.Ended{}}
	err := req.forUser(ctx, func(h *Handler, subject string) error {
		list, err := h.server.Access(ctx)
		if err != nil {
			return err
		}
		seen := make(map[string]bool)
		for _, a := range list {
			if a.Subject != subject || !isClient(a, req.Client) || seen[a.ClientID] {
				continue
			}
			seen[a.ClientID] = true
			// Also if it fails halfway: what is ended, is ended at once.
			ended, err := h.server.EndAccess(ctx, subject, a.ClientID)
			h.end(ctx, subject, a.ClientID, err)
			if err != nil {
				return err
			}
			answer.Ended = append(answer.Ended, access.Ended{Issuer: h.Issuer, User: subject, Client: a.ClientID, Sessions: ended.Sessions, Consents: ended.Consents, Grants: ended.Grants})
		}
		return nil
	})
	if err == nil && len(answer.Ended) == 0 {
		err = adminError(http.StatusNotFound, fmt.Errorf("the client %q has no access in the name of %q", req.Client, req.User))
	}
	return answer, err
}

func adminSignOut(ctx context.Context, req *adminRequest) (any, error) {
	if req.User == "" || req.Client != "" {
		return nil, adminError(http.StatusBadRequest, errors.New("name a user, and no client"))
	}
	servers, err := req.servers()
	if err != nil {
		return nil, err
	}
	for _, h := range servers {
		// Also if there is no record: users can remove theirs, on the account page, and
		// keep an access token. Or if the store is away.
		h.refuseTokens(req.User, "")
	}
	answer := access.AllEnded{Ended: []access.Ended{}}
	err = req.forUser(ctx, func(h *Handler, subject string) error {
		ended, err := h.server.EndUser(ctx, subject)
		h.end(ctx, subject, "", err)
		if err == nil {
			answer.Ended = append(answer.Ended, access.Ended{Issuer: h.Issuer, User: subject, Sessions: ended.Sessions, Consents: ended.Consents, Grants: ended.Grants})
		}
		return err
	})
	return answer, err
}

// forUser calls end for the user at each server that knows them.
func (req *adminRequest) forUser(ctx context.Context, end func(h *Handler, subject string) error) error {
	servers, err := req.servers()
	if err != nil {
		return err
	}
	known := false
	for _, h := range servers {
		subjects, err := h.server.Subjects(ctx, req.User)
		switch {
		case err != nil:
			return err
		case len(subjects) > 1:
			return adminError(http.StatusConflict, fmt.Errorf("several users sign in as %q: name one by the subject: %s", req.User, strings.Join(subjects, ", ")))
		case len(subjects) == 0:
			continue
		}
		known = true
		if err := end(h, subjects[0]); err != nil {
			return err
		}
	}
	if !known {
		return adminError(http.StatusNotFound, fmt.Errorf("nobody called %q is signed in or has given access", req.User))
	}
	return nil
}

// end tells the front doors in this process that the user's tokens no longer count,
// and the audit log. It comes after the attempt to end the grants, which may have
// failed, so those that were ended give no token later.
func (h *Handler) end(ctx context.Context, subject, client string, failed error) {
	h.refuseTokens(subject, client)
	e := &audit.Event{Kind: audit.SignOut, Outcome: audit.OK, Method: audit.Operator, User: subject, Client: client}
	if client != "" {
		e.Kind = audit.Revocation
	}
	if failed != nil {
		e.Outcome, e.Detail = "error", failed.Error()
	}
	h.audited.Write(ctx, e)
}

// refuseTokens has the front doors in this process refuse the tokens that the user has.
func (h *Handler) refuseTokens(subject, client string) {
	now := h.now()
	inprocess.End(h.Issuer, subject, client, now, now.Add(endedFor))
}

// Interface guard
var _ caddy.AdminRouter = adminAPI{}
