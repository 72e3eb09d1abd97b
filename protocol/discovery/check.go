package discovery

// This file checks authorization server metadata for what MCP clients need (MCP
// 2026-07-28, authorization; RFC 8414, section 2). The first eleven codes are those
// of mcp-auth's config check.

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// The codes of a [Finding].
const (
	MetadataValid             = "server_metadata_valid"
	CodeResponseSupported     = "code_response_type_supported"
	AuthorizationCodeGrant    = "authorization_code_grant_supported"
	PKCESupported             = "pkce_supported"
	S256Supported             = "s256_code_challenge_method_supported"
	RegistrationSupported     = "dynamic_registration_supported"
	InvalidMetadata           = "invalid_server_metadata"
	CodeResponseNotSupported  = "code_response_type_not_supported"
	NoAuthorizationCodeGrant  = "authorization_code_grant_not_supported"
	PKCENotSupported          = "pkce_not_supported"
	S256NotSupported          = "s256_code_challenge_method_not_supported"
	RegistrationNotSupported  = "dynamic_registration_not_supported"
	IssuerMatches             = "issuer_matches"
	IssuerMismatch            = "issuer_mismatch"
	IssParameterSupported     = "iss_parameter_supported"
	IssParameterNotSupported  = "iss_parameter_not_supported"
	ClientMetadataSupported   = "client_id_metadata_document_supported"
	ClientMetadataUnsupported = "client_id_metadata_document_not_supported"
	ScopesAdvertised          = "scopes_advertised"
	ScopesNotAdvertised       = "scopes_not_advertised"
)

// Level is how bad a finding is.
type Level string

const (
	// OK means that nothing needs to be done.
	OK Level = "ok"
	// Warning is a problem for some clients or their users.
	Warning Level = "warning"
	// Error is a problem that clients can't, or must not, get past.
	Error Level = "error"
)

// Finding is the result of one check of a server.
type Finding struct {
	// Code identifies the finding: one of the constants.
	Code string `json:"code"`
	// Level says how bad it is.
	Level Level `json:"level"`
	// Message says what was found. It quotes what the server sent.
	Message string `json:"message"`
	// Cure says how to fix it. Empty if nothing needs to be done.
	Cure string `json:"cure,omitempty"`
}

// ReadMetadata reads a metadata document. The document may name any issuer. Use the
// result only with [Metadata.Check].
func ReadMetadata(body []byte) (*Metadata, error) {
	m := new(Metadata)
	if err := json.Unmarshal(body, &m.fields); err != nil || m.fields == nil {
		return nil, errors.New("not a JSON object")
	}
	return m, nil
}

// Check checks the metadata of issuer. If the metadata is invalid, that is the only
// finding.
func (m *Metadata) Check(issuer string) []Finding {
	if wrong := m.invalid(); len(wrong) > 0 {
		return []Finding{{
			InvalidMetadata, Error, "the metadata is invalid: " + strings.Join(wrong, "; "),
			"fix the authorization server's metadata (RFC 8414, section 2)",
		}}
	}
	findings := []Finding{
		{MetadataValid, OK, "the metadata has everything that is required", ""},
		m.checkIssuer(issuer),
		m.checkResponseType(),
		m.checkGrant(),
	}
	findings = append(findings, m.checkPKCE()...)
	return append(findings, m.checkRegistration(), m.checkClientMetadata(), m.checkIssParameter(), m.checkScopes())
}

// invalid says what keeps the metadata from being used at all.
func (m *Metadata) invalid() (wrong []string) {
	for _, name := range []string{"issuer", "authorization_endpoint", "token_endpoint", "response_types_supported"} {
		if m.fields[name] == nil {
			wrong = append(wrong, name+" is missing")
		}
	}
	for _, name := range []string{"issuer", "authorization_endpoint", "token_endpoint", "registration_endpoint", "jwks_uri"} {
		if m.fields[name] == nil {
			continue
		}
		if err := checkEndpoint(name, m.Text(name)); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.fields)) {
		switch t, known := typeOf(name); {
		case !known:
		case m.fields[name] == nil:
			wrong = append(wrong, name+" is null, which clients refuse: leave it out")
		case t == listField:
			if _, ok := texts(m.fields[name]); !ok {
				wrong = append(wrong, name+" is not a list of strings")
			}
		case t == flagField:
			if _, ok := m.fields[name].(bool); !ok {
				wrong = append(wrong, name+" is not true or false")
			}
		case m.Text(name) == "":
			wrong = append(wrong, name+" is not a text")
		}
	}
	return wrong
}

// List returns the field name as a list of texts. The list is empty if there is no
// such field. List reports false if the field is anything but a list of texts.
func (m *Metadata) List(name string) ([]string, bool) {
	if m.fields[name] == nil {
		return nil, true
	}
	return texts(m.fields[name])
}

