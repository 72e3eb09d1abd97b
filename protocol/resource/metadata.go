package resource

// This file implements protected resource metadata (RFC 9728, section 2). Not
// supported: making signed metadata (a ready-made signed_metadata is passed on).

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// fieldKind is the form of a metadata field's value.
type fieldKind int

const (
	text fieldKind = iota
	link
	list
)

// fields lists the fields of RFC 9728, section 2 that may be set by name.
var fields = map[string]fieldKind{
	"jwks_uri":                              link,
	"bearer_methods_supported":              list,
	"resource_signing_alg_values_supported": list,
	"resource_name":                         text,
	"resource_documentation":                link,
	"resource_policy_uri":                   link,
	"resource_tos_uri":                      link,
	"authorization_details_types_supported": list,
	"signed_metadata":                       text,
}

// reserved lists the fields that are derived from other settings, with what to do
// instead.
var reserved = map[string]string{
	"resource":              "it is the resource itself",
	"authorization_servers": "it follows from the issuers",
	"scopes_supported":      "use scopes_supported on its own",

	"dpop_signing_alg_values_supported": "it follows from dpop",
	"dpop_bound_access_tokens_required": "it follows from dpop",

	"tls_client_certificate_bound_access_tokens": "it follows from client_certificates",
}

// Metadata is the metadata of a protected resource.
type Metadata struct {
	// Resource is the resource identifier.
	Resource Identifier
	// AuthorizationServers are the issuer identifiers.
	AuthorizationServers []string
	// ScopesSupported are the advertised scopes.
	ScopesSupported []string

	// ProofAlgorithms are those that DPoP proofs may be signed with. Empty if proofs
	// aren't accepted. ProofsRequired says that every token needs one (RFC 9449, section
	// 5.1; RFC 9728, section 2).
	ProofAlgorithms []string
	ProofsRequired  bool
	// CertificateBound says that tokens which are bound to a client's certificate are
	// accepted (RFC 8705, section 3.3; RFC 9728, section 2).
	CertificateBound bool

	// Fields holds all further fields by name; [ParseField] makes their
	// values. bearer_methods_supported is ["header"] unless set.
	Fields map[string]any
}

// ParseField returns the value of the metadata field name from the words it was
// configured with: one word for a text or a URL, any number for a list. A
// name may carry a language tag, as in resource_name#fr (RFC 9728, section 2.1). An
// unknown name is an extension field: a text, or a list if there are several words.
func ParseField(name string, words []string) (any, error) {
	base, _, _ := strings.Cut(name, "#")
	if instead, ok := reserved[base]; ok {
		return nil, fmt.Errorf("metadata field %q cannot be set: %s", name, instead)
	}
	if name == "" || len(words) == 0 || slices.Contains(words, "") {
		return nil, fmt.Errorf("metadata field %q needs a value", name)
	}
	kind, known := fields[base]
	if kind == list && known || !known && len(words) > 1 {
		return words, nil
	}
	if len(words) > 1 {
		return nil, fmt.Errorf("metadata field %q takes one value: quote it if it contains spaces", name)
	}
	return words[0], CheckField(name, words[0])
}

// CheckField returns an error if value, as JSON decodes it, can't be the value
// of the metadata field name.
func CheckField(name string, value any) error {
	base, _, _ := strings.Cut(name, "#")
	if instead, ok := reserved[base]; ok {
		return fmt.Errorf("metadata field %q cannot be set: %s", name, instead)
	}
	kind, known := fields[base]
	if name == "" || value == nil || value == "" {
		return fmt.Errorf("metadata field %q needs a value", name)
	}
	if !known {
		return nil
	}
	s, isString := value.(string)
	switch kind {
	case text:
		if !isString {
			return fmt.Errorf("metadata field %q must be a string", name)
		}
	case link:
		if u, err := url.Parse(s); !isString || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("metadata field %q must be an absolute https URL", name)
		}
	case list:
		if !isList(value) {
			return fmt.Errorf("metadata field %q must be a list of strings", name)
		}
	}
	return nil
}

func isList(value any) bool {
	switch v := value.(type) {
	case []string:
		return true
	case []any:
		return !slices.ContainsFunc(v, func(elem any) bool { _, ok := elem.(string); return !ok })
	}
	return false
}

// JSON returns the metadata document.
func (m Metadata) JSON() ([]byte, error) {
	doc := map[string]any{"bearer_methods_supported": []string{"header"}}
	maps.Copy(doc, m.Fields)
	doc["resource"] = m.Resource.String()
	doc["authorization_servers"] = m.AuthorizationServers
	if len(m.ScopesSupported) > 0 {
		doc["scopes_supported"] = m.ScopesSupported
	}
	if len(m.ProofAlgorithms) > 0 {
		doc["dpop_signing_alg_values_supported"] = m.ProofAlgorithms
	}
	if m.ProofsRequired {
		doc["dpop_bound_access_tokens_required"] = true
	}
	if m.CertificateBound {
		doc["tls_client_certificate_bound_access_tokens"] = true
	}
	return json.Marshal(doc, json.Deterministic(true), jsontext.EscapeForHTML(true))
}
