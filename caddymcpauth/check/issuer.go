package check

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// issuer checks an authorization server.
func (w *walker) issuer(ctx context.Context, issuer string) {
	w.about = issuer
	m, header := w.discover(ctx, issuer)
	if m == nil {
		return
	}
	for _, finding := range m.Check(issuer) {
		w.found(stepOf(finding.Code), finding)
	}
	w.readable("metadata CORS", "server_metadata", header)
	if address := m.Text("token_endpoint"); address != "" {
		w.preflight(ctx, "token CORS", "token_preflight", address)
	}
	if address := m.Text("registration_endpoint"); address != "" {
		w.preflight(ctx, "registration CORS", "registration_preflight", address, "content-type")
	}
}

// discover finds the metadata of issuer as clients do: they take the first
// document that exists, and give up at a response that is neither a document nor
// a client error.
func (w *walker) discover(ctx context.Context, issuer string) (*discovery.Metadata, http.Header) {
	const step = "discovery"
	locations, err := discovery.Locations(issuer)
	if err != nil {
		w.fail(step, "issuer_invalid", cause(err), "name the authorization server by its https URL")
		return nil, nil
	}
	var tried []string
	for _, location := range locations {
		a, err := w.document(ctx, location)
		where := discovery.Quote(location)
		switch {
		case err != nil:
			w.fail(step, "server_metadata_unreachable", fmt.Sprintf("%s: %s", where, cause(err)), "check that the authorization server is running and reachable from here")
			return nil, nil
		case a.status >= 400 && a.status < 500:
			tried = append(tried, fmt.Sprintf("%s: %d", where, a.status))
			continue
		case a.status != http.StatusOK:
			w.fail(step, "server_metadata_unreachable", fmt.Sprintf("%s answered %d: clients give up here%s", where, a.status, says(a)),
				"answer 404 where there is no metadata; see the authorization server's log")
			return nil, nil
		}
		m, err := discovery.ReadMetadata(a.body)
		if err != nil {
			w.fail(step, "server_metadata_not_json", fmt.Sprintf("%s answered 200 with something other than metadata (%s): clients give up here", where, contentType(a.header)),
				"answer 404 where there is no metadata, rather than with a web page")
			return nil, nil
		}
		note := ""
		if len(tried) > 0 {
			note = ", after " + strings.Join(tried, ", ")
		}
		w.ok(step, "server_metadata_found", "at %s%s", where, note)
		return m, a.header
	}
	cure := "serve RFC 8414 or OpenID Connect metadata at one of these addresses; without it, clients don't know where to sign in"
	if named := w.issuerBelow(ctx, issuer); named != "" {
		cure = "name the issuer exactly as its metadata does: " + discovery.Quote(named)
	}
	w.fail(step, "server_metadata_not_found", "no metadata: "+strings.Join(tried, "; "), cure)
	return nil, nil
}

// belowOrigin are the paths of issuers at Logto, Auth0, Okta's custom servers,
// and Django OAuth Toolkit.
var belowOrigin = []string{"/oidc", "/", "/oauth2/default", "/o"}

// issuerBelow returns the issuer that the user probably means by giving only its
// origin.
func (w *walker) issuerBelow(ctx context.Context, issuer string) string {
	for _, path := range belowOrigin {
		guess := strings.TrimSuffix(issuer, "/") + path
		locations, err := discovery.Locations(guess)
		if err != nil || guess == issuer {
			continue
		}
		for _, location := range locations {
			var doc struct {
				Issuer string `json:"issuer"`
			}
			if w.read(ctx, location, &doc) == nil && doc.Issuer == guess {
				return guess
			}
		}
	}
	return ""
}

// says returns the text of an OAuth error response (RFC 6749, section 5.2); empty
// for other responses.
func says(a *answer) string {
	var refusal struct {
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(a.body, &refusal); err != nil || refusal.Description == "" {
		return ""
	}
	return "; it says " + discovery.Quote(refusal.Description)
}

// stepOf returns the step that a finding about metadata belongs to.
func stepOf(code string) string {
	switch code {
	case discovery.IssuerMatches, discovery.IssuerMismatch:
		return "issuer"
	case discovery.CodeResponseSupported, discovery.CodeResponseNotSupported:
		return "response type"
	case discovery.AuthorizationCodeGrant, discovery.NoAuthorizationCodeGrant:
		return "grant type"
	case discovery.PKCESupported, discovery.PKCENotSupported, discovery.S256Supported, discovery.S256NotSupported:
		return "PKCE"
	case discovery.RegistrationSupported, discovery.RegistrationNotSupported:
		return "registration"
	case discovery.ClientMetadataSupported, discovery.ClientMetadataUnsupported:
		return "client metadata"
	case discovery.IssParameterSupported, discovery.IssParameterNotSupported:
		return "iss parameter"
	case discovery.ScopesAdvertised, discovery.ScopesNotAdvertised:
		return "scopes"
	default:
		return "metadata"
	}
}
