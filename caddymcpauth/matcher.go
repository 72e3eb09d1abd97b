package caddymcpauth

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// matcherPaths returns the paths of matcher, or none if it doesn't match paths.
func matcherPaths(d *caddyfile.Dispenser, matcher caddy.ModuleMap) (paths caddyhttp.MatchPath, err error) {
	if raw, ok := matcher["path"]; ok {
		if err := json.Unmarshal(raw, &paths); err != nil {
			return nil, d.Errf("path matcher: %v", err)
		}
	}
	return paths, nil
}

// checkExact refuses a path that leaves its own subpaths open: servers answer
// /mcp/ as they answer /mcp, and an exact matcher protects only one of them.
func checkExact(d *caddyfile.Dispenser, paths caddyhttp.MatchPath) error {
	for _, path := range paths {
		base := strings.TrimSuffix(path, "/")
		if !strings.Contains(path, "*") && !coveredByPrefix(paths, base+"/") {
			open := base + "/"
			if path == open {
				open = cmp.Or(base, "everything else")
			}
			return openError(d, path, open, cmp.Or(base, "/"))
		}
	}
	return nil
}

// checkBelow refuses the opposite: /mcp/* leaves the resource /mcp itself open.
func checkBelow(d *caddyfile.Dispenser, paths caddyhttp.MatchPath, id resource.Identifier) error {
	path := strings.TrimPrefix(id.MetadataPath(), resource.WellKnown)
	if path != "" && slices.Contains(paths, path+"/*") && !slices.Contains(paths, path) && !coveredByPrefix(paths, path) {
		return openError(d, path+"/*", path, path)
	}
	return nil
}

// warnUncovered warns of paths that don't match the resource's path. This is fine
// if a rewrite changes paths before they get here; otherwise the MCP server is
// unprotected.
func warnUncovered(d *caddyfile.Dispenser, paths caddyhttp.MatchPath, id resource.Identifier) {
	path := cmp.Or(strings.TrimPrefix(id.MetadataPath(), resource.WellKnown), "/")
	if len(paths) == 0 || slices.Contains(paths, path) || coveredByPrefix(paths, path) {
		return
	}
	caddy.Log().Named("caddyfile.mcp_auth").Warn("the matcher does not cover the resource's own path: unless an earlier rewrite makes it match, the MCP server is open to anyone",
		zap.Strings("matcher", paths),
		zap.String("resource", id.String()),
		zap.String("file", d.File()),
		zap.Int("line", d.Line()))
}

// warnNarrow warns of a matcher that looks at more than the path: requests that it
// doesn't match reach the MCP server without a token. A client can omit a header
// or choose another method.
func warnNarrow(d *caddyfile.Dispenser, matcher caddy.ModuleMap) {
	kinds := narrowKinds(matcher)
	if len(kinds) == 0 {
		return
	}
	caddy.Log().Named("caddyfile.mcp_auth").Warn("the matcher tests more than the path: requests that it doesn't match for that reason need no token. Match the path only, and leave other conditions to later handlers",
		zap.Strings("matchers", kinds),
		zap.String("file", d.File()),
		zap.Int("line", d.Line()))
}

// narrowKinds returns the names of the matchers that may distinguish requests for
// the same path.
func narrowKinds(matcher caddy.ModuleMap) []string {
	var kinds []string
	for name, raw := range matcher {
		switch name {
		case "path", "path_regexp", "host":
		case "not":
			var sets []caddy.ModuleMap
			if json.Unmarshal(raw, &sets) != nil {
				kinds = append(kinds, name)
			}
			for _, set := range sets {
				kinds = append(kinds, narrowKinds(set)...)
			}
		case "expression":
			if !aboutPath(raw) {
				kinds = append(kinds, name)
			}
		default:
			kinds = append(kinds, name)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// aboutPath reports whether a CEL expression looks only at paths and hosts,
// judging by the words in it.
func aboutPath(raw json.RawMessage) bool {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var config struct {
			Expr string `json:"expr"`
		}
		if json.Unmarshal(raw, &config) != nil {
			return false
		}
		text = config.Expr
	}
	for _, about := range placeholders.FindAllString(text, -1) {
		if !slices.Contains([]string{"{path}", "{http.request.uri.path}", "{host}", "{http.request.host}"}, about) && !strings.HasPrefix(about, "{http.request.uri.path.") {
			return false
		}
	}
	for _, match := range functions.FindAllStringSubmatch(text, -1) {
		if slices.Contains([]string{"client_ip", "file", "header", "header_regexp", "mcp_method", "mcp_prompt", "mcp_resource", "mcp_tool", "method", "protocol", "query", "remote_ip", "tls", "vars", "vars_regexp"}, match[1]) {
			return false
		}
	}
	return true
}

var (
	placeholders = regexp.MustCompile(`\{[A-Za-z][\w.-]*\}`)
	functions    = regexp.MustCompile(`(\w+)\s*\(`)
)

// coveredByPrefix reports whether one of paths is a prefix with * that matches
// path.
func coveredByPrefix(paths caddyhttp.MatchPath, path string) bool {
	return slices.ContainsFunc(paths, func(pattern string) bool {
		prefix, isPrefix := strings.CutSuffix(pattern, "*")
		return isPrefix && !strings.Contains(prefix, "*") && strings.HasPrefix(path, prefix)
	})
}

func openError(d *caddyfile.Dispenser, matcher, open, cure string) error {
	return d.Errf("the matcher %s would leave %s open to anyone: write %s*", matcher, open, cure)
}
