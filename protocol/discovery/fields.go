package discovery

// This file knows the fields of authorization server metadata and their types:
// RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3; and what later
// specifications of the IANA registry add. Not supported: making signed metadata.

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// fieldType is the form of a metadata field's value.
type fieldType int

const (
	textField fieldType = iota
	linkField           // an absolute URL
	listField           // a list of texts
	flagField           // true or false
)

// fieldTypes lists the registered fields ("OAuth Authorization Server Metadata",
// IANA) that clients and servers of MCP may meet.
var fieldTypes = map[string]fieldType{
	// RFC 8414
	"issuer":                                linkField,
	"authorization_endpoint":                linkField,
	"token_endpoint":                        linkField,
	"jwks_uri":                              linkField,
	"registration_endpoint":                 linkField,
	"scopes_supported":                      listField,
	"response_types_supported":              listField,
	"response_modes_supported":              listField,
	"grant_types_supported":                 listField,
	"token_endpoint_auth_methods_supported": listField,
	"token_endpoint_auth_signing_alg_values_supported":         listField,
	"service_documentation":                                    linkField,
	"ui_locales_supported":                                     listField,
	"op_policy_uri":                                            linkField,
	"op_tos_uri":                                               linkField,
	"revocation_endpoint":                                      linkField,
	"revocation_endpoint_auth_methods_supported":               listField,
	"revocation_endpoint_auth_signing_alg_values_supported":    listField,
	"introspection_endpoint":                                   linkField,
	"introspection_endpoint_auth_methods_supported":            listField,
	"introspection_endpoint_auth_signing_alg_values_supported": listField,
	"code_challenge_methods_supported":                         listField,
	"signed_metadata":                                          textField,
	// RFC 8628, RFC 9126, RFC 9101, RFC 8705, RFC 9207, RFC 9396, RFC 9449
	"device_authorization_endpoint":                  linkField,
	"pushed_authorization_request_endpoint":          linkField,
	"require_pushed_authorization_requests":          flagField,
	"require_signed_request_object":                  flagField,
	"tls_client_certificate_bound_access_tokens":     flagField,
	"authorization_response_iss_parameter_supported": flagField,
	"authorization_details_types_supported":          listField,
	"dpop_signing_alg_values_supported":              listField,
	// Client ID Metadata Documents; enterprise-managed authorization
	"client_id_metadata_document_supported":                           flagField,
	"authorization_grant_profiles_supported":                          listField,
	"backchannel_authentication_endpoint":                             linkField,
	"backchannel_token_delivery_modes_supported":                      listField,
	"backchannel_authentication_request_signing_alg_values_supported": listField,
	"backchannel_user_code_parameter_supported":                       flagField,
	// AD FS (MS-OAPX)
	"access_token_issuer": textField,
	// OpenID Connect Discovery, Session Management, Logout
	"userinfo_endpoint":                              linkField,
	"acr_values_supported":                           listField,
	"subject_types_supported":                        listField,
	"id_token_signing_alg_values_supported":          listField,
	"id_token_encryption_alg_values_supported":       listField,
	"id_token_encryption_enc_values_supported":       listField,
	"userinfo_signing_alg_values_supported":          listField,
	"userinfo_encryption_alg_values_supported":       listField,
	"userinfo_encryption_enc_values_supported":       listField,
	"request_object_signing_alg_values_supported":    listField,
	"request_object_encryption_alg_values_supported": listField,
	"request_object_encryption_enc_values_supported": listField,
	"authorization_signing_alg_values_supported":     listField,
	"authorization_encryption_alg_values_supported":  listField,
	"authorization_encryption_enc_values_supported":  listField,
	"display_values_supported":                       listField,
	"claim_types_supported":                          listField,
	"claims_supported":                               listField,
	"claims_locales_supported":                       listField,
	"prompt_values_supported":                        listField,
	"claims_parameter_supported":                     flagField,
	"request_parameter_supported":                    flagField,
	"request_uri_parameter_supported":                flagField,
	"require_request_uri_registration":               flagField,
	"check_session_iframe":                           linkField,
	"end_session_endpoint":                           linkField,
	"frontchannel_logout_supported":                  flagField,
	"frontchannel_logout_session_supported":          flagField,
	"backchannel_logout_supported":                   flagField,
	"backchannel_logout_session_supported":           flagField,
}

