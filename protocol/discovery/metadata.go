package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Metadata is an authorization server's metadata (RFC 8414, section 2; OpenID
// Connect Discovery 1.0, section 3). It never changes.
type Metadata struct {
	fields map[string]any
}

// Text returns the field name if it is a text, and the empty string otherwise.
func (m *Metadata) Text(name string) string {
	s, _ := m.fields[name].(string)
	return s
}

// Fields returns a copy of all fields.
func (m *Metadata) Fields() map[string]any { return maps.Clone(m.fields) }

// JSON returns the metadata as a document.
func (m *Metadata) JSON() ([]byte, error) {
	return json.Marshal(m.fields, json.Deterministic(true))
}

// endpoint returns the URL in the field name, checked.
func (m *Metadata) endpoint(name string) (string, error) {
	address := m.Text(name)
	if address == "" {
		return "", fmt.Errorf("the issuer's metadata has no %s: set it by hand with `metadata %s <url>`", name, name)
	}
	return address, checkEndpoint(name, address)
}

func (m *Metadata) equal(other *Metadata) bool {
	return reflect.DeepEqual(m.fields, other.fields)
}

// Locations returns the addresses at which the metadata of issuer may live, in the
// order in which MCP clients look (MCP 2026-07-28, authorization server metadata
// discovery): RFC 8414 with the issuer's path at the end, then OpenID Connect in the
// same form, then OpenID Connect below the issuer's path.
func Locations(issuer string) ([]string, error) {
	if err := checkEndpoint("issuer", issuer); err != nil {
		return nil, err
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	return locations(u), nil
}

func locations(issuer *url.URL) []string {
	origin, path := web.Origin(issuer), strings.TrimSuffix(issuer.EscapedPath(), "/")
	list := []string{
		origin + "/.well-known/oauth-authorization-server" + path,
		origin + "/.well-known/openid-configuration" + path,
	}
	if path != "" {
		list = append(list, origin+path+"/.well-known/openid-configuration")
	}
	return list
}

// upstreamLocations returns where the metadata of an issuer that is reached at
// upstream may be. http is allowed everywhere: requests to the issuer are proxied
// there in the clear anyway.
func upstreamLocations(upstream string) ([]string, error) {
	u, err := url.Parse(upstream)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%q is not an absolute URL without query", upstream)
	}
	return locations(u), nil
}

// discover fetches the metadata of issuer from the first of locations that has it. If
// issuer is empty, the metadata may name any issuer.
func discover(ctx context.Context, client *http.Client, issuer string, locations []string) (*Metadata, document, error) {
	var errs []error
	for _, location := range locations {
		doc, err := fetch(ctx, client, location)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m, err := parseMetadata(doc.body, issuer)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", location, err))
			continue
		}
		return m, doc, nil
	}
	return nil, document{}, fmt.Errorf("no usable metadata: %w", errors.Join(errs...))
}

// parseMetadata reads the metadata document of issuer. If issuer is empty, the
// document may name any issuer. Otherwise a document that names another issuer is not
// used (RFC 8414, section 3.3): it could lead to anyone's keys.
func parseMetadata(body []byte, issuer string) (*Metadata, error) {
	m := new(Metadata)
	if err := json.Unmarshal(body, &m.fields); err != nil || m.fields == nil {
		return nil, errors.New("not a JSON object")
	}
	// Some servers write null for a field that they don't have. To clients that is a
	// value of the wrong type.
	maps.DeleteFunc(m.fields, func(_ string, value any) bool { return value == nil })
	switch found := m.Text("issuer"); {
	case found == "":
		return nil, errors.New("the metadata names no issuer")
	case issuer != "" && m.Text("access_token_issuer") == issuer:
		// AD FS has a separate field for the iss of its access tokens.
		return m, nil
	case issuer != "" && found != issuer:
		return nil, fmt.Errorf("the metadata names the issuer %s, but %q is configured: the two must be exactly the same, including a slash at the end", Quote(found), issuer)
	}
	return m, nil
}
