// Package repair changes an authorization server's metadata, and the requests to
// it, so that MCP clients and the server understand each other. This package
// doesn't know Caddy.
package repair

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Metadata says how to correct metadata (RFC 8414).
type Metadata struct {
	// Issuer is the identifier that clients know. Required.
	Issuer string
	// Upstream is the beginning of the server's own URLs. Empty means the issuer.
	Upstream string
	// Set has fields to set; they win over discovered ones.
	Set map[string]any
	// Remove are fields to remove.
	Remove []string
	// RegistrationEndpoint is the façade's registration endpoint; empty if there
	// is none.
	RegistrationEndpoint string
	// PublicClients says that clients which register at the façade have no
	// secret.
	PublicClients bool
	// OnlyQuery says that only the response mode query is supported, because the
	// façade itself sends some of the responses.
	OnlyQuery bool
	// Scopes maps the scopes that clients use to the server's names for them.
	Scopes map[string]string
}

// Unusable is the error of metadata that clients can't use. Only the operator can
// fix it.
type Unusable struct {
	// Says is what is wrong, and how to fix it. It is shown to anyone, and
	// contains nothing from the server.
	Says string
	// Cure is the exact configuration to write. It is only for the operator. May
	// be empty.
	Cure string
}

func (e Unusable) Error() string {
	if e.Cure == "" {
		return e.Says
	}
	return e.Says + ": " + e.Cure
}

