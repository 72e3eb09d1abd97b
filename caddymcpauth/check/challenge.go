package check

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Clients read challenges with regular expressions, so this package judges them
// the same way: the first challenge counts, and quotes are required.
var (
	quotedParam = map[string]*regexp.Regexp{
		"resource_metadata": regexp.MustCompile(`(?i)[\s,]resource_metadata="([^"]*)"`),
		"scope":             regexp.MustCompile(`(?i)[\s,]scope="([^"]*)"`),
	}
	bareParam   = regexp.MustCompile(`(?i)[\s,](resource_metadata|scope)=[^"\s]`)
	spacedParam = regexp.MustCompile(`(?i)[\s,](resource_metadata|scope)(\s+=|=\s)`)
)

// param returns the value of a challenge's quoted parameter name.
func param(challenge, name string) string {
	match := quotedParam[name].FindStringSubmatch(challenge)
	if match == nil {
		return ""
	}
	return match[1]
}

// challenge judges the challenge of a 401 response, and returns the URL of the
// metadata that it names.
func (w *walker) challenge(id resource.Identifier, header http.Header) (metadata string) {
	const step = "challenge"
	values := header.Values("WWW-Authenticate")
	all := strings.Join(values, ", ")
	scheme, _, _ := strings.Cut(all, " ")
	switch {
	case all == "":
		w.fail(step, "challenge_missing", "the 401 has no WWW-Authenticate header", "send WWW-Authenticate: Bearer resource_metadata=\"…\", scope=\"…\" with it (RFC 9728, section 5.1)")
		return ""
	case strings.EqualFold(scheme, "Basic") && !strings.Contains(strings.ToLower(all), "bearer "):
		w.fail(step, "challenge_not_bearer", "the challenge is Basic: the server asks for a password before mcp_auth sees the request",
			"exclude these paths from basic_auth: basic_auth @rest, with @rest not path "+pathOf(id)+"* "+resource.WellKnown+"*; a request has only one Authorization header, so it can't satisfy both")
		return ""
	case !strings.EqualFold(scheme, "Bearer"):
		w.fail(step, "challenge_not_bearer", "the first challenge is "+discovery.Quote(scheme)+": clients only look at that one", "send the Bearer challenge first")
	case spacedParam.MatchString(all):
		w.fail(step, "challenge_not_quoted", "a parameter of the challenge has spaces around its =, which clients can't parse", `write it without spaces: resource_metadata="…"`)
	case bareParam.MatchString(all):
		w.fail(step, "challenge_not_quoted", "a parameter of the challenge is not in quotes, which clients can't parse", "quote every parameter of the challenge")
	default:
		w.ok(step, "bearer_challenge", "Bearer")
	}
	metadata = param(all, "resource_metadata")
	switch u, err := url.Parse(metadata); {
	case metadata == "":
		w.warn(step, "resource_metadata_not_named", "the challenge has no resource_metadata: clients have to guess where it is", "add resource_metadata=\"<URL of the metadata>\"")
	case err != nil || w.reachable(metadata) != nil:
		w.fail(step, "resource_metadata_misplaced", "the challenge's resource_metadata is "+discovery.Quote(metadata)+", where clients don't go", "have it name an https URL of this server; a server behind TLS may think it is served over http: configure its public URL")
		metadata = ""
	case web.Origin(u) != id.Origin():
		w.warn(step, "resource_metadata_elsewhere", "the challenge's resource_metadata is on another host, "+discovery.Quote(metadata), "serve the metadata on the resource's own host")
	default:
		w.ok(step, "resource_metadata_named", "resource_metadata")
	}
	if scope := param(all, "scope"); scope != "" {
		w.ok(step, "challenge_scope", "scope %s", discovery.Quote(scope))
	} else {
		w.ok(step, "challenge_no_scope", "no scope: clients ask for all of scopes_supported, or for none")
	}
	return metadata
}

// pathOf returns the path of a resource.
func pathOf(id resource.Identifier) string {
	return strings.TrimPrefix(id.MetadataPath(), resource.WellKnown)
}
