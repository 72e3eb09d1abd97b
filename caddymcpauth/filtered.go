package caddymcpauth

import (
	"encoding/json"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// filtered returns next with the lists in its answers reduced to what the caller may
// use. Older revisions answer a POST on the stream of a GET, and some servers answer one
// request as another with the same id, so every answer is looked at.
func (h *Handler) filtered(d decision, next caddyhttp.Handler) caddyhttp.Handler {
	if d.judged == nil {
		return next
	}
	changes := func(kind mcp.Kind) bool { return h.policy.Hides(kind) || kind == mcp.Tool && h.SecuritySchemes }
	if !changes(mcp.Tool) && !changes(mcp.Prompt) && !changes(mcp.Resource) {
		return next
	}
	m := d.judged.message
	asked := m == nil
	if m != nil {
		kind, isList := listed[m.Method]
		asked = isList && changes(kind)
	}
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		lists := &mcp.Lists{Loose: !asked, Keep: func(kind mcp.Kind, name string, template bool, _ json.RawMessage) bool {
			return h.policy.Listed(d.judged.caller, kind, name, template)
		}}
		if h.SecuritySchemes {
			lists.Schemes = h.securitySchemes
		}
		return h.filterLists(w, r, m, lists, next.ServeHTTP)
	})
}

// listed maps each method that lists something to what it lists.
var listed = map[string]mcp.Kind{
	"tools/list":               mcp.Tool,
	"prompts/list":             mcp.Prompt,
	"resources/list":           mcp.Resource,
	"resources/templates/list": mcp.Resource,
}

// securitySchemes returns how callers of a tool must sign in according to the rules:
// not at all if the tool is anonymous, otherwise with the scopes that a caller
// without a token is told. It is empty if nobody may call the tool.
func (h *Handler) securitySchemes(tool string) string {
	type scheme struct {
		Type   string   `json:"type"`
		Scopes []string `json:"scopes,omitempty"`
	}
	d := h.policy.Decide(&policy.Caller{Anonymous: true}, &mcp.Message{Method: "tools/call", Kind: mcp.Tool, Name: tool})
	if d.Outcome == policy.Denied {
		return ""
	}
	schemes := []scheme{{Type: "oauth2", Scopes: h.signInScopes(d.Need)}}
	if d.Outcome == policy.Allowed {
		schemes = append([]scheme{{Type: "noauth"}}, schemes...)
	}
	text, err := json.Marshal(schemes)
	if err != nil {
		return "" // strings can be encoded
	}
	return string(text)
}
