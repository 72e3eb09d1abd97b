package authserver

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
)

func init() {
	httpcaddyfile.RegisterDirective("mcp_auth_server", parseCaddyfile)
	// Before mcp_auth, which stands before basicauth: signing in must not need a
	// token, even where mcp_auth protects the whole site. The order of the two
	// registrations doesn't matter: both end up between try_files and basicauth, in
	// this order.
	httpcaddyfile.RegisterDirectiveOrder("mcp_auth_server", httpcaddyfile.After, "try_files")
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
//	mcp_auth_server <issuer> {
//	    resource <urls...>
//	    scopes   <names...> | {
//	        <name> [<description>]
//	    }
//	    users [<hash algorithm>] {
//	        <user name> <hashed password> [<full name> [<email address>]]
//	    }
//	    upstream oidc <issuer> | github {
//	        client_id     <id>
//	        client_secret <secret>
//	        allow         email|org|group|user|subject <values...> | claim <name> <values...> | anybody
//	        groups        * | <organizations...>
//	        name          <name>
//	        label         <label>
//	        scopes        <names...>
//	        base_url      <url>
//	        api_url       <url>
//	        enterprise
//	    }
//	    access_token_lifetime  <duration>
//	    refresh_token_lifetime <duration>
//	    refresh_token_grace    <duration> | off
//	    session_lifetime       <duration>
//	    dpop                   off | accepted | required [{ nonce }]
//	    client_certificates
//	    registration           open | redirect_uris <uris...> | off
//	    private_schemes        <schemes...>
//	    clients {
//	        <id> {
//	            name          <name>
//	            redirect_uris <uris...>
//	            secret        <secret>
//	            jwks          <JSON Web Key Set>
//	            jwks_uri      <url>
//	            scopes        <names...>
//	            client_credentials
//	            token_exchange
//	            introspection
//	        }
//	    }
//	    client_documents off | {
//	        trusted_roots <file>
//	        proxy         <url> | off
//	        insecure_allow_private
//	    }
//	    secret <secret>
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the directive's name
	args := d.RemainingArgs()
	if len(args) > 0 && (strings.HasPrefix(args[0], "/") || strings.HasPrefix(args[0], "@") || args[0] == "*") {
		return d.Err("mcp_auth_server takes no matcher: it only answers at its own addresses")
	}
	if len(args) != 1 || args[0] == "" {
		return d.Err("mcp_auth_server takes its issuer identifier, which is the address of this site, for example https://mcp.example.com" + option.Unset)
	}
	h.Issuer = args[0]
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalOption(d); err != nil {
			return err
		}
	}
	switch {
	case len(h.Resources) == 0:
		return d.Err("mcp_auth_server needs at least one `resource <url>`: the MCP server that tokens are for, written as in mcp_auth")
	case len(h.Scopes) == 0:
		return d.Err("mcp_auth_server needs `scopes`: what clients can be allowed to do, for example mcp:tools")
	}
	return nil
}

func (h *Handler) unmarshalOption(d *caddyfile.Dispenser) error {
	switch word := d.Val(); word {
	case "resource":
		return option.List(d, &h.Resources)
	case "scopes":
		return h.unmarshalScopes(d)
	case "users":
		return h.unmarshalUsers(d)
	case "upstream":
		return h.unmarshalUpstream(d)
	case "clients":
		return h.unmarshalClients(d)
	case "registration":
		return h.unmarshalRegistration(d)
	case "private_schemes":
		return option.List(d, &h.registration().PrivateSchemes)
	case "client_documents":
		return h.unmarshalDocuments(d)
	case "access_token_lifetime":
		return option.Duration(d, &h.AccessTokenLifetime)
	case "refresh_token_lifetime":
		return option.Duration(d, &h.RefreshTokenLifetime)
	case "refresh_token_grace":
		return h.unmarshalGrace(d)
	case "session_lifetime":
		return option.Duration(d, &h.SessionLifetime)
	case "dpop":
		return option.ReadDPoP(d, &h.DPoP)
	case "client_certificates":
		return option.Flag(d, &h.ClientCertificates)
	case "secret":
		return option.Text(d, &h.Secret)
	default:
		return d.Errf("unrecognized option of mcp_auth_server: %s (known: resource, scopes, users, upstream, clients, registration, private_schemes, "+
			"client_documents, access_token_lifetime, refresh_token_lifetime, refresh_token_grace, session_lifetime, dpop, client_certificates, secret)", word)
	}
}

// unmarshalGrace reads refresh_token_grace, which may be off.
func (h *Handler) unmarshalGrace(d *caddyfile.Dispenser) error {
	if d.CountRemainingArgs() == 1 && h.RefreshTokenGrace == 0 {
		d.NextArg()
		if d.Val() == "off" {
			h.RefreshTokenGrace = -1
			return nil
		}
		d.Prev()
	}
	return option.Duration(d, &h.RefreshTokenGrace)
}

func (h *Handler) unmarshalScopes(d *caddyfile.Dispenser) error {
	if len(h.Scopes) > 0 {
		return d.Err("scopes is given twice: list everything in one place")
	}
	args := d.RemainingArgs()
	for _, name := range args {
		h.Scopes = append(h.Scopes, Scope{Name: name})
	}
	block := false
	for nesting := d.Nesting(); d.NextBlock(nesting); block = true {
		scope := Scope{Name: d.Val()}
		d.Args(&scope.Description)
		if d.NextArg() {
			return d.Errf("write the description of %s in quotes", scope.Name)
		}
		h.Scopes = append(h.Scopes, scope)
	}
	if len(args) == 0 && !block {
		return d.Err("scopes takes scope names, or a block with a name and its description on each line" + option.Unset)
	}
	for _, scope := range h.Scopes {
		if strings.Contains(scope.Name, ",") {
			return d.Errf("scopes: separate scopes by spaces, not commas: %q", scope.Name)
		}
	}
	return nil
}

