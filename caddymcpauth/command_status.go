package caddymcpauth

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/access"
)

// wholeStatus is what the command prints as JSON.
type wholeStatus struct {
	status
	Servers []access.Server `json:"servers"`
}

// statusCommand returns the command that says what the running Caddy does.
func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [--address <listen> | --config <file> [--adapter <name>]] [--json]",
		Short: "Says what the running Caddy protects, and how its authorization servers do",
		Long: `
Asks the admin API of the running Caddy, and prints the MCP servers that it protects
with who may sign in; the authorization servers, with when their metadata and keys
were last fetched, why they aren't asked at the moment, and how many tokens are
remembered; and how many users, clients and grants its own authorization servers
have. It prints no secrets.
` + adminHelp,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			var all wholeStatus
			if err := askAdmin(cmd, http.MethodGet, "/mcp_auth/status", nil, &all.status); err != nil {
				return err
			}
			if err := askAdmin(cmd, http.MethodGet, "/mcp_auth_server/status", nil, &all); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			p := printer{w: cmd.OutOrStdout()}
			all.print(&p, time.Now())
			return p.err
		},
	}
	adminFlags(cmd)
	return cmd
}

func (s wholeStatus) print(p *printer, now time.Time) {
	if len(s.Doors) == 0 {
		p.printf("no MCP server is protected\n")
	}
	for _, d := range s.Doors {
		p.printf("MCP server %s\n\n", d.Resource)
		for _, issuer := range d.Issuers {
			p.pair("issuer", issuer)
		}
		for _, who := range d.SignIn {
			p.pair("sign-in", who)
		}
		if len(d.Scopes) > 0 {
			p.pair("scopes", strings.Join(d.Scopes, " "))
		}
		for _, need := range d.Require {
			p.pair("require", need)
		}
		if d.Rules > 0 {
			p.pair("rules", fmt.Sprint(d.Rules))
		}
		if d.Anonymous {
			p.pair("anonymous", "the base protocol and the lists are open without a token")
		}
		p.printf("\n")
	}
	for _, iss := range s.Issuers {
		p.printf("authorization server %s\n\n", iss.Issuer)
		p.pair("metadata", iss.Metadata.words(now))
		keys := iss.Keys.words(now)
		if iss.Keys.Fetched != nil {
			keys = count(iss.Keys.Count, "key") + ", " + keys
		}
		p.pair("keys", keys)
		if iss.Down != "" {
			p.pair("down", "it isn't asked about tokens at the moment: "+iss.Down)
		}
		p.pair("remembered", iss.Caches.words())
		p.printf("\n")
	}
	for _, server := range s.Servers {
		p.printf("mcp_auth_server %s\n\n", server.Issuer)
		p.pair("access", fmt.Sprintf("%s, %s, %s", count(server.Users, "user"), count(server.Clients, "client"), count(server.Grants, "live grant")))
		p.printf("\n")
	}
}

// pair prints a line with a name.
func (p *printer) pair(name, text string) { p.printf("    %-11s  %s\n", name, text) }

func (f fetchedStatus) words(now time.Time) string {
	words := "not needed yet"
	if f.Fetched != nil {
		words = "fetched " + ago(f.Fetched, now)
	}
	if f.Failures > 0 {
		words += fmt.Sprintf("; then failed %d times: %s", f.Failures, f.Error)
	}
	return words
}

func (c cachesStatus) words() string {
	words := fmt.Sprintf("%s of at most %d", count(c.Entries, "verdict"), c.Max)
	if asked := c.Hits + c.Misses; asked > 0 {
		words += fmt.Sprintf(", hit rate %.0f %%", 100*float64(c.Hits)/float64(asked))
	}
	return words
}
