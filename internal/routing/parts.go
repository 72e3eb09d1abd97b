package routing

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Part is a handler of a route: JSON, or a module once that is provisioned.
type Part struct {
	// Name is the module's name, without http.handlers.
	Name string
	// Module is nil where there is only JSON.
	Module caddyhttp.MiddlewareHandler
	// Routes are the routes of a subroute, followed by its error routes if it has
	// any. They are nil for every other handler.
	Routes []caddyhttp.RouteList
	// Invokes is the name of the route that it invokes; empty for most.
	Invokes string

	raw json.RawMessage
}

// Parts returns the handlers of a route.
func Parts(route caddyhttp.Route) ([]Part, error) {
	parts := make([]Part, 0, len(route.HandlersRaw)+len(route.Handlers))
	for _, raw := range route.HandlersRaw {
		p := Part{raw: raw}
		// Decode into a map, as Caddy does: the fields of a struct ignore case.
		var config map[string]json.RawMessage
		if err := json.Unmarshal(raw, &config); err != nil {
			return nil, fmt.Errorf("handler: %w", err)
		}
		if err := json.Unmarshal(config["handler"], &p.Name); err != nil {
			return nil, fmt.Errorf("handler without a name: %w", err)
		}
		parts = append(parts, p)
	}
	for _, handler := range route.Handlers {
		module, ok := handler.(caddy.Module)
		if !ok {
			return nil, fmt.Errorf("%T is not a module", handler)
		}
		parts = append(parts, Part{
			Name:   strings.TrimPrefix(string(module.CaddyModule().ID), "http.handlers."),
			Module: handler,
		})
	}
	for i := range parts {
		if err := parts[i].lookInside(); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// lookInside finds the routes that the handler has or invokes.
func (p *Part) lookInside() error {
	switch p.Name {
	case "subroute":
		sub, ok := p.Module.(*caddyhttp.Subroute)
		if !ok {
			sub = new(caddyhttp.Subroute)
			if err := p.Decode(sub); err != nil {
				return err
			}
		}
		p.Routes = []caddyhttp.RouteList{sub.Routes}
		if sub.Errors != nil {
			p.Routes = append(p.Routes, sub.Errors.Routes)
		}
	case "invoke":
		var invoke caddyhttp.Invoke
		if err := p.Decode(&invoke); err != nil {
			return err
		}
		p.Invokes = invoke.Name
	}
	return nil
}

// Config returns the value whose JSON is the handler's configuration.
func (p Part) Config() any {
	if p.Module != nil {
		return p.Module
	}
	return p.raw
}

// JSON returns the handler's configuration.
func (p Part) JSON() (json.RawMessage, error) {
	if p.Module == nil {
		return p.raw, nil
	}
	raw, err := json.Marshal(p.Module)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return raw, nil
}

// Decode reads the handler's configuration into v.
func (p Part) Decode(v any) error {
	raw, err := p.JSON()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}
