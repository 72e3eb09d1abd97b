package whoami

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterDirective("mcp_whoami", parseCaddyfile)
	// mcp_whoami responds, like the directives around it, and its matcher is
	// usually the narrower one.
	httpcaddyfile.RegisterDirectiveOrder("mcp_whoami", httpcaddyfile.Before, "reverse_proxy")
}

// parseCaddyfile sets up the handler from Caddyfile tokens, behind the matcher if
// there is one.
func parseCaddyfile(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // consume directive name

	var path string // of an inline path matcher
	if h.NextArg() && strings.HasPrefix(h.Val(), "/") {
		path = h.Val()
	}
	h.Reset()
	h.Next()

	matcherSet, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}

	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}

	if path != "" && handler.SSE != "" && outOfReach(path, handler.SSE) {
		return nil, h.Errf("sse %s is unreachable: the matcher %s matches no request for it; "+
			"use a named matcher such as `@mcp path %[2]s %[1]s`", handler.SSE, path)
	}
	return h.NewRoute(matcherSet, handler), nil
}

// outOfReach reports whether the inline path matcher can't match the path sse.
// That is a common mistake, and hard to find from the 404 that clients get. It
// reports false for patterns that depend on the request.
func outOfReach(matcher, sse string) bool {
	matcher, sse = strings.ToLower(matcher), strings.ToLower(sse) // as Caddy compares them
	prefix, isPrefix := strings.CutSuffix(matcher, "*")
	if strings.ContainsAny(prefix, "*%{") || strings.Contains(sse, "{") {
		return false
	}
	return !(isPrefix && strings.HasPrefix(sse, prefix)) && sse != prefix
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	mcp_whoami [<matcher>] {
//		name <server name>   # default: caddy-mcp-whoami
//		sse  <path>          # HTTP+SSE transport of 2024-11-05; default: off
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name

	if d.NextArg() {
		return d.Errf("unexpected argument %q: mcp_whoami takes a matcher, which begins with / or @, and a block", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		var value *string
		var example string
		switch option {
		case "name":
			value, example = &h.Name, "name my-server"
		case "sse":
			value, example = &h.SSE, "sse /sse"
		default:
			return d.Errf("unrecognized mcp_whoami option %q: use name or sse", option)
		}
		if *value != "" {
			return d.Errf("%s is given twice: keep one", option)
		}
		if !d.AllArgs(value) || *value == "" {
			return d.Errf("%s takes exactly one value, as in `%s`", option, example)
		}
		if d.NextBlock(d.Nesting()) {
			return d.Errf("%s takes no block", option)
		}
	}
	return nil
}
