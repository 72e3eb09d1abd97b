package authserver

import (
	"context"
	"fmt"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/access"
)

func adminStatus(ctx context.Context, req *adminRequest) (any, error) {
	servers, err := req.servers()
	if err != nil {
		return nil, err
	}
	answer := struct {
		Servers []access.Server `json:"servers"`
	}{[]access.Server{}}
	for _, h := range servers {
		status, err := h.status(ctx)
		if err != nil {
			return nil, err
		}
		answer.Servers = append(answer.Servers, status)
	}
	return answer, nil
}

// status counts who has access. It reads every consent and grant.
func (h *Handler) status(ctx context.Context) (access.Server, error) {
	status := access.Server{Issuer: h.Issuer, SignIn: h.signInWays()}
	list, err := h.server.Access(ctx)
	if err != nil {
		return status, err
	}
	users, clients := make(map[string]bool), make(map[string]bool)
	for _, a := range list {
		users[a.Subject], clients[a.ClientID] = true, true
		status.Grants += a.Grants
	}
	status.Users, status.Clients = len(users), len(clients)
	return status, nil
}

// measureAccess puts the numbers of those who have access into the metrics.
func (h *Handler) measureAccess(ctx context.Context) error {
	s, err := h.status(ctx)
	if err != nil {
		return err
	}
	for what, n := range map[string]int{"users": s.Users, "clients": s.Clients, "grants": s.Grants} {
		accessCounts.WithLabelValues(h.Issuer, what).Set(float64(n))
	}
	return nil
}

// signInWays says who may sign in.
func (h *Handler) signInWays() []string {
	var ways []string
	if n := len(h.Users); n > 0 {
		ways = append(ways, count(n, "user")+" with a password")
	}
	for _, u := range h.Upstreams {
		way := "users of " + u.Name
		for i, rule := range u.Allow {
			sep := ": "
			if i > 0 {
				sep = ", or "
			}
			way += sep + rule.describe()
		}
		ways = append(ways, way)
	}
	return ways
}

// maxShownValues is how many values of a rule are shown.
const maxShownValues = 3

// describe says which users the rule allows.
func (r AllowRule) describe() string {
	words := r.Kind
	if r.Claim != "" {
		words += " " + r.Claim
	}
	shown := r.Values[:min(len(r.Values), maxShownValues)]
	if len(shown) > 0 {
		words += " " + strings.Join(shown, ", ")
	}
	if more := len(r.Values) - len(shown); more > 0 {
		words += fmt.Sprintf(" and %d more", more)
	}
	return words
}
