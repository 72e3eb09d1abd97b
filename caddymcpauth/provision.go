package caddymcpauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// parseResource is resource.Parse for a configuration value.
func parseResource(raw string) (resource.Identifier, error) {
	switch {
	case raw == "":
		return resource.Identifier{}, errors.New("missing: give the URL of the MCP server as clients use it, for example https://mcp.example.com/mcp")
	case strings.ContainsAny(raw, "{}"):
		return resource.Identifier{}, fmt.Errorf("%q contains a placeholder: the address of the metadata must be known when Caddy starts; in a Caddyfile, {$NAME} inserts an environment variable", raw)
	}
	return resource.Parse(raw)
}

// checkScopes refuses what isn't a scope of a resource.
func checkScopes(what string, scopes []string) error {
	for _, scope := range scopes {
		if strings.Contains(scope, ",") { // legal, but nobody means it
			return fmt.Errorf("%s: %q has a comma: list scopes one by one", what, scope)
		}
		if err := token.CheckScope(scope); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if scope == "offline_access" {
			// MCP 2026-07-28, authorization, refresh tokens.
			return fmt.Errorf("%s: offline_access is not a scope of a resource: clients that want refresh tokens ask for it by themselves", what)
		}
	}
	return nil
}

func (h *Handler) provisionScopes() error {
	if err := checkScopes("scopes", h.Scopes); err != nil {
		return err
	}
	if err := checkScopes("scopes_supported", h.ScopesSupported); err != nil {
		return err
	}
	if err := checkScopes("offer", h.Offer); err != nil {
		return err
	}
	for broad, narrow := range h.ScopeImplies {
		if len(narrow) == 0 {
			return fmt.Errorf("scope_implies: %s implies nothing", broad)
		}
		if err := checkScopes("scope_implies", append([]string{broad}, narrow...)); err != nil {
			return err
		}
	}
	h.hierarchy = token.NewScopeHierarchy(h.ScopeImplies)
	return nil
}

// registerDoor tells the authorization servers in this Caddy what a token needs
// here, so that they can advertise it, and don't renew tokens that lack it.
func (h *Handler) registerDoor() {
	door := inprocess.Door{
		Resource: h.Resource,
		Scopes:   h.offeredScopes(),
		Admits:   func(scopes []string) bool { return h.hierarchy.Satisfied(scopes, h.Scopes) },
	}
	for _, iss := range h.Issuers {
		h.registered.Add(inprocess.RegisterDoor(iss.Issuer, door))
		h.registered.Add(inprocess.OnEnd(iss.Issuer, iss.forgetSubject))
	}
}

func (h *Handler) provisionOrigins() error {
	h.allowedOrigins = []string{h.resource.Origin()}
	for _, origin := range h.Origins {
		u, err := parseOrigin(origin)
		if err != nil || strings.Contains(origin, "*") {
			return fmt.Errorf("origins: %q is not an origin: write scheme and host, as in https://inspector.example.com", origin)
		}
		h.allowedOrigins = append(h.allowedOrigins, web.Origin(u))
	}
	return nil
}

func (h *Handler) provisionIssuers(ctx caddy.Context) error {
	if len(h.Issuers) == 0 {
		return errors.New("no issuer: name at least one authorization server with `issuer <url>`")
	}
	var list judge.Issuers
	for i, iss := range h.Issuers {
		if iss == nil {
			return fmt.Errorf("issuer %d is null", i)
		}
		verifiers, err := iss.provision(ctx, h.Resource)
		if err != nil {
			return fmt.Errorf("issuer %q: %w", iss.Issuer, err)
		}
		if slices.ContainsFunc(list, func(other judge.Issuer) bool { return other.Issuer == iss.Issuer }) {
			return fmt.Errorf("issuer %q is given twice: put all its verifiers in one block", iss.Issuer)
		}
		list = append(list, verifiers)
	}
	h.issuers = list
	if err := h.checkKeys(); err != nil {
		return err
	}
	open, err := list.CheckPrefixes()
	if err != nil {
		return err
	}
	if len(open) > 0 {
		ctx.Logger().Warn("these issuers see each other's opaque tokens: set token_prefix to what the tokens of each begin with",
			zap.Strings("issuers", open),
			zap.String("resource", h.Resource))
	}
	return nil
}