// Apply returns the metadata that clients get, derived from what was discovered.
// The error is an [Unusable].
func (m *Metadata) Apply(discovered map[string]any) (map[string]any, error) {
	named, _ := discovered["issuer"].(string)
	if named != "" && named != m.Issuer && discovered["authorization_response_iss_parameter_supported"] == true {
		// Clients compare iss in the response with the issuer that they know (RFC
		// 9207, section 2.4), and would refuse every response.
		return nil, m.otherName(named)
	}
	fields := maps.Clone(discovered)
	if fields == nil {
		fields = make(map[string]any)
	}
	for name, value := range fields {
		if text, ok := value.(string); ok {
			fields[name] = m.Public(text)
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
	if err := demands(fields); err != nil {
		return nil, err
	}
	m.withdraw(fields)
	return fields, complete(fields)
}

// otherName is the error for a server that names another issuer in every
// response.
func (m *Metadata) otherName(named string) Unusable {
	const says = "the server names itself in every response (iss), and clients refuse a name other than the issuer's: "
	u, err := url.Parse(named)
	upstream, errUpstream := url.Parse(m.Upstream)
	inside := err == nil && (u.Scheme != "https" || errUpstream == nil && web.Origin(u) == web.Origin(upstream))
	if inside && strings.HasPrefix(m.Issuer, "https:") {
		// Clients can't reach this address: the server doesn't know its public
		// name.
		issuer, err := url.Parse(m.Issuer)
		origin := m.Issuer
		if err == nil {
			origin = web.Origin(issuer)
		}
		return Unusable{
			Says: says + "tell the server its public address (for Logto: ENDPOINT in its environment)",
			Cure: fmt.Sprintf("it calls itself %s; with ENDPOINT=%s, or what the server has in its place, it calls itself %s", named, origin, m.Issuer),
		}
	}
	return Unusable{
		Says: says + "give this facade the server's own issuer, on its own origin",
		Cure: fmt.Sprintf("write `mcp_auth_facade %s` in place of %s", named, m.Issuer),
	}
}

// withdrawn are the fields of features that the façade refuses or can't inspect:
// request objects (RFC 9101), pushed requests (RFC 9126), and grants that don't
// begin at the authorization endpoint (RFC 8628, CIBA).
var withdrawn = []string{
	"pushed_authorization_request_endpoint", "require_pushed_authorization_requests",
	"require_signed_request_object", "require_request_uri_registration",
	"request_object_signing_alg_values_supported", "request_object_encryption_alg_values_supported", "request_object_encryption_enc_values_supported",
	"device_authorization_endpoint",
	"backchannel_authentication_endpoint", "backchannel_token_delivery_modes_supported",
	"backchannel_authentication_request_signing_alg_values_supported", "backchannel_user_code_parameter_supported",
}

var withdrawnGrants = []string{
	"implicit", "password", "urn:ietf:params:oauth:grant-type:device_code", "urn:openid:params:grant-type:ciba",
}

// Check returns an error if Set has fields that the façade would have to remove
// again.
func (m *Metadata) Check() error {
	for _, name := range slices.Sorted(maps.Keys(m.Set)) {
		if slices.Contains(withdrawn, name) || (name == "request_parameter_supported" || name == "request_uri_parameter_supported") && m.Set[name] != false {
			return fmt.Errorf("metadata: %s is for requests that this facade refuses because it can't inspect them: remove the line", name)
		}
	}
	return nil
}

// demands returns an error if the server only accepts requests that the façade
// can't inspect.
func demands(fields map[string]any) error {
	for _, name := range []string{"require_pushed_authorization_requests", "require_signed_request_object"} {
		if fields[name] == true {
			return Unusable{Says: fmt.Sprintf("the server only accepts requests that can't be inspected (%s): switch that off at the server, at least for MCP clients, and write `remove %s`", name, name)}
		}
	}
	return nil
}

// withdraw removes the features that a client would be refused.
func (m *Metadata) withdraw(fields map[string]any) {
	for _, name := range withdrawn {
		delete(fields, name)
	}
	fields["request_parameter_supported"] = false
	fields["request_uri_parameter_supported"] = false // without it: true (OpenID Connect Discovery 1.0, section 3)
	// The field is required, and OAuth 2.1 has no other response type.
	fields["response_types_supported"] = []string{"code"}
	if m.OnlyQuery {
		fields["response_modes_supported"] = []string{"query"}
	}
	if present, ok := fields["grant_types_supported"]; ok {
		fields["grant_types_supported"] = without(present, withdrawnGrants)
	}
	if aliases, ok := fields["mtls_endpoint_aliases"].(map[string]any); ok {
		aliases = maps.Clone(aliases)
		for _, name := range withdrawn {
			delete(aliases, name)
		}
		fields["mtls_endpoint_aliases"] = aliases
	}
}

// without returns a list of strings without some of them.
func without(list any, out []string) any {
	switch list := list.(type) {
	case []any:
		return slices.DeleteFunc(slices.Clone(list), func(value any) bool {
			text, ok := value.(string)
			return ok && slices.Contains(out, text)
		})
	case []string:
		return slices.DeleteFunc(slices.Clone(list), func(text string) bool { return slices.Contains(out, text) })
	}
	return list
}

// Public returns a URL of the server as clients reach it.
func (m *Metadata) Public(address string) string { return moved(address, m.Upstream, m.Issuer) }

// Inside returns a URL of the server as it is reached from here.
func (m *Metadata) Inside(address string) string { return moved(address, m.Issuer, m.Upstream) }

// moved replaces the beginning from of an address, or at least its origin, with
// that of to. Any other address is returned unchanged.
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
	if err != nil || errFrom != nil || errTo != nil || u.Host == "" || web.Origin(u) != web.Origin(fromURL) {
		return address
	}
	u.Scheme, u.Host = toURL.Scheme, toURL.Host
	return u.String()
}

// renameScopes replaces the server's names of scopes with those that clients
// know.
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

// addText adds value to a list of strings. If the field is missing, the list is
// fallback.
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

// complete returns an error if clients can't use the metadata.
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

// texts reports whether value is a list that contains text.
func texts(value any, text string) bool {
	switch list := value.(type) {
	case []any:
		return slices.Contains(list, any(text))
	case []string:
		return slices.Contains(list, text)
	}
	return false
}
