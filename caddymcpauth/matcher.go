package caddymcpauth

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/resource"
)

// matcherPaths returns the paths of matcher, none if it isn't about paths.
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

// warnUncovered tells of paths that don't match the resource's own. There is a
// reason for it if a rewrite changes paths before they get here; otherwise the
// MCP server stands open.
func warnUncovered(d *caddyfile.Dispenser, paths caddyhttp.MatchPath, id resource.Identifier) {
	path := cmp.Or(strings.TrimPrefix(id.MetadataPath(), resource.WellKnown), "/")
	if len(paths) == 0 || slices.Contains(paths, path) || coveredByPrefix(paths, path) {
		return
	}
	caddy.Log().Named("caddyfile.mcp_auth").Warn("the matcher does not cover the resource's own path: unless a rewrite comes before, the MCP server is open to anybody",
		zap.Strings("matcher", paths),
		zap.String("resource", id.String()),
		zap.String("file", d.File()),
		zap.Int("line", d.Line()))
}

// coveredByPrefix reports whether one of paths is a prefix with * that matches
// path.
func coveredByPrefix(paths caddyhttp.MatchPath, path string) bool {
	return slices.ContainsFunc(paths, func(pattern string) bool {
		prefix, isPrefix := strings.CutSuffix(pattern, "*")
		return isPrefix && !strings.Contains(prefix, "*") && strings.HasPrefix(path, prefix)
	})
}

func openError(d *caddyfile.Dispenser, matcher, open, cure string) error {
	return d.Errf("the matcher %s would leave %s open to anybody: write %s*", matcher, open, cure)
}