func (h *Handler) unmarshalUsers(d *caddyfile.Dispenser) error {
	const usage = "users takes a block, with a user name, a password hashed by `caddy hash-password`, a full name and an email address on each line"
	var hash json.RawMessage
	if d.NextArg() {
		hash = hashModule(d.Val())
		if _, err := caddy.GetModule(hashNamespace + "." + d.Val()); err != nil {
			return d.Errf("there is no hash algorithm %s (known: %s); %s", d.Val(), strings.Join(knownHashes(), ", "), usage)
		}
		if d.NextArg() {
			return d.Err(usage)
		}
	}
	if slices.ContainsFunc(h.Users, func(u *User) bool { return string(u.HashRaw) == string(hash) }) {
		return d.Err("users is given twice: write all users in one block")
	}
	before := len(h.Users)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		user := &User{Username: d.Val(), HashRaw: hash}
		args := d.RemainingArgs()
		switch len(args) {
		case 3:
			user.Email = args[2]
			fallthrough
		case 2:
			user.Name = args[1]
			fallthrough
		case 1:
			user.Password = args[0]
		default:
			return d.Errf("user %s: write the hashed password, then optionally a full name in quotes and an email address", user.Username)
		}
		h.Users = append(h.Users, user)
	}
	if len(h.Users) == before {
		return d.Err("users is empty")
	}
	return nil
}

// hashNamespace is the namespace of the modules that compare passwords.
const hashNamespace = "http.authentication.hashes"

func knownHashes() []string {
	var names []string
	for _, info := range caddy.GetModules(hashNamespace) {
		names = append(names, info.ID.Name())
	}
	return names
}

func (h *Handler) unmarshalUpstream(d *caddyfile.Dispenser) error {
	u := new(Upstream)
	if !d.Args(&u.Type) {
		return d.Err("upstream takes oidc and the issuer's URL, or github")
	}
	switch args := d.RemainingArgs(); {
	case u.Type == "oidc" && len(args) == 1:
		u.Issuer = args[0]
	case u.Type == "github" && len(args) == 0:
	default:
		return d.Errf("upstream takes a type: `upstream oidc <issuer>` or `upstream github`")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch word := d.Val(); word {
		case "client_id":
			err = option.Text(d, &u.ClientID)
		case "client_secret":
			err = option.Text(d, &u.ClientSecret)
		case "name":
			err = option.Text(d, &u.Name)
		case "label":
			err = option.Text(d, &u.Label)
		case "scopes":
			err = option.Scopes(d, &u.Scopes)
		case "base_url":
			err = option.Text(d, &u.BaseURL)
		case "api_url":
			err = option.Text(d, &u.APIURL)
		case "groups":
			err = option.List(d, &u.Groups)
		case "allow":
			err = u.unmarshalAllow(d)
		case "enterprise":
			err = option.Flag(d, &u.Enterprise)
		default:
			err = d.Errf("unrecognized option of upstream: %s (known: client_id, client_secret, allow, groups, name, label, scopes, base_url, api_url, enterprise)", word)
		}
		if err != nil {
			return err
		}
	}
	h.Upstreams = append(h.Upstreams, u)
	return nil
}

func (u *Upstream) unmarshalAllow(d *caddyfile.Dispenser) error {
	var rule AllowRule
	if !d.Args(&rule.Kind) {
		return d.Err("allow takes who may sign in: `email *@example.com`, `org acme`, `group staff`, `user ada`, `subject 583231`, `claim <name> <values...>`, or `anybody`")
	}
	if rule.Kind == "claim" && !d.Args(&rule.Claim) {
		return d.Err("allow claim takes the claim's name and values")
	}
	rule.Values = d.RemainingArgs()
	u.Allow = append(u.Allow, rule)
	return nil
}

// registration returns the configuration of registration, and makes an empty one
// if there is none yet.
func (h *Handler) registration() *Registration {
	if h.Registration == nil {
		h.Registration = new(Registration)
	}
	return h.Registration
}

func (h *Handler) unmarshalRegistration(d *caddyfile.Dispenser) error {
	var mode string
	if !d.Args(&mode) {
		return d.Err("registration is open, off, or redirect_uris and a list of URIs")
	}
	r := h.registration()
	if h.registrationSaid {
		return d.Err("registration is given twice: keep one")
	}
	h.registrationSaid = true
	switch mode {
	case "open", "off":
		if d.NextArg() {
			return d.Errf("registration %s takes no further values", mode)
		}
		r.Off = mode == "off"
		return nil
	case "redirect_uris":
		return option.List(d, &r.RedirectURIs)
	}
	return d.Errf("registration is open, off, or redirect_uris and a list of URIs, not %s", mode)
}

func (h *Handler) unmarshalDocuments(d *caddyfile.Dispenser) error {
	if h.ClientDocuments != nil {
		return d.Err("client_documents is given twice")
	}
	c := new(ClientDocuments)
	h.ClientDocuments = c
	if d.NextArg() {
		if d.Val() != "off" || d.NextArg() {
			return d.Err("client_documents takes off, or a block")
		}
		c.Off = true
		return nil
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch word := d.Val(); word {
		case "trusted_roots":
			err = option.Text(d, &c.TrustedRoots)
		case "proxy":
			err = option.Text(d, &c.Proxy)
		case "insecure_allow_private":
			err = option.Flag(d, &c.InsecureAllowPrivate)
		default:
			err = d.Errf("unrecognized option of client_documents: %s (known: trusted_roots, proxy, insecure_allow_private)", word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Handler)(nil)
