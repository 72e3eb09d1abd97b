package caddymcpauth

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
)

// UnmarshalCaddyfile sets up the exchange from Caddyfile tokens. Syntax:
//
//	exchange {
//	    issuer        <url>
//	    endpoint      <url>
//	    client_id     <id>
//	    client_secret <secret>
//	    client_auth   client_secret_basic | client_secret_post | private_key_jwt
//	    private_key   <file>
//	    key_id        <kid>
//	    grant         token_exchange | on_behalf_of
//	    audience      <name>
//	    resource      <url>
//	    scopes        <scopes...>
//	    requested_token_type access_token | jwt | <uri>
//	    parameter     <name> <value>
//	}
func (x *Exchange) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the option's name
	if d.NextArg() {
		return d.Err("exchange takes a block, with at least client_id, client_secret, and audience, resource or scopes")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		known, err := x.Option(d)
		if !known {
			err = x.option(d)
		}
		if err != nil {
			return err
		}
	}
	if x.ClientID == "" {
		return d.Err("exchange needs a client_id: the front door is a client of its own at the authorization server")
	}
	return nil
}

func (x *Exchange) option(d *caddyfile.Dispenser) error {
	switch d.Val() {
	case "issuer":
		return option.Text(d, &x.Issuer)
	case "endpoint":
		return option.Text(d, &x.Endpoint)
	case "grant":
		return option.Text(d, &x.Grant)
	case "audience":
		return option.Text(d, &x.Audience)
	case "resource":
		return option.Text(d, &x.Resource)
	case "scopes":
		return option.Scopes(d, &x.Scopes)
	case "requested_token_type":
		return option.Text(d, &x.RequestedTokenType)
	case "parameter":
		var name, value string
		if !d.AllArgs(&name, &value) || value == "" {
			return d.Err("parameter takes a name and a value" + option.Unset)
		}
		if _, ok := x.Parameter[name]; ok {
			return d.Errf("parameter %s is given twice", name)
		}
		if x.Parameter == nil {
			x.Parameter = make(map[string]string)
		}
		x.Parameter[name] = value
		return nil
	}
	return d.Errf("unrecognized option of exchange: %s (known: issuer, endpoint, client_id, client_secret, client_auth, private_key, key_id, grant, audience, resource, scopes, requested_token_type, parameter)", d.Val())
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Exchange)(nil)
