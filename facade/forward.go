package facade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/repair"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

func init() {
	caddy.RegisterModule(Forward{})
}

// Forward passes registrations on to the server's own endpoint, and adds what
// that lacks: a check of the redirect URIs, a limit, CORS. The server gets what
// was judged, and nothing else of the request.
type Forward struct{}

// CaddyModule returns the Caddy module information.
func (Forward) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.mcp_auth.registrars.forward",
		New: func() caddy.Module { return new(Forward) },
	}
}

// ClientRegistrar implements [Registrar].
func (Forward) ClientRegistrar(info RegistrarInfo) (ClientRegistrar, error) {
	return &forwarding{info}, nil
}

type forwarding struct{ info RegistrarInfo }

// ForwardsRegistration implements [Forwarder].
func (*forwarding) ForwardsRegistration() {}

// Register implements [ClientRegistrar].
func (f *forwarding) Register(ctx context.Context, m *ClientMetadata) (map[string]any, error) {
	endpoint, err := f.info.Endpoint(ctx, "registration_endpoint")
	if err != nil {
		return nil, unavailable(err)
	}
	body, err := f.request(m)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	got, err := outbound.Ask(f.info.Client, req, maxRegistrationAnswer)
	if err != nil {
		return nil, unavailable(fmt.Errorf("the registration endpoint: %w", err))
	}
	var answer map[string]any
	if json.Unmarshal(got.Body, &answer) != nil {
		answer = nil
	}
	switch id, _ := answer["client_id"].(string); {
	case (got.Status == http.StatusCreated || got.Status == http.StatusOK) && id != "":
		back := make(map[string]string)
		for from, to := range f.info.Scopes {
			back[to] = from
		}
		rename(answer, back)
		return repair.Registration(answer, m.RedirectURIs), nil
	case got.Status == http.StatusRequestTimeout, got.Status == http.StatusTooEarly, got.Status == http.StatusTooManyRequests:
	case got.Status/100 == 4:
		return nil, refusedBy(got.Status, answer)
	}
	return nil, unavailable(fmt.Errorf("the registration endpoint answered %d", got.Status))
}

// maxRegistrationAnswer bounds the response of a registration endpoint, in bytes.
const maxRegistrationAnswer = 4 * registration.MaxBody

// refusedBy returns the error for a client that the server refuses. It has the
// server's words, because they say which policy it was, and trying again doesn't
// help.
func refusedBy(status int, answer map[string]any) error {
	refused := &RefusedError{Code: "invalid_client_metadata", Description: "The authorization server refuses the registration."}
	code, _ := answer["error"].(string)
	if slices.Contains([]string{"invalid_redirect_uri", "invalid_client_metadata", "invalid_software_statement", "unapproved_software_statement"}, code) {
		refused.Code = code
	}
	said := fmt.Sprintf("the registration endpoint answered %d", status)
	words, _ := answer["error_description"].(string)
	if words = registration.Described(words); words == "" {
		words = registration.Described(code)
	}
	if words != "" {
		refused.Description = "The authorization server refuses the registration: " + words
		said += ": " + words
	}
	cure := ""
	switch status {
	case http.StatusUnauthorized:
		cure = "does it need an initial access token? Anonymous registration has to be allowed there"
	case http.StatusForbidden:
		cure = "its policy for anonymous registration refuses the client, or Caddy's address: check it there"
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		cure = "is that the registration endpoint? If not, write `metadata registration_endpoint <url>`"
	}
	if cure == "" {
		refused.Cause = errors.New(said)
	} else {
		refused.Cause = &OperatorError{Says: said, Cure: cure}
	}
	return refused
}

// request returns the request for the server: what was parsed and judged, and no
// other member of the client's request. Grants that don't use the authorization
// endpoint are left out (RFC 7591, section 2, lets a server replace what it
// doesn't support), and so are URLs that a server would fetch. Scopes have the
// server's names: clients register with those that they will request, and servers
// refuse unknown ones.
func (f *forwarding) request(m *ClientMetadata) ([]byte, error) {
	metadata := map[string]any{
		"redirect_uris":  m.RedirectURIs,
		"response_types": []string{"code"},
		"grant_types":    []string{"authorization_code"},
	}
	if len(m.GrantTypes) == 0 || slices.Contains(m.GrantTypes, "refresh_token") {
		metadata["grant_types"] = []string{"authorization_code", "refresh_token"}
	}
	switch m.TokenEndpointAuthMethod {
	case "":
	case "none", "client_secret_basic", "client_secret_post":
		metadata["token_endpoint_auth_method"] = m.TokenEndpointAuthMethod
	default:
		return nil, &RefusedError{
			Code:        "invalid_client_metadata",
			Description: "token_endpoint_auth_method must be none, client_secret_basic or client_secret_post.",
		}
	}
	if m.ApplicationType == "web" || m.ApplicationType == "native" {
		metadata["application_type"] = m.ApplicationType
	}
	for name, value := range map[string]string{"client_name": m.ClientName, "client_uri": m.ClientURI, "scope": m.Scope} {
		if value != "" {
			metadata[name] = value
		}
	}
	rename(metadata, f.info.Scopes)
	return json.Marshal(metadata)
}

// rename replaces names in the member scope.
func rename(metadata map[string]any, names map[string]string) {
	scope, _ := metadata["scope"].(string)
	if scope == "" || len(names) == 0 {
		return
	}
	list := strings.Fields(scope)
	for i, name := range list {
		if to, ok := names[name]; ok {
			list[i] = to
		}
	}
	metadata["scope"] = strings.Join(list, " ")
}

// UnmarshalCaddyfile sets up the registrar from Caddyfile tokens. Syntax:
//
//	forward
func (Forward) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the registrar's name
	if d.NextArg() || d.NextBlock(d.Nesting()) {
		return errors.New("register forward takes nothing: the endpoint comes from the server's metadata")
	}
	return nil
}

// Interface guards
var (
	_ Registrar             = (*Forward)(nil)
	_ Forwarder             = (*forwarding)(nil)
	_ caddyfile.Unmarshaler = (*Forward)(nil)
)
