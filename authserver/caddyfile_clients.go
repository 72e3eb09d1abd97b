package authserver

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
)

func (h *Handler) unmarshalClients(d *caddyfile.Dispenser) error {
	if len(h.Clients) > 0 {
		return d.Err("clients is given twice: write all clients in one block")
	}
	if d.NextArg() {
		return d.Err("clients takes a block, with a client identifier on each line followed by a block of its own")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		c := &Client{ID: d.Val()}
		if d.NextArg() {
			return d.Errf("client %s takes a block", c.ID)
		}
		for nesting := d.Nesting(); d.NextBlock(nesting); {
			var err error
			switch word := d.Val(); word {
			case "name":
				err = option.Text(d, &c.Name)
			case "redirect_uris":
				err = option.List(d, &c.RedirectURIs)
			case "secret":
				err = option.Text(d, &c.Secret)
			case "jwks":
				err = c.unmarshalKeys(d)
			case "jwks_uri":
				err = option.Text(d, &c.JWKSURI)
			case "scopes":
				err = option.Scopes(d, &c.Scopes)
			case "client_credentials":
				err = option.Flag(d, &c.ClientCredentials)
			case "token_exchange":
				err = option.Flag(d, &c.TokenExchange)
			case "introspection":
				err = option.Flag(d, &c.Introspection)
			default:
				err = d.Errf("unrecognized option of a client: %s (known: name, redirect_uris, secret, jwks, jwks_uri, scopes, client_credentials, token_exchange, introspection)", word)
			}
			if err != nil {
				return err
			}
		}
		h.Clients = append(h.Clients, c)
	}
	return nil
}

// unmarshalKeys reads jwks.
func (c *Client) unmarshalKeys(d *caddyfile.Dispenser) error {
	var text string
	if len(c.JWKS) > 0 {
		return option.Twice(d, "jwks")
	}
	if err := option.Text(d, &text); err != nil {
		return err
	}
	if !json.Valid([]byte(text)) {
		return d.Errf("jwks of client %s is not JSON: write the JSON Web Key Set with the public keys in backquotes, `{\"keys\": [...]}`", c.ID)
	}
	c.JWKS = json.RawMessage(text)
	return nil
}
