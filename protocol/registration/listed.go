package registration

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// anyBelow ends an entry of an operator's list that stands for every redirect URI
// below a path. Hosted clients have one for each connector that a user adds, such as
// https://chatgpt.com/connector/oauth/<id>, and nobody knows these URIs in advance.
const anyBelow = "/*"

// IsPrefix reports whether an entry of an operator's list stands for many redirect
// URIs.
func IsPrefix(entry string) bool { return strings.HasSuffix(entry, anyBelow) }

// CheckListed returns an error if entry can't be in an operator's list of redirect
// URIs: it must be a redirect URI, which may have any application's scheme, or a
// prefix of whole path segments, as in https://chatgpt.com/connector/oauth/*.
//
// A prefix relaxes OAuth 2.1, section 4.1.1, which requires the whole URI to be
// registered. Only the operator may use one, because the operator knows the host.
// Clients register and request exact URIs only.
func CheckListed(entry string) error {
	if !strings.Contains(entry, "*") {
		u, err := url.Parse(entry)
		if err != nil {
			return errors.New("is not a URI")
		}
		return CheckRedirectURI(entry, []string{u.Scheme})
	}
	path, ok := strings.CutSuffix(entry, anyBelow)
	if !ok || strings.Contains(path, "*") {
		return errors.New("has a wildcard that does not stand for the last path segments, at its end, as in https://chatgpt.com/connector/oauth/*")
	}
	if err := CheckRedirectURI(path, nil); err != nil {
		return err
	}
	u, err := url.Parse(path)
	switch {
	case err != nil || !LeadsToWebSite(path):
		return errors.New("has a wildcard, which is only for https web sites: loopback redirect URIs may use any port without one")
	case u.RawQuery != "" || u.ForceQuery:
		return errors.New("has a query before its wildcard")
	case strings.Trim(u.Path, "/") == "":
		return errors.New("would allow every page of its host, and a single open redirect there is enough to steal codes: name at least one path segment before the wildcard")
	}
	if id, err := resource.Parse(path); err != nil || strings.HasSuffix(path, "/") || strings.ContainsAny(u.EscapedPath(), "%;") || id.Origin()+u.EscapedPath() != path {
		return fmt.Errorf("is not in its simplest form before the wildcard: lower-case host, no default port, no escapes, no empty or dot segments")
	}
	return nil
}

// Lists reports whether an entry of an operator's list, which has passed
// [CheckListed], allows uri: as [SameRedirectURI] does, or because uri lies below a
// prefix. The part below the prefix must be whole segments of letters, digits,
// hyphens, dots, underscores and tildes, so that no two readers take it for different
// paths.
func Lists(entry, uri string) bool {
	if !IsPrefix(entry) {
		return SameRedirectURI(entry, uri)
	}
	below, ok := strings.CutPrefix(uri, strings.TrimSuffix(entry, "*"))
	if !ok || len(uri) > MaxRedirectURI {
		return false
	}
	for segment := range strings.SplitSeq(below, "/") {
		if strings.Trim(segment, ".") == "" || strings.ContainsFunc(segment, func(r rune) bool { return r > unicode.MaxASCII || !web.Unreserved(byte(r)) }) {
			return false
		}
	}
	return true
}