// typeOf returns the type of the field name. The type of a field that isn't in the
// table follows from the ending of its name, by the naming of the registered fields.
// It reports false if the ending says nothing.
func typeOf(name string) (fieldType, bool) {
	if t, ok := fieldTypes[name]; ok {
		return t, true
	}
	switch {
	case strings.HasSuffix(name, "_parameter_supported"):
		return flagField, true
	case strings.HasSuffix(name, "_endpoint"), strings.HasSuffix(name, "_uri"):
		return linkField, true
	case strings.HasSuffix(name, "_values_supported"), strings.HasSuffix(name, "_methods_supported"), strings.HasSuffix(name, "_types_supported"):
		return listField, true
	}
	return textField, false
}

// ParseField returns the value of the metadata field name from the words it was
// configured with: one word for a text, a URL, `true` or `false`; any number for a
// list. An unknown field is a list if it has several words, a boolean if its word is
// true or false, and a text otherwise. A word with a placeholder is returned
// unchanged: [FieldValue] checks it once the placeholder is replaced.
func ParseField(name string, words []string) (any, error) {
	if name == "" || len(words) == 0 || slices.Contains(words, "") {
		return nil, fmt.Errorf("metadata field %q needs a value", name)
	}
	t, known := typeOf(name)
	if known && t == listField || !known && len(words) > 1 {
		return words, nil
	}
	if len(words) > 1 {
		return nil, fmt.Errorf("metadata field %q takes one value: quote it if it contains spaces", name)
	}
	if !known && (words[0] == "true" || words[0] == "false") {
		return words[0] == "true", nil
	}
	if strings.Contains(words[0], "{") {
		return words[0], nil
	}
	return FieldValue(name, words[0])
}

// FieldValue returns value, as JSON decodes it, as a value of the type that the
// metadata field name has: clients refuse a document with a text where they
// expect a list. A single text stands for a list of one, and "true" for true. It
// returns an error if value can't be the field's value.
func FieldValue(name string, value any) (any, error) {
	switch {
	case name == "issuer":
		return nil, errors.New("metadata issuer cannot be set: it is the issuer itself")
	case name == "" || value == nil || value == "" && !isAddress(name):
		return nil, fmt.Errorf("metadata field %q needs a value", name)
	}
	t, known := typeOf(name)
	if !known {
		return value, nil
	}
	text, isText := value.(string)
	switch t {
	case textField:
		if !isText {
			return nil, fmt.Errorf("metadata field %q must be a string", name)
		}
	case linkField:
		if u, err := url.Parse(text); isAddress(name) && (!isText || err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			return nil, fmt.Errorf("metadata %s is not an absolute URL, such as https://auth.example.com/…", name)
		}
		if !isText {
			return nil, fmt.Errorf("metadata field %q must be a string", name)
		}
	case flagField:
		if text == "true" || text == "false" {
			return text == "true", nil
		}
		if _, ok := value.(bool); !ok {
			return nil, fmt.Errorf("metadata field %q must be true or false", name)
		}
	case listField:
		if isText {
			return []string{text}, nil
		}
		if list, ok := texts(value); !ok || len(list) == 0 || slices.Contains(list, "") {
			return nil, fmt.Errorf("metadata field %q must be a list of strings", name)
		}
	}
	return value, nil
}

// isAddress reports whether requests go to the value of the field name.
func isAddress(name string) bool {
	return name == "jwks_uri" || strings.HasSuffix(name, "_endpoint")
}

// texts returns value as a list of texts. It reports false if value isn't one.
func texts(value any) ([]string, bool) {
	switch list := value.(type) {
	case []string:
		return list, true
	case []any:
		out := make([]string, len(list))
		for i, elem := range list {
			text, ok := elem.(string)
			if !ok {
				return nil, false
			}
			out[i] = text
		}
		return out, true
	}
	return nil, false
}
