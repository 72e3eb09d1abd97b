// Command caddy is Caddy with every module of this repository: the program
// that xcaddy would generate.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	// Caddy's standard modules, then ours.
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mcp-auth/caddy-mcp-auth"
)

func main() {
	caddycmd.Main()
}
