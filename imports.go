// Package caddymcp is the module root: importing it links every Caddy
// module of this repository, so that `xcaddy build --with
// github.com/caddy-mcp-auth/caddy-mcp-auth` gets them all.
//
// To link one alone, import its folder instead.
package caddymcp

import (
	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/authserver"
	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/facade"
	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/matchers"
	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/whoami"
)
