// Package repair makes an authorization server's metadata and the requests to it
// into what MCP clients and that server can agree on. It knows nothing of Caddy.
package repair

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/resource"
)

// Metadata is what to correct about metadata (RFC 8414).
type Metadata struct {
	// Issuer is the identifier that clients know. Required.
	Issuer string
	// Upstream is where the server's own URLs begin, if that is not the issuer.
	Upstream string
	// Set has fields to set; they win over discovered ones.
	Set map[string]any
	// Remove are fields to leave out.
	Remove []string
	// RegistrationEndpoint is where clients register here; empty if they don't.
	RegistrationEndpoint string
	// PublicClients says that clients which register here have no secret.
	PublicClients bool
	// Scopes maps scopes as clients know them to those of the server.
	Scopes map[string]string
}

// Unusable is the error of metadata that clients could do nothing with, as they
// are. Only the operator can mend it.
type Unusable struct {
	// Says what is wrong, and how to mend it. Strangers may read it: it has
	// nothing from the server.
	Says string
	// Cure is what to write, in full; for the operator only. May be empty.
	Cure string
}

func (e Unusable) Error() string {
	if e.Cure == "" {
		return e.Says
	}
	return e.Says + ": " + e.Cure
}

// Apply returns the metadata that clients get, made of what was discovered. The
// error is an [Unusable].
func (m *Metadata) Apply(discovered map[string]any) (map[string]any, error) {
	named, _ := discovered["issuer"].(string)
	if named != "" && named != m.Issuer && discovered["authorization_response_iss_parameter_supported"] == true {
		// Clients compare iss in the answer with the issuer they know (RFC 9207,
		// section 2.4), and would refuse every answer.
		return nil, Unusable{
			Says: "the server names itself in every answer (iss), which clients refuse under another name: call this facade by the server's own issuer, on its own origin",
			Cure: fmt.Sprintf("write `mcp_auth_facade %s` in the place of %s", named, m.Issuer),
		}
	}
	fields := maps.Clone(discovered)
	if fields == nil {
		fields = make(map[string]any)
	}
	for name, value := range fields {
		if text, ok := value.(string); ok {
			fields[name] = m.public(text)
		}
	}
	maps.Copy(fields, m.Set)
	fields["issuer"] = m.Issuer
	if m.RegistrationEndpoint != "" {
		fields["registration_endpoint"] = m.RegistrationEndpoint
		if m.PublicClients {
			// Without the field the only method would be client_secret_basic.
			addText(fields, "token_endpoint_auth_methods_supported", "client_secret_basic", "none")
		}
	}
	if len(m.Scopes) > 0 {
		m.renameScopes(fields)
	}
	for _, name := range m.Remove {
		delete(fields, name)
	}
	if fields["response_types_supported"] == nil {
		fields["response_types_supported"] = []string{"code"} // required, and there is no other in OAuth 2.1
	}
	return fields, complete(fields)
}

// public returns a URL of the server as clients reach it.
func (m *Metadata) public(address string) string { return moved(address, m.Upstream, m.Issuer) }

// Inside returns a URL of the server as it is reached from here.
func (m *Metadata) Inside(address string) string { return moved(address, m.Issuer, m.Upstream) }

// moved returns an address below from, or at least on its origin, as it is below
// to. Any other is returned as it is.
func moved(address, from, to string) string {
	if from == "" || to == "" {
		return address
	}
	if rest, ok := strings.CutPrefix(address, strings.TrimSuffix(from, "/")); ok && (rest == "" || rest[0] == '/' || rest[0] == '?') {
		return strings.TrimSuffix(to, "/") + rest
	}
	u, err := url.Parse(address)
	fromURL, errFrom := url.Parse(from)
	toURL, errTo := url.Parse(to)
	if err != nil || errFrom != nil || errTo != nil || u.Host == "" || resource.Origin(u) != resource.Origin(fromURL) {
		return address
	}
	u.Scheme, u.Host = toURL.Scheme, toURL.Host
	return u.String()
}

// renameScopes puts the names that clients know in the place of the server's.
func (m *Metadata) renameScopes(fields map[string]any) {
	var names []string
	list, _ := fields["scopes_supported"].([]any)
	for _, elem := range list {
		name, _ := elem.(string)
		if name != "" && !slices.Contains(slices.Collect(maps.Values(m.Scopes)), name) {
			names = append(names, name)
		}
	}
	names = append(names, slices.Sorted(maps.Keys(m.Scopes))...)
	slices.Sort(names)
	fields["scopes_supported"] = slices.Compact(names)
}

// addText adds value to a list of texts, which without the field is fallback.
func addText(fields map[string]any, name, fallback, value string) {
	var list []any
	switch present := fields[name].(type) {
	case []any:
		list = slices.Clone(present)
	case []string:
		for _, text := range present {
			list = append(list, text)
		}
	default:
		list = []any{fallback}
	}
	if !slices.Contains(list, any(value)) {
		list = append(list, value)
	}
	fields[name] = list
}

// complete returns an error if clients could do nothing with the metadata.
func complete(fields map[string]any) error {
	for _, name := range []string{"authorization_endpoint", "token_endpoint"} {
		if text, _ := fields[name].(string); text == "" {
			return Unusable{Says: fmt.Sprintf("the metadata has no %s: set it with `metadata %s <url>`", name, name)}
		}
	}
	if !texts(fields["code_challenge_methods_supported"], "S256") {
		return Unusable{Says: "the metadata doesn't offer PKCE with S256, so that clients would refuse the server: " +
			"if it takes code_challenge, say so with `metadata code_challenge_methods_supported S256`"}
	}
	return nil
}

// texts reports whether value is a list that has text.
func texts(value any, text string) bool {
	switch list := value.(type) {
	case []any:
		return slices.Contains(list, any(text))
	case []string:
		return slices.Contains(list, text)
	}
	return false
}
