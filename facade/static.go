package facade

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

func init() {
	caddy.RegisterModule(Static{})
}

// Static gives the same client identifier to every client whose redirect URIs are
// all registered with it. It is the identifier of a public client with PKCE,
// which the operator has registered at the server.
type Static struct {
	// The client identifier. Required.
	ClientID string `json:"client_id"`

	// The redirect URIs that are registered for it at the server, exactly as
	// there. A loopback URI without a port stands for any port; only use that if
	// the server does the same (RFC 8252, section 7.3). Required.
	RedirectURIs []string `json:"redirect_uris"`
}

// CaddyModule returns the Caddy module information.
func (Static) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.mcp_auth.registrars.static",
		New: func() caddy.Module { return new(Static) },
	}
}

// ClientRegistrar implements [Registrar].
func (s *Static) ClientRegistrar(RegistrarInfo) (ClientRegistrar, error) {
	if s.ClientID == "" {
		return nil, errors.New("the client identifier is missing: register a public client at the server, and write its identifier here")
	}
	if len(s.RedirectURIs) == 0 {
		return nil, errors.New("redirect_uris is missing: list the ones registered at the server")
	}
	for _, uri := range s.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil {
			return nil, fmt.Errorf("redirect URI %q is not a URI", uri)
		}
		if err := registration.CheckRedirectURI(uri, []string{u.Scheme}); err != nil {
			return nil, fmt.Errorf("redirect URI %q %w", uri, err)
		}
	}
	return s, nil
}

// Register implements [ClientRegistrar].
func (s *Static) Register(_ context.Context, m *ClientMetadata) (map[string]any, error) {
	// The client gets no secret, even if it requested one: every client would
	// have the same (section 2 lets a server replace what it doesn't support).
	answer := response(m, s.ClientID)
	answer["token_endpoint_auth_method"] = "none"
	return answer, nil
}

// SharedClientID implements [SharedClient].
func (s *Static) SharedClientID() string { return s.ClientID }

// AllowsRedirect implements [SharedClient].
func (s *Static) AllowsRedirect(uri string) bool {
	return slices.ContainsFunc(s.RedirectURIs, func(registered string) bool {
		return uri == registered || registration.WithoutPort(registered) == registered && registration.SameRedirectURI(registered, uri)
	})
}

// ListedRedirectURIs implements [RedirectLister].
func (s *Static) ListedRedirectURIs() []string { return s.RedirectURIs }

// response returns the beginning of a client information response: what the
// client requested, as far as it is supported.
func response(m *ClientMetadata, id string) map[string]any {
	answer := map[string]any{
		"client_id":      id,
		"redirect_uris":  m.RedirectURIs,
		"grant_types":    []string{"authorization_code", "refresh_token"},
		"response_types": []string{"code"},
	}
	if len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, "refresh_token") {
		answer["grant_types"] = []string{"authorization_code"}
	}
	if m.ClientName != "" {
		answer["client_name"] = m.ClientName
	}
	if m.ApplicationType != "" {
		answer["application_type"] = m.ApplicationType
	}
	return answer
}

// UnmarshalCaddyfile sets up the registrar from Caddyfile tokens. Syntax:
//
//	static <client_id> {
//	    redirect_uris <uris...>
//	}
func (s *Static) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the registrar's name
	if !d.AllArgs(&s.ClientID) || s.ClientID == "" {
		return d.Err("register static takes the client identifier that is registered at the server" + option.Unset)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "redirect_uris" {
			return d.Errf("unrecognized option of static: %s (known: redirect_uris)", d.Val())
		}
		if err := option.List(d, &s.RedirectURIs); err != nil {
			return err
		}
	}
	return nil
}

// Interface guards
var (
	_ Registrar             = (*Static)(nil)
	_ SharedClient          = (*Static)(nil)
	_ RedirectLister        = (*Static)(nil)
	_ caddyfile.Unmarshaler = (*Static)(nil)
)
