package caddymcpauth

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/assertion"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

func init() {
	httpcaddyfile.RegisterDirective("mcp_auth", parseDirective)
	// Before every other handler that asks for credentials, because the metadata
	// must be public. basicauth is basic_auth's older name and comes first.
	httpcaddyfile.RegisterDirectiveOrder("mcp_auth", httpcaddyfile.Before, "basicauth")
}

// parseDirective sets up the front door from the mcp_auth directive. Syntax:
//
//	mcp_auth [<matcher>] <resource> {
//	    issuer <url> [{
//	        <verifier> [{ ... }]
//	        discovery <url> | off
//	        metadata  <field> <value...>
//	        audience  <audiences...>
//	        cache     off | { ... }
//	    }]
//	    scopes           <scopes...>
//	    scopes_supported <scopes...>
//	    offer            <scopes...>
//	    scope_implies    <scope> <scopes...>
//	    metadata         <field> <value...>
//	    legacy_metadata
//	    origins          <origins...>
//	    header           <name> <value>
//	    assertion        { ... }
//	    exchange         { ... }
//	    forward_token
//	    dpop             off | accepted | required [{ nonce }]
//	    client_certificates
//	    landing          off
//	    sessions         bound | off
//	    require          <conditions>
//	    tools            <names...> [need <conditions>] [when <expression>] | nobody | anonymous
//	    prompts          ...
//	    resources        ...
//	    methods          ...
//	    anonymous
//	    refuse           challenge | error | result [for <user agents...>]
//	    security_schemes
//	    max_body         <size>
//	}
//
// It expands to one route with two matcher sets: the given one, and the metadata's
// path, so that the metadata is served even if the matcher excludes it. The guard
// is added before this route and before the site's error routes.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	paths, err := matcherPaths(h.Dispenser, matcher)
	if err != nil {
		return nil, err
	}
	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	id, err := parseResource(handler.Resource)
	if err != nil {
		return nil, h.Errf("resource: %v", err)
	}
	if err := checkExact(h.Dispenser, paths); err != nil {
		return nil, err
	}
	if err := checkBelow(h.Dispenser, paths, id); err != nil {
		return nil, err
	}
	warnUncovered(h.Dispenser, paths, id)
	warnNarrow(h.Dispenser, matcher)
	route := caddyhttp.Route{
		HandlersRaw: []json.RawMessage{caddyconfig.JSONModuleObject(handler, "handler", "mcp_auth", nil)},
	}
	if matcher != nil {
		route.MatcherSetsRaw = []caddy.ModuleMap{
			matcher,
			{"path": h.JSON(handler.metadataPaths(id))},
		}
	}
	return guard.Before(h, httpcaddyfile.ConfigValue{Class: "route", Value: route}), nil
}

// metadataPaths matches the requests for metadata.
func (h *Handler) metadataPaths(id resource.Identifier) caddyhttp.MatchPath {
	paths := caddyhttp.MatchPath{id.MetadataPath(), id.MetadataPath() + "/"}
	if h.LegacyMetadata {
		paths = append(paths, legacyMetadataPath)
	}
	if h.Assertion != nil {
		paths = append(paths, assertion.KeysPath)
	}
	return paths
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens, without a
// matcher. The syntax is that of the directive.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the directive's name
	args := d.RemainingArgs()
	switch {
	case len(args) == 0 || len(args) == 1 && args[0] == "":
		return d.Err("mcp_auth takes the URL of the MCP server as clients use it, for example https://mcp.example.com/mcp" + option.Unset)
	case len(args) > 1:
		return d.Errf("mcp_auth takes the URL of the MCP server as clients use it, and nothing after it: what is %q? A matcher comes first, and begins with / or @", args[1])
	}
	h.Resource = args[0]
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalOption(d); err != nil {
			return err
		}
	}
	if len(h.Issuers) == 0 {
		return d.Err("mcp_auth needs at least one `issuer <url>`: the authorization server whose tokens are accepted")
	}
	return nil
}