// has reports whether the list name has the element value.
func (m *Metadata) has(name, value string) bool {
	list, _ := m.List(name)
	return slices.Contains(list, value)
}

// flag reports whether the field name is true.
func (m *Metadata) flag(name string) bool { return m.fields[name] == true }

func (m *Metadata) checkIssuer(issuer string) Finding {
	if found := m.Text("issuer"); found != issuer {
		return Finding{
			IssuerMismatch, Error,
			fmt.Sprintf("the metadata names the issuer %s instead of %s: clients must not use it (RFC 8414, section 3.3)", Quote(found), Quote(issuer)),
			"use the issuer exactly as the metadata names it, including a slash at the end",
		}
	}
	return Finding{IssuerMatches, OK, "the metadata names exactly this issuer", ""}
}

func (m *Metadata) checkResponseType() Finding {
	if !m.has("response_types_supported", "code") {
		return Finding{
			CodeResponseNotSupported, Error, "response_types_supported lacks \"code\"",
			"enable the authorization code flow in the authorization server",
		}
	}
	return Finding{CodeResponseSupported, OK, "response type code", ""}
}

// checkGrant takes an absent list for authorization_code and implicit, its default
// (RFC 8414, section 2).
func (m *Metadata) checkGrant() Finding {
	if m.fields["grant_types_supported"] != nil && !m.has("grant_types_supported", "authorization_code") {
		return Finding{
			NoAuthorizationCodeGrant, Error, "grant_types_supported lacks \"authorization_code\"",
			"enable the authorization code grant in the authorization server",
		}
	}
	return Finding{AuthorizationCodeGrant, OK, "grant type authorization_code", ""}
}

func (m *Metadata) checkPKCE() []Finding {
	const field = "code_challenge_methods_supported"
	methods, _ := m.List(field)
	if len(methods) == 0 {
		return []Finding{{
			PKCENotSupported, Error, "there is no " + field + ": MCP clients must refuse to continue",
			"enable PKCE with S256; if it is enabled but not advertised, add it to the metadata",
		}}
	}
	supported := Finding{PKCESupported, OK, "PKCE is advertised", ""}
	if !m.has(field, "S256") {
		return []Finding{supported, {
			S256NotSupported, Error, field + " lacks \"S256\": MCP clients use no other method",
			"enable the code challenge method S256 in the authorization server",
		}}
	}
	return []Finding{supported, {S256Supported, OK, "code challenge method S256", ""}}
}

// checkRegistration doesn't warn of missing registration if clients can bring a
// metadata document: those documents have replaced registration.
func (m *Metadata) checkRegistration() Finding {
	switch {
	case m.Text("registration_endpoint") != "":
		return Finding{RegistrationSupported, OK, "dynamic client registration", ""}
	case m.flag(ClientMetadataSupported):
		return Finding{
			RegistrationNotSupported, OK,
			"no dynamic client registration; clients that have a metadata document don't need it", "",
		}
	}
	return Finding{
		RegistrationNotSupported, Warning,
		"neither dynamic client registration nor Client ID Metadata Documents: a client must be registered by hand before anyone can sign in with it",
		"enable one of them, or register the clients and give their users the client id",
	}
}

func (m *Metadata) checkClientMetadata() Finding {
	if m.flag(ClientMetadataSupported) {
		return Finding{ClientMetadataSupported, OK, "Client ID Metadata Documents", ""}
	}
	return Finding{ClientMetadataUnsupported, OK, "no Client ID Metadata Documents, which few servers support yet", ""}
}

func (m *Metadata) checkIssParameter() Finding {
	if m.flag("authorization_response_iss_parameter_supported") {
		return Finding{IssParameterSupported, OK, "iss in authorization responses (RFC 9207)", ""}
	}
	return Finding{
		IssParameterNotSupported, Warning,
		"no iss in authorization responses (RFC 9207): clients can't tell which server answered",
		"enable it if the authorization server supports it; clients work without it",
	}
}

func (m *Metadata) checkScopes() Finding {
	scopes, _ := m.List("scopes_supported")
	if len(scopes) == 0 {
		return Finding{ScopesNotAdvertised, OK, "no scopes advertised", ""}
	}
	return Finding{ScopesAdvertised, OK, "scopes " + Quote(strings.Join(scopes, " ")), ""}
}

// maxQuoted bounds how much of a server's text is shown.
const maxQuoted = 200

// Quote returns a server's text in a form to show to an operator: on one line, in
// ASCII, and cut if it is long.
func Quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(strings.ToValidUTF8(s[:maxQuoted], "")) + "…"
	}
	return strconv.QuoteToASCII(s)
}
