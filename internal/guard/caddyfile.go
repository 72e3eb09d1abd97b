package guard

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterDirective("mcp_auth_guard", parseCaddyfile)
	// Before everything else.
	httpcaddyfile.RegisterDirectiveOrder("mcp_auth_guard", httpcaddyfile.Before, "tracing")
}

// parseCaddyfile sets up the guard from its directive, which takes no arguments:
//
//	mcp_auth_guard
//
// It is for sites where mcp_auth stands inside handle, handle_path or route: there
// it can't put the guard before the handlers beside it.
func parseCaddyfile(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if err := new(Handler).UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return Before(h), nil
}

// UnmarshalCaddyfile takes no arguments and no block.
func (*Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the directive's name
	if d.NextArg() || d.NextBlock(d.Nesting()) {
		return d.Err("mcp_auth_guard takes no matcher and no options: it covers every request of the site")
	}
	return nil
}

// Before returns the routes of a directive with the guard before them, and
// before the site's error routes too.
func Before(h httpcaddyfile.Helper, routes ...httpcaddyfile.ConfigValue) []httpcaddyfile.ConfigValue {
	guard := caddyhttp.Route{
		// Routes of one directive that have a matcher come before those without,
		// and error routes likewise. This one matches everything.
		MatcherSetsRaw: []caddy.ModuleMap{{"path": h.JSON(caddyhttp.MatchPath{"*"})}},
		HandlersRaw:    []json.RawMessage{caddyconfig.JSONModuleObject(new(Handler), "handler", "mcp_auth_guard", nil)},
	}
	values := append([]httpcaddyfile.ConfigValue{{Class: "route", Value: guard}}, routes...)
	if isNested(h) {
		return values
	}
	return append(values, httpcaddyfile.ConfigValue{
		Class: "error_route",
		Value: &caddyhttp.Subroute{Routes: caddyhttp.RouteList{guard}},
	})
}

// isNested reports whether the directive stands inside another one, such as handle.
// What is nested may consist of routes only: an error route belongs to the site.
func isNested(h httpcaddyfile.Helper) bool {
	// Caddy passes State as the BlockState of a site's own directives, and a copy to
	// those in a nested block: what is set there doesn't show in State.
	const key = "mcp_auth_guard.nested"
	if h.BlockState == nil {
		return true
	}
	h.BlockState[key] = true
	defer delete(h.BlockState, key)
	_, same := h.State[key]
	return !same
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Handler)(nil)
