package facade

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

func init() {
	httpcaddyfile.RegisterDirective("mcp_auth_facade", parseCaddyfile)
	// At the place of mcp_auth_server, for the same reason: before any handler
	// that asks for credentials.
	httpcaddyfile.RegisterDirectiveOrder("mcp_auth_facade", httpcaddyfile.After, "try_files")
}

// parseCaddyfile sets up the handler for every request of the site. It refuses a
// matcher.
func parseCaddyfile(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return guard.Before(h, h.NewRoute(nil, handler)...), nil
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	mcp_auth_facade <issuer> {
//	    preset     <name>
//	    upstream   <url>
//	    discovery  <url> | off
//	    metadata   <field> <value...>
//	    remove     <fields...>
//	    register   static <client_id> { ... } | logto { ... } | forward
//	    private_schemes <schemes...>
//	    strip      <parameters...>
//	    add        <parameter> <value>
//	    scope      map <from> <to>
//	    consent    upstream
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the directive's name
	args := d.RemainingArgs()
	if len(args) > 0 && (strings.HasPrefix(args[0], "/") || strings.HasPrefix(args[0], "@") || args[0] == "*") {
		return d.Err("mcp_auth_facade takes no matcher: it passes on requests that are not for it")
	}
	if len(args) != 1 || args[0] == "" {
		return d.Err("mcp_auth_facade takes the issuer identifier that clients see: the authorization server's own, for example https://auth.example.com/o" + option.Unset)
	}
	h.Issuer = args[0]
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalOption(d); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) unmarshalOption(d *caddyfile.Dispenser) error {
	switch word := d.Val(); word {
	case "preset":
		return option.Text(d, &h.Preset)
	case "upstream":
		return option.Text(d, &h.Upstream)
	case "discovery":
		return option.Text(d, &h.Discovery)
	case "metadata":
		return h.unmarshalMetadata(d)
	case "remove":
		return option.List(d, &h.Remove)
	case "register":
		return h.unmarshalRegister(d)
	case "private_schemes":
		return option.List(d, &h.PrivateSchemes)
	case "strip":
		return option.List(d, &h.Strip)
	case "add":
		return pair(d, &h.Add, "add takes a parameter and its value, as in `add audience https://api.example.com`")
	case "scope":
		var word string
		if !d.Args(&word) || word != "map" {
			return d.Err("scope takes `map`, the scope that clients use, and what the server calls it")
		}
		return pair(d, &h.Scopes, "scope map takes the scope that clients use, and what the server calls it")
	case "consent":
		if h.Consent != "" {
			return option.Twice(d, "consent")
		}
		if err := option.Text(d, &h.Consent); err != nil || h.Consent != consentUpstream {
			return d.Err("consent takes `upstream`: the server behind asks its users for consent per client. Without it the facade asks, where clients share an identifier")
		}
		return nil
	default:
		return d.Errf("unrecognized option of mcp_auth_facade: %s (known: preset, upstream, discovery, metadata, remove, register, private_schemes, strip, add, scope, consent)", word)
	}
}

func (h *Handler) unmarshalMetadata(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 || slices.Contains(args, "") {
		return d.Err("metadata takes a field and its value or values" + option.Unset)
	}
	name, values := args[0], args[1:]
	if name == "issuer" {
		return d.Errf("metadata: %s is set by the directive itself", name)
	}
	if _, twice := h.Metadata[name]; twice {
		return d.Errf("metadata %s is given twice: list all values in one line", name)
	}
	if h.Metadata == nil {
		h.Metadata = make(map[string]any)
	}
	value, err := discovery.ParseField(name, values)
	if err != nil {
		return d.WrapErr(err)
	}
	h.Metadata[name] = value
	return nil
}

func (h *Handler) unmarshalRegister(d *caddyfile.Dispenser) error {
	if h.RegistrarRaw != nil {
		return option.Twice(d, "register")
	}
	if !d.NextArg() {
		return d.Err("register takes a registrar: `static <client_id>`, `logto`, or `forward`")
	}
	name := d.Val()
	if _, err := caddy.GetModule("http.mcp_auth.registrars." + name); err != nil {
		return d.Errf("there is no registrar %s (known: %s)", name, strings.Join(option.Modules("http.mcp_auth.registrars"), ", "))
	}
	module, err := caddyfile.UnmarshalModule(d, "http.mcp_auth.registrars."+name)
	if err != nil {
		return err
	}
	h.RegistrarRaw = caddyconfig.JSONModuleObject(module, "registrar", name, nil)
	return nil
}

// pair reads a name and its value.
func pair(d *caddyfile.Dispenser, to *map[string]string, usage string) error {
	args := d.RemainingArgs()
	if len(args) != 2 || args[0] == "" || args[1] == "" {
		return d.Err(usage)
	}
	if _, twice := (*to)[args[0]]; twice {
		return d.Errf("%s is given twice", args[0])
	}
	if *to == nil {
		*to = make(map[string]string)
	}
	(*to)[args[0]] = args[1]
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Handler)(nil)
