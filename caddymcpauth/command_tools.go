package caddymcpauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/tools"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// defaultServer is the server behind that a skeleton names if none is given.
const defaultServer = "http://127.0.0.1:3000/mcp"

// toolsCommand returns the command that lists the tools of a server.
func toolsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tools <resource-url> [--token -] [--server <url>] [--policy] [--ca <file>] [--timeout <duration>] [--json]",
		Short: "Lists the tools that a server shows to a caller, and drafts rules for them",
		Long: `
Asks an MCP server for its tools as a client does, and prints those that this
caller is shown. Any MCP server over streamable HTTP can be asked, whether mcp_auth
is before it or not. Names and descriptions are what the server says.

Exit codes: 0 if the tools were listed, 1 if not, 2 if the command was used wrongly.

--token -
    Reads the caller's access token from stdin. Default: none, the caller is
    anonymous. The token is sent to <resource-url> only.

--server
    The URL of the server behind mcp_auth, such as http://127.0.0.1:3000/mcp. It is
    asked too, without a token, and the tools that the caller isn't shown are
    listed as hidden.

--policy
    Prints a Caddyfile with rules to start from: for the tools of --server, or
    without it for those that the caller is shown.

--ca
    A file with the root certificates to trust instead of the system's, in PEM.

--timeout
    How long listing the tools of a server may take. Default: 30s.

--json
    Prints the tools as JSON.
`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask, err := toolsAsked(cmd, args[0])
			if err != nil {
				return usageError(cmd, err)
			}
			shown, all, err := ask.list(cmd)
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "Error:", toolsError(err))
				return exitWith(cmd, exitFailed)
			}
			switch {
			case ask.policy && all != nil:
				return tools.WriteSkeleton(cmd.OutOrStdout(), ask.resource, ask.behind, all)
			case ask.policy:
				return tools.WriteSkeleton(cmd.OutOrStdout(), ask.resource, ask.behind, shown)
			case ask.asJSON:
				return writeTools(cmd.OutOrStdout(), compared(shown, all))
			}
			return printTools(cmd.OutOrStdout(), ask, shown, all)
		},
	}
	cmd.Flags().String("token", "", "- reads the caller's access token from stdin")
	cmd.Flags().String("server", "", "The URL of the server behind, to compare with")
	cmd.Flags().Bool("policy", false, "Print a Caddyfile with rules to start from")
	cmd.Flags().String("ca", "", "A file with the root certificates to trust, in PEM")
	cmd.Flags().Duration("timeout", tools.DefaultTimeout, "How long listing may take")
	cmd.Flags().Bool("json", false, "Print the tools as JSON")
	cmd.MarkFlagsMutuallyExclusive("policy", "json")
	cmd.SetFlagErrorFunc(usageError)
	return cmd
}

// askedTools is what the command was asked for.
type askedTools struct {
	resource, behind *url.URL
	compare          bool // with what is behind
	policy, asJSON   bool
	config           tools.Config
}

func toolsAsked(cmd *cobra.Command, target string) (*askedTools, error) {
	if _, err := parseResource(target); err != nil {
		return nil, err
	}
	ask := new(askedTools)
	ask.resource, _ = url.Parse(target)
	ask.policy, _ = cmd.Flags().GetBool("policy")
	ask.asJSON, _ = cmd.Flags().GetBool("json")
	ask.compare = cmd.Flags().Changed("server")
	server, _ := cmd.Flags().GetString("server")
	if !ask.compare {
		server = defaultServer
	}
	var err error
	if ask.behind, err = url.Parse(server); err != nil || ask.behind.Scheme != "http" && ask.behind.Scheme != "https" || ask.behind.Host == "" || ask.behind.User != nil {
		return nil, fmt.Errorf("--server %q is not the URL of a server: write it with its path, such as %s", server, defaultServer)
	}
	if ask.config.Timeout, _ = cmd.Flags().GetDuration("timeout"); ask.config.Timeout <= 0 {
		return nil, errors.New("--timeout is not positive")
	}
	if ca, _ := cmd.Flags().GetString("ca"); ca != "" {
		if ask.config.Roots, err = readRoots(ca); err != nil {
			return nil, err
		}
	}
	switch from, _ := cmd.Flags().GetString("token"); {
	case from == "-":
		ask.config.Token, err = readToken(cmd.InOrStdin())
	case cmd.Flags().Changed("token"):
		err = errors.New("--token takes only -, and the token on stdin: others can see what stands on a command line")
	}
	return ask, err
}

