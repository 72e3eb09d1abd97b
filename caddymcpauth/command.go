package caddymcpauth

import (
	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "mcp-auth",
		Usage: "<command>",
		Short: "Commands for the authorization front door of MCP servers",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(serveCommand())
			cmd.AddCommand(newKeyCommand())
			cmd.AddCommand(checkCommand())
			cmd.AddCommand(explainCommand())
			cmd.AddCommand(toolsCommand())
			cmd.AddCommand(statusCommand())
			cmd.AddCommand(grantsCommand())
			cmd.AddCommand(usersCommand())
		},
	})
}
