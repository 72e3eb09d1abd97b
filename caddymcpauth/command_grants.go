package caddymcpauth

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/access"
)

// grantsCommand returns the command that says who has access at the embedded
// authorization server.
func grantsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grants [--user <name>] [--client <name>] [--issuer <url>] [--address <listen> | --config <file> [--adapter <name>]] [--json]",
		Short: "Lists the clients that have access at the embedded authorization server",
		Long: `
Asks the running Caddy which clients may act in whose name, by what the users of its
mcp_auth_server have allowed. GRANTS is how many live grants a client has, for
example one for each computer that it is installed on. A client without one has no
token, but the user's permission.

--user
    Only this user: the subject, or the name that they sign in with.

--client
    Only this client: its identifier, or the name that it gave itself.

--issuer
    Only this server, if the Caddy has several.
` + adminHelp,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			query := make(url.Values)
			for _, name := range []string{"user", "client", "issuer"} {
				if value, _ := cmd.Flags().GetString(name); value != "" {
					query.Set(name, value)
				}
			}
			var answer access.Grants
			if err := askAdmin(cmd, http.MethodGet, "/mcp_auth_server/grants?"+query.Encode(), nil, &answer); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return printJSON(cmd.OutOrStdout(), answer.Grants)
			}
			p := printer{w: cmd.OutOrStdout()}
			printGrants(&p, answer.Grants, time.Now())
			return p.err
		},
	}
	cmd.Flags().StringP("user", "u", "", "Only this user")
	cmd.Flags().String("client", "", "Only this client")
	cmd.Flags().String("issuer", "", "Only this authorization server")
	adminFlags(cmd)
	cmd.AddCommand(revokeCommand())
	return cmd
}

func printGrants(p *printer, grants []access.Grant, now time.Time) {
	if len(grants) == 0 {
		p.printf("nobody has access\n")
		return
	}
	rows := [][]string{{"USER", "CLIENT", "MCP SERVER", "SCOPES", "GRANTS", "LAST USED"}}
	for _, g := range grants {
		user, client := g.User, g.Client
		if g.Username != "" && g.Username != g.User {
			user += " (" + g.Username + ")"
		}
		if g.ClientName != "" {
			client = g.ClientName
		}
		resources := make([]string, 0, len(g.Scopes))
		for resource := range g.Scopes {
			resources = append(resources, resource)
		}
		slices.Sort(resources)
		if len(resources) == 0 {
			resources = []string{""}
		}
		for _, resource := range resources {
			rows = append(rows, []string{
				cell(user), cell(client), cell(resource), cell(strings.Join(g.Scopes[resource], " ")), count(g.Grants, "grant"), ago(&g.Used, now),
			})
		}
	}
	p.table(rows)
}

// revokeCommand returns the command that ends a client's access.
func revokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke --user <name> --client <name> [--issuer <url>] [--address <listen> | --config <file> [--adapter <name>]] [--json]",
		Short: "Ends what a client may do in the name of a user",
		Long: `
Ends the access of a client in the name of a user, as the user can do on the account
page. The client's refresh tokens end at once. So do its access tokens wherever the
server is asked about them, and at the mcp_auth of the same Caddy; elsewhere they
end when they expire. Streams that are open there end, too.

--user, --client
    As in 'caddy mcp-auth grants'. All clients of that name lose access.
` + adminHelp,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			user, _ := cmd.Flags().GetString("user")
			client, _ := cmd.Flags().GetString("client")
			if user == "" || client == "" {
				return usageError(cmd, errors.New("name a user and a client; `caddy mcp-auth users sign-out` ends the access of all clients"))
			}
			return endAccess(cmd, "revoke", map[string]string{"user": user, "client": client})
		},
	}
	cmd.Flags().StringP("user", "u", "", "The user")
	cmd.Flags().String("client", "", "The client")
	cmd.Flags().String("issuer", "", "Only at this authorization server")
	adminFlags(cmd)
	return cmd
}

// usersCommand returns the command about users of the embedded authorization server.
func usersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "users <command>",
		Short: "Commands for users of the embedded authorization server",
	}
	signOut := &cobra.Command{
		Use:   "sign-out <user> [--issuer <url>] [--address <listen> | --config <file> [--adapter <name>]] [--json]",
		Short: "Ends a user's sessions, and what any client may do in their name",
		Long: `
For the day on which an employee leaves. First see to it that the user can't sign in
again: take them out of the configuration, or out of the organization where they
sign in. Then this ends their sessions in all browsers, and the access of all clients
in their name: refresh tokens at once, and access tokens wherever the server is asked
about them, and at the mcp_auth of the same Caddy; elsewhere when they expire.

The user is the subject, or the name that they sign in with.
` + adminHelp,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return endAccess(cmd, "sign_out", map[string]string{"user": args[0]})
		},
	}
	signOut.Flags().String("issuer", "", "Only at this authorization server")
	adminFlags(signOut)
	cmd.AddCommand(signOut)
	return cmd
}

// endAccess has the running Caddy end something, and says what.
func endAccess(cmd *cobra.Command, what string, req map[string]string) error {
	cmd.SilenceUsage = true
	if issuer, _ := cmd.Flags().GetString("issuer"); issuer != "" {
		req["issuer"] = issuer
	}
	var answer access.AllEnded
	if err := askAdmin(cmd, http.MethodPost, "/mcp_auth_server/"+what, req, &answer); err != nil {
		return err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd.OutOrStdout(), answer.Ended)
	}
	p := printer{w: cmd.OutOrStdout()}
	for _, e := range answer.Ended {
		of := ""
		if e.Client != "" {
			of = " of " + cell(e.Client)
		}
		p.printf("%s at %s: ended %s, %s and %s%s\n", cell(e.User), e.Issuer, count(e.Sessions, "session"), count(e.Consents, "consent"), count(e.Grants, "grant"), of)
	}
	return p.err
}
