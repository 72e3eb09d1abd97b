package facade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/registration"
)

func init() {
	caddy.RegisterModule(Forward{})
}

// Forward passes registrations on to the server's own endpoint, and adds what
// that lacks: the check of redirect URIs, a limit, CORS.
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

// Register implements [ClientRegistrar].
func (f *forwarding) Register(ctx context.Context, m *ClientMetadata) (map[string]any, error) {
	endpoint, err := f.info.Endpoint(ctx, "registration_endpoint")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	body, err := f.translated(m)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := f.info.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, registration.MaxBody*4))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		answer = nil
	}
	switch id, _ := answer["client_id"].(string); {
	case (resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusOK) && id != "":
		back := make(map[string]string)
		for from, to := range f.info.Scopes {
			back[to] = from
		}
		rename(answer, back)
		return answer, nil
	case resp.StatusCode == http.StatusBadRequest:
		// Fixed sentences: what the server writes is not ours to repeat.
		code, _ := answer["error"].(string)
		if code != "invalid_redirect_uri" {
			code = "invalid_client_metadata"
		}
		return nil, &RefusedError{Code: code, Description: "The authorization server doesn't take the client's metadata."}
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%w: its registration endpoint answered %d: does it need an initial access token, or allow no anonymous registration?", ErrUnavailable, resp.StatusCode)
	}
	return nil, fmt.Errorf("%w: its registration endpoint answered %d", ErrUnavailable, resp.StatusCode)
}

// translated returns the request without the redirect URIs that were left out,
// and with the scopes as the server knows them: clients register with those that
// they will ask for, and servers refuse unknown ones.
func (f *forwarding) translated(m *ClientMetadata) ([]byte, error) {
	var metadata map[string]any
	if err := json.Unmarshal(m.Raw, &metadata); err != nil {
		return nil, err // it was read before
	}
	metadata["redirect_uris"] = m.RedirectURIs
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
		return errors.New("register forward takes nothing: the endpoint is in the server's metadata")
	}
	return nil
}

// Interface guards
var (
	_ Registrar             = (*Forward)(nil)
	_ caddyfile.Unmarshaler = (*Forward)(nil)
)
