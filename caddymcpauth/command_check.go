package caddymcpauth

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/check"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// The exit codes of the commands, other than 0.
const (
	exitFailed  = 1 // a check failed; the token is refused
	exitUsage   = 2 // the command was used wrongly
	exitUnknown = 3 // the answer could not be determined
)

// checkCommand returns the command that checks a server from a client's point of
// view.
func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check <resource-url | issuer-url> [--ca <file>] [--timeout <duration>] [--json]",
		Short: "Checks whether MCP clients can use a server",
		Long: `
Walks the way of an MCP client, from the first request without a token to the
point where its user would sign in, and prints what works, what doesn't, and what
to do about it. It registers no client and needs no token. Any MCP server can be
checked, whether mcp_auth is before it or not.

Given the URL of an authorization server, it checks that alone. A URL is taken for
one if authorization server metadata names it, or is all that can be found there.

Exit codes: 0 if all is well or there are warnings only, 1 if something failed, 2
if the command was used wrongly.

--ca
    A file with the root certificates to trust instead of the system's, in PEM.
    Caddy's own root certificate is pki/authorities/local/root.crt in Caddy's
    data directory; 'caddy trust' makes it one of the system's.

--timeout
    How long each request may take. Default: 10s.

--json
    Prints the findings as JSON.
`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ca, _ := cmd.Flags().GetString("ca")
			timeout, _ := cmd.Flags().GetDuration("timeout")
			asJSON, _ := cmd.Flags().GetBool("json")
			config := check.Config{Timeout: timeout}
			if timeout <= 0 {
				return usageError(cmd, errors.New("--timeout is not positive"))
			}
			if ca != "" {
				var err error
				if config.Roots, err = readRoots(ca); err != nil {
					return usageError(cmd, err)
				}
			}
			report, err := check.Run(cmd.Context(), args[0], config)
			if err != nil {
				return usageError(cmd, err)
			}
			if asJSON {
				err = writeReport(cmd.OutOrStdout(), report)
			} else {
				err = printReport(cmd.OutOrStdout(), report)
			}
			if err != nil {
				return err
			}
			if report.Count(discovery.Error) > 0 {
				return exitWith(cmd, exitFailed)
			}
			return nil
		},
	}
	cmd.Flags().String("ca", "", "A file with the root certificates to trust, in PEM")
	cmd.Flags().Duration("timeout", check.DefaultTimeout.Round(time.Second), "How long each request may take")
	cmd.Flags().Bool("json", false, "Print the findings as JSON")
	cmd.SetFlagErrorFunc(usageError)
	return cmd
}

func readRoots(name string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca: %s has no certificate in PEM", name)
	}
	return roots, nil
}

// writeReport writes the report for programs.
func writeReport(w io.Writer, report *check.Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		*check.Report
		Failures int `json:"failures"`
		Warnings int `json:"warnings"`
	}{report, report.Count(discovery.Error), report.Count(discovery.Warning)})
}

// printReport writes the report for people.
func printReport(w io.Writer, report *check.Report) error {
	marks := map[discovery.Level]string{discovery.OK: "ok", discovery.Warning: "warn", discovery.Error: "FAIL"}
	p := printer{w: w}
	about := ""
	for _, f := range report.Findings {
		if f.About != about {
			kind := "authorization server"
			if f.About == report.Target && report.Kind == check.Resource {
				kind = "MCP server"
			}
			if about != "" {
				p.printf("\n")
			}
			p.printf("%s %s\n\n", kind, discovery.Quote(f.About))
			about = f.About
		}
		p.line(marks[f.Level], f.Step, f.Message)
		if f.Cure != "" {
			p.line("", "", "-> "+f.Cure)
		}
	}
	failures, warnings := report.Count(discovery.Error), report.Count(discovery.Warning)
	switch {
	case failures > 0:
		p.printf("\n%d failed, %s\n", failures, count(warnings, "warning"))
	case warnings > 0:
		p.printf("\nit works, with %s\n", count(warnings, "warning"))
	default:
		p.printf("\nall checks passed\n")
	}
	return p.err
}

// count is n of something.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// printer writes until the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// line prints a line of a table.
func (p *printer) line(mark, step, text string) {
	p.printf("%s\n", strings.TrimRight(fmt.Sprintf("%-4s  %-18s  %s", mark, step, text), " "))
}

// usageArgs is args with the exit code of wrong usage.
func usageArgs(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := args(cmd, given); err != nil {
			return usageError(cmd, err)
		}
		return nil
	}
}

// usageError says what is wrong with the command's usage or input.
func usageError(cmd *cobra.Command, err error) error {
	fmt.Fprintln(cmd.ErrOrStderr(), "Error:", err)
	return exitWith(cmd, exitUsage)
}

// errExit makes Caddy exit with 1. The command has said why.
var errExit = errors.New("exiting with status 1")

// exitWith returns the error that makes Caddy exit with status without printing
// anything more.
func exitWith(cmd *cobra.Command, status int) error {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if status == exitFailed {
		return errExit
	}
	// The type that carries other codes isn't exported.
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return status, nil })(cmd, nil)
}
