package caddymcpauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

const (
	// explainTimeout bounds what may be asked of authorization servers.
	explainTimeout = 30 * time.Second

	// maxStdin bounds what is read as a token.
	maxStdin = 1 << 20
)

// explainCommand returns the command that says why a token is accepted or
// refused.
func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain [--config <file> [--adapter <name>]] [--resource <url>] [--tool <name> | --prompt <name> | --uri <uri> | --method <name>] [--args <json>] [--rules] [--json]",
		Short: "Says why a token, or a call with it, is accepted or refused",
		Long: `
Reads an access token from stdin, judges it as the mcp_auth of a configuration
would, and says step by step why it would be accepted or refused. The token is not
printed, nor is anything that it says of itself before that is verified, except
its issuer, its audience, when it expires, and which kind of token it is.

The authorization servers are asked what the front door would ask them, with its
credentials. The running Caddy, if there is one, has no part in it. Placeholders
such as {env.SECRET} are replaced by what they mean here.

Exit codes: 0 if the token is accepted, 1 if it is refused, 2 if the command was
used wrongly or the configuration is, 3 if it could not be found out. Where the
configuration has several mcp_auth, the token is judged by each, and the first that
applies of 0, 3 and 1 is the code.

--config
    The configuration. Default: the Caddyfile in the current directory.

--adapter
    The name of the adapter of a configuration that is neither a Caddyfile nor
    JSON.

--resource
    Judges by the mcp_auth of this resource only.

--tool, --prompt, --uri, --method
    What the token is used for: a call of this tool, this prompt, this resource, or
    another method. The rules of the configuration are judged as well, and the line
    that decides is printed with what is missing. Default: a client's first request.

--args
    The arguments of the tool or prompt: a JSON object.

--rules
    Prints the rules as they were understood, and asks for no token.

--json
    Prints the explanation as JSON: a list with an object for each mcp_auth.
`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, _ := cmd.Flags().GetString("config")
			adapter, _ := cmd.Flags().GetString("adapter")
			only, _ := cmd.Flags().GetString("resource")
			asJSON, _ := cmd.Flags().GetBool("json")
			if file == "-" {
				return usageError(cmd, errors.New("--config can't be stdin: that is for the token"))
			}
			config, _, _, err := caddycmd.LoadConfig(file, adapter)
			switch {
			case err != nil:
				return usageError(cmd, err)
			case len(config) == 0:
				return usageError(cmd, errors.New("no Caddyfile in the current directory: name the configuration with --config"))
			}
			if rules, _ := cmd.Flags().GetBool("rules"); rules {
				return explainRules(cmd, config, only)
			}
			message, err := askedFor(cmd).message()
			if err != nil {
				return usageError(cmd, err)
			}
			raw, err := readToken(cmd.InOrStdin())
			if err != nil {
				return usageError(cmd, err)
			}
			explainers, release, err := loadExplainers(config, only)
			if err != nil {
				return usageError(cmd, err)
			}
			defer release()
			ctx, cancel := context.WithTimeout(cmd.Context(), explainTimeout)
			defer cancel()

			p := printer{w: cmd.OutOrStdout()}
			var accepted, unknown bool
			var all []*explanation
			for i, e := range explainers {
				e.ask(message)
				x := e.explain(ctx, raw)
				all = append(all, x)
				if !asJSON {
					if i > 0 {
						p.printf("\n")
					}
					x.print(&p)
				}
				switch {
				case !x.Denied:
					accepted = true
				case x.Status == http.StatusServiceUnavailable:
					unknown = true
				}
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
				p.err = enc.Encode(all)
			}
			switch {
			case p.err != nil:
				return p.err
			case accepted:
				return nil
			case unknown:
				return exitWith(cmd, exitUnknown)
			default:
				return exitWith(cmd, exitFailed)
			}
		},
	}
	cmd.Flags().StringP("config", "c", "", "The configuration")
	cmd.Flags().StringP("adapter", "a", "", "The name of the configuration's adapter")
	cmd.Flags().StringP("resource", "r", "", "Judge by the mcp_auth of this resource only")
	cmd.Flags().String("tool", "", "A call of this tool")
	cmd.Flags().String("prompt", "", "A request for this prompt")
	cmd.Flags().String("uri", "", "A request for this resource")
	cmd.Flags().String("method", "", "A request with this method")
	cmd.Flags().String("args", "", "The arguments of the tool or prompt, a JSON object")
	cmd.Flags().Bool("rules", false, "Print the rules as they were understood")
	cmd.Flags().Bool("json", false, "Print the explanation as JSON")
	cmd.SetFlagErrorFunc(usageError)
	return cmd
}

// askedFor returns what the flags ask about.
func askedFor(cmd *cobra.Command) (q question) {
	for name, to := range map[string]*string{"tool": &q.tool, "prompt": &q.prompt, "uri": &q.uri, "method": &q.method, "args": &q.arguments} {
		*to, _ = cmd.Flags().GetString(name)
	}
	return q
}

// explainRules prints the rules of each front door.
func explainRules(cmd *cobra.Command, config []byte, only string) error {
	explainers, release, err := loadExplainers(config, only)
	if err != nil {
		return usageError(cmd, err)
	}
	defer release()
	p := printer{w: cmd.OutOrStdout()}
	for i, e := range explainers {
		if i > 0 {
			p.printf("\n")
		}
		e.printRules(&p)
	}
	return p.err
}

// readToken reads a token, alone or as it stands in an Authorization header.
func readToken(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxStdin))
	if err != nil {
		return "", fmt.Errorf("reading the token from stdin: %w", err)
	}
	raw := strings.TrimSpace(string(b))
	for _, prefix := range []string{"Authorization:", "Bearer ", "DPoP "} {
		if len(raw) >= len(prefix) && strings.EqualFold(raw[:len(prefix)], prefix) {
			raw = strings.TrimSpace(raw[len(prefix):])
		}
	}
	if raw == "" {
		return "", errors.New("no token on stdin")
	}
	return raw, nil
}
