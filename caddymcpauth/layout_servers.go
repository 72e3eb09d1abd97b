package caddymcpauth

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// checkServers warns of contradictions between a door and the mcp_auth_server
// beside it.
func (l *layout) checkServers(h *Handler) {
	for i, server := range l.tree.Servers {
		if slices.ContainsFunc(l.tree.Servers[:i], func(other routing.Server) bool {
			return other.Issuer == server.Issuer && slices.Equal(other.Hosts, server.Hosts)
		}) {
			l.found("mcp_auth_server "+server.Issuer+" is there twice: only the first one answers", "remove one of the two, or give them issuers that differ in their path")
			continue
		}
		if u, err := url.Parse(server.Issuer); err == nil && len(server.Hosts) > 0 && !slices.ContainsFunc(server.Hosts, func(host string) bool {
			return strings.EqualFold(host, u.Hostname()) || strings.Contains(host, "*") || strings.Contains(host, "{")
		}) {
			l.found(fmt.Sprintf("the issuer of mcp_auth_server %s is not an address of its site, %s: clients look for its metadata at the issuer", server.Issuer, strings.Join(server.Hosts, ", ")),
				"write the address of the site as the issuer, here and in mcp_auth")
		}
		for _, iss := range h.Issuers {
			switch {
			case iss.Issuer == server.Issuer:
				l.checkServer(h, server)
			case resource.Same(iss.Issuer, server.Issuer):
				l.found(fmt.Sprintf("issuer %s and mcp_auth_server %s differ only in spelling: no token will be accepted", iss.Issuer, server.Issuer), "write issuer "+server.Issuer)
			}
		}
	}
}

func (l *layout) checkServer(h *Handler, server routing.Server) {
	spelled := slices.IndexFunc(server.Resources, func(r string) bool { return resource.Same(r, h.Resource) })
	switch {
	case slices.Contains(server.Resources, h.Resource):
	case spelled >= 0:
		l.found(fmt.Sprintf("resource %s of mcp_auth_server differs from %s only in spelling: clients ask for the latter", server.Resources[spelled], h.Resource), "write resource "+h.Resource+" in mcp_auth_server")
	default:
		l.found(fmt.Sprintf("mcp_auth_server %s issues no tokens for this resource", server.Issuer), "add "+h.Resource+" to `resource` of mcp_auth_server")
	}
	known := func(scope string) bool {
		return slices.ContainsFunc(server.Scopes, func(s routing.Scope) bool {
			return h.hierarchy.Satisfied([]string{s.Name}, []string{scope})
		})
	}
	var said []string
	for _, placed := range h.Rules.Conditions() {
		for _, scope := range placed.Condition.Scope {
			if !known(scope) && !slices.Contains(said, scope) {
				said = append(said, scope)
				l.found(fmt.Sprintf("%s line %d needs the scope %s, which mcp_auth_server %s doesn't have: no user can be granted it", placed.Rule.Kind, placed.Rule.Number, scope, server.Issuer), "add "+scope+" to `scopes` of mcp_auth_server")
			}
		}
	}
	for _, scope := range h.Offer {
		if !known(scope) {
			l.found(fmt.Sprintf("mcp_auth offers the scope %s, which mcp_auth_server %s doesn't have: no user can be granted it", scope, server.Issuer), "add "+scope+" to `scopes` of mcp_auth_server, or take it out of `offer`")
		}
	}
	for _, scope := range h.Scopes {
		if !known(scope) {
			l.found(fmt.Sprintf("mcp_auth needs the scope %s, which mcp_auth_server %s doesn't have: nobody can get in", scope, server.Issuer), "add "+scope+" to `scopes` of mcp_auth_server")
		}
	}
}