// list returns the tools that the caller is shown, and those of the server behind;
// nil if that isn't asked.
func (ask *askedTools) list(cmd *cobra.Command) (shown, all []tools.Tool, err error) {
	if shown, err = tools.List(cmd.Context(), ask.resource.String(), ask.config); err != nil || !ask.compare {
		return shown, nil, err
	}
	config := ask.config
	config.Token = ""
	if all, err = tools.List(cmd.Context(), ask.behind.String(), config); err == nil && all == nil {
		all = []tools.Tool{}
	}
	return shown, all, err
}

// toolsError says what to do about an error.
func toolsError(err error) string {
	failed, ok := errors.AsType[*tools.Error](err)
	if !ok {
		return discovery.Quote(err.Error())
	}
	cure := "check that it is the URL of an MCP server over streamable HTTP, with its path: `caddy mcp-auth check` says more"
	switch {
	case failed.Status == 0:
		cure = "start the server, or correct the URL; if its certificate isn't trusted, name the root with --ca"
	case failed.Status == http.StatusUnauthorized && !failed.Token:
		cure = "it needs an access token: pass one on stdin, with --token -"
	case failed.Status == http.StatusUnauthorized:
		cure = "it doesn't take this access token: `caddy mcp-auth explain` says why"
	case failed.Status == http.StatusForbidden && failed.Token:
		cure = "this access token isn't enough: `caddy mcp-auth explain` says what is missing"
	case failed.Status == http.StatusOK:
		cure = "it answered, but not with a list of tools"
	case failed.Status >= 500:
		cure = "the server, or one behind it, has a problem: see its log"
	}
	status := ""
	if failed.Status != 0 {
		status = fmt.Sprintf(", the last answer was %d", failed.Status)
	}
	return fmt.Sprintf("the tools of %s can't be listed%s\n  -> %s\n  cause: %s", discovery.Quote(failed.URL), status, cure, discovery.Quote(failed.Cause.Error()))
}

// comparedTool is a tool and who has it.
type comparedTool struct {
	tools.Tool
	Shown bool `json:"shown"`
	// Behind is set if the server behind was asked.
	Behind *bool `json:"behind,omitempty"`
}

// compared returns the tools that are shown, and after them those that aren't.
func compared(shown, all []tools.Tool) []comparedTool {
	has := func(list []tools.Tool, name string) bool {
		return slices.ContainsFunc(list, func(t tools.Tool) bool { return t.Name == name })
	}
	list := []comparedTool{}
	for _, tool := range shown {
		c := comparedTool{Tool: tool, Shown: true}
		if all != nil {
			behind := has(all, tool.Name)
			c.Behind = &behind
		}
		list = append(list, c)
	}
	for _, tool := range all {
		if !has(shown, tool.Name) {
			behind := true
			list = append(list, comparedTool{tool, false, &behind})
		}
	}
	return list
}

func writeTools(w io.Writer, list []comparedTool) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(list)
}

// printTools writes the tools for people.
func printTools(w io.Writer, ask *askedTools, shown, all []tools.Tool) error {
	p := printer{w: w}
	who := "a caller without a token"
	if ask.config.Token != "" {
		who = "this caller"
	}
	p.printf("%s shows %s to %s\n", discovery.Quote(ask.resource.String()), count(len(shown), "tool"), who)
	if all != nil {
		p.printf("%s has %s\n", discovery.Quote(ask.behind.String()), count(len(all), "tool"))
	}
	p.printf("\n")
	for _, tool := range compared(shown, all) {
		mark, hint := "shown", ""
		switch {
		case !tool.Shown:
			mark = "hidden"
		case tool.Behind != nil && !*tool.Behind:
			mark = "extra" // another server's, or one that has changed since
		}
		if tool.ReadOnly {
			hint = "only reads"
		}
		description := ""
		if tool.Description != "" {
			description = "  " + discovery.Quote(tool.Description)
		}
		p.printf("%-6s  %-10s  %s%s\n", mark, hint, discovery.Quote(tool.Name), description)
	}
	return p.err
}
