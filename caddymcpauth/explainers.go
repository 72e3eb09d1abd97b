package caddymcpauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// loadExplainers provisions a configuration's handlers, or only those of one
// resource if only is not empty. It provisions nothing else, because the user of
// the command may not have access to the server's certificates and logs. The
// caller must call the returned function when done.
func loadExplainers(config []byte, only string) ([]explainer, context.CancelFunc, error) {
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, nil, fmt.Errorf("reading the configuration: %w", err)
	}
	base, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "WARN"}}}},
		AppsRaw: caddy.ModuleMap{"events": json.RawMessage(`{}`)},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("provisioning a context: %w", err)
	}
	ctx, cancel := caddy.NewContext(base)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	var list []explainer
	var resources []string
	for _, raw := range findHandlers(doc) {
		var e explainer
		var module any
		if module, err = ctx.LoadModuleByID("http.handlers.mcp_auth", raw); err != nil {
			return nil, nil, fmt.Errorf("provisioning mcp_auth: %w", err)
		}
		e.Handler = module.(*Handler)
		if e.verifiers, err = verifierNames(raw); err != nil {
			return nil, nil, err
		}
		if e.request, err = http.NewRequest(http.MethodPost, e.resource.String(), nil); err != nil {
			return nil, nil, err
		}
		e.findings, e.broken = layoutIn(ctx, config, e.Handler)
		resources = append(resources, e.Resource)
		if only != "" && !resource.Same(only, e.Resource) {
			continue
		}
		if e.isMetadata(e.request) || e.isLegacyMetadata(e.request) {
			err = fmt.Errorf("metadata is served at %s itself, so no request needs a token there: give the resource another path", e.Resource)
			return nil, nil, err
		}
		list = append(list, e)
	}
	switch {
	case len(resources) == 0:
		err = errors.New("the configuration has no mcp_auth")
	case len(list) == 0:
		err = fmt.Errorf("the configuration has no mcp_auth for %q, only for %q", only, resources)
	}
	if err != nil {
		return nil, nil, err
	}
	return list, cancel, nil
}

// layoutIn checks where a handler stands in a configuration. It sets up only the
// configuration's matchers.
func layoutIn(ctx caddy.Context, config []byte, h *Handler) ([]layoutFinding, error) {
	var parsed struct {
		Apps struct {
			HTTP struct {
				Servers map[string]json.RawMessage `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if json.Unmarshal(config, &parsed) != nil {
		return nil, nil
	}
	var findings []layoutFinding
	for _, name := range slices.Sorted(maps.Keys(parsed.Apps.HTTP.Servers)) {
		server := new(caddyhttp.Server)
		if json.Unmarshal(parsed.Apps.HTTP.Servers[name], server) != nil {
			continue
		}
		tree, err := routing.New(ctx, server)
		if err != nil {
			continue // Caddy itself will say what is wrong with the routes
		}
		found, err := h.layout(tree)
		if err != nil {
			return nil, err
		}
		findings = append(findings, found...)
	}
	return findings, nil
}

// findHandlers returns the different mcp_auth handlers in a configuration,
// wherever they are: in routes, subroutes, named routes, other handlers.
func findHandlers(doc any) (found []json.RawMessage) {
	switch v := doc.(type) {
	case map[string]any:
		if v["handler"] == "mcp_auth" {
			delete(v, "handler") // as Caddy does before it loads the module
			if raw, err := json.Marshal(v); err == nil {
				found = append(found, raw)
			}
			return found
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			found = append(found, findHandlers(v[key])...)
		}
	case []any:
		for _, elem := range v {
			found = append(found, findHandlers(elem)...)
		}
	}
	var different []json.RawMessage
	for _, raw := range found {
		if !slices.ContainsFunc(different, func(other json.RawMessage) bool { return bytes.Equal(raw, other) }) {
			different = append(different, raw)
		}
	}
	return different
}

func verifierNames(handler json.RawMessage) ([][]string, error) {
	var settings struct {
		Issuers []struct {
			Verifiers []struct {
				Verifier string `json:"verifier"`
			} `json:"verifiers"`
		} `json:"issuers"`
	}
	if err := json.Unmarshal(handler, &settings); err != nil {
		return nil, err
	}
	var names [][]string
	for _, iss := range settings.Issuers {
		var list []string
		for _, v := range iss.Verifiers {
			list = append(list, v.Verifier)
		}
		if len(list) == 0 {
			list = []string{"jwt"}
		}
		names = append(names, list)
	}
	return names, nil
}