func (h *Handler) unmarshalOption(d *caddyfile.Dispenser) error {
	switch d.Val() {
	case "issuer":
		iss := new(Issuer)
		if err := iss.UnmarshalCaddyfile(d.NewFromNextSegment()); err != nil {
			return err
		}
		h.Issuers = append(h.Issuers, iss)
		return nil
	case "scopes":
		return option.Scopes(d, &h.Scopes)
	case "scopes_supported":
		return option.Scopes(d, &h.ScopesSupported)
	case "offer":
		return option.Scopes(d, &h.Offer)
	case "origins":
		return option.List(d, &h.Origins)
	case "metadata":
		return metadataOption(d, &h.Metadata, resource.ParseField)
	case "scope_implies":
		args := d.RemainingArgs()
		if len(args) < 2 {
			return d.Err("scope_implies takes a scope and the scopes that it includes")
		}
		if _, ok := h.ScopeImplies[args[0]]; ok {
			return d.Errf("scope_implies %s is given twice: list all its scopes in one line", args[0])
		}
		if h.ScopeImplies == nil {
			h.ScopeImplies = make(map[string][]string)
		}
		h.ScopeImplies[args[0]] = args[1:]
		return nil
	case "header":
		var name, value string
		if !d.AllArgs(&name, &value) || value == "" {
			return d.Err("header takes a name and a value, for example: header X-User {http.auth.user.id}" + option.Unset)
		}
		if _, ok := h.Header[name]; ok {
			return d.Errf("header %s is given twice", name)
		}
		if h.Header == nil {
			h.Header = make(map[string]string)
		}
		h.Header[name] = value
		return nil
	case "legacy_metadata":
		return option.Flag(d, &h.LegacyMetadata)
	case "assertion":
		if h.Assertion != nil {
			return option.Twice(d, "assertion")
		}
		h.Assertion = new(Assertion)
		return h.Assertion.UnmarshalCaddyfile(d.NewFromNextSegment())
	case "exchange":
		if h.Exchange != nil {
			return option.Twice(d, "exchange")
		}
		h.Exchange = new(Exchange)
		return h.Exchange.UnmarshalCaddyfile(d.NewFromNextSegment())
	case "forward_token":
		return option.Flag(d, &h.ForwardToken)
	case "client_certificates":
		return option.Flag(d, &h.ClientCertificates)
	case "dpop":
		return option.ReadDPoP(d, &h.DPoP)
	case "landing":
		if h.Landing != "" {
			return d.Err("landing is given twice")
		}
		if !d.AllArgs(&h.Landing) || h.Landing != landingOff {
			return d.Err("landing takes `off`: the page for browsers is on without it")
		}
		return nil
	case "sessions":
		return h.sessionsOption(d)
	default:
		if known, err := h.policyOption(d); known {
			return err
		}
		return d.Errf("unrecognized option of mcp_auth: %s (known: issuer, scopes, scopes_supported, offer, scope_implies, metadata, legacy_metadata, origins, header, assertion, exchange, forward_token, landing, dpop, client_certificates, sessions, require, tools, prompts, resources, methods, anonymous, refuse, security_schemes, max_body)", d.Val())
	}
}

const verifierNamespace = "http.mcp_auth.verifiers"

// UnmarshalCaddyfile sets up the issuer from Caddyfile tokens. Syntax:
//
//	issuer <url> [{
//	    <verifier> [{ ... }]
//	    discovery <url> | off
//	    metadata  <field> <value...>
//	    audience  <audiences...>
//	    cache     off | { ... }
//	}]
func (iss *Issuer) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the option's name
	if !d.AllArgs(&iss.Issuer) || iss.Issuer == "" {
		return d.Err("issuer takes one URL: the authorization server's issuer identifier, exactly as in its metadata" + option.Unset)
	}
	if !strings.Contains(iss.Issuer, "{") {
		if err := checkIssuer(iss.Issuer); err != nil {
			return d.Errf("issuer: %v", err)
		}
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch word := d.Val(); word {
		case "discovery":
			if iss.Discovery != "" {
				return d.Err("discovery is given twice")
			}
			if !d.AllArgs(&iss.Discovery) || iss.Discovery == "" {
				return d.Err("discovery takes the URL of a metadata document, or off" + option.Unset)
			}
		case "audience":
			if err := option.List(d, &iss.Audience); err != nil {
				return err
			}
		case "cache":
			if iss.Cache != nil {
				return d.Err("cache is given twice")
			}
			iss.Cache = new(Cache)
			if err := iss.Cache.UnmarshalCaddyfile(d.NewFromNextSegment()); err != nil {
				return err
			}
		case "metadata":
			if err := metadataOption(d, &iss.Metadata, discovery.ParseField); err != nil {
				return err
			}
		default:
			id := verifierNamespace + "." + word
			if _, err := caddy.GetModule(id); err != nil {
				return d.Errf("%s is neither an option of issuer (discovery, metadata, audience, cache) nor the name of a verifier (%s)", word, strings.Join(option.Modules(verifierNamespace), ", "))
			}
			module, err := caddyfile.UnmarshalModule(d, id)
			if err != nil {
				return err
			}
			raw := caddyconfig.JSONModuleObject(module, "verifier", word, nil)
			if slices.ContainsFunc(iss.VerifiersRaw, func(other json.RawMessage) bool { return bytes.Equal(other, raw) }) {
				return option.Twice(d, word)
			}
			iss.VerifiersRaw = append(iss.VerifiersRaw, raw)
		}
	}
	return nil
}

// metadataOption reads `metadata <field> <value...>`.
func metadataOption(d *caddyfile.Dispenser, fields *map[string]any, parse func(string, []string) (any, error)) error {
	args := d.RemainingArgs()
	if len(args) < 2 || slices.Contains(args, "") {
		return d.Err("metadata takes a field and its value, for example: metadata resource_name \"My server\"" + option.Unset)
	}
	value, err := parse(args[0], args[1:])
	if err != nil {
		return d.WrapErr(err)
	}
	if _, ok := (*fields)[args[0]]; ok {
		return d.Errf("metadata %s is given twice", args[0])
	}
	if *fields == nil {
		*fields = make(map[string]any)
	}
	(*fields)[args[0]] = value
	return nil
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*Handler)(nil)
	_ caddyfile.Unmarshaler = (*Issuer)(nil)
)
