package caddymcpauth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/serve"
)

// passwordHash is the environment variable with the hash of the user's password.
const passwordHash = "MCP_AUTH_PASSWORD_HASH"

// serveCommand returns the command that needs no Caddyfile.
func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve [--from <addr>] [--to <addr>] [--issuer <url> | --github-org <name> --github-client-id <id> | --user <name>] [--print] [--admin <addr>] [--internal-certs] [--disable-redirects] [--access-log] [--debug]",
		Short: "Serves an MCP server with sign-in, without a Caddyfile",
		Long: `
Puts an MCP server on the internet, with automatic HTTPS and MCP's OAuth. MCP
clients that connect to the --from address sign their users in, and reach the
--to address with the user's name in the header X-User. All other requests are
refused.

Users sign in at the authorization server that --issuer names, at GitHub, or here
with a password. The password is generated and shown once, on the terminal. To
choose it, put its hash, as 'caddy hash-password' prints it, into the environment
variable ` + passwordHash + `.

A generated password is another one at each start, which signs the user out. For
a server that stays, save the Caddyfile, and use 'caddy run':

    caddy mcp-auth serve --from mcp.example.com --to 127.0.0.1:3000 --print > Caddyfile

--from
    The address where clients connect. HTTPS unless it begins with http://, which
    works for localhost only. The path is that of the MCP server. Names such as
    localhost get a certificate of Caddy's own authority, and are served on this
    machine only. Default: localhost:8443, with the path /mcp.

--to
    The address of the MCP server. May be repeated. Without one, an MCP server with
    one tool, whoami, is served, on this machine only.

--issuer
    An authorization server whose tokens are accepted. May be repeated.

--github-org, --github-client-id, --github-client-secret-file
    Members of this GitHub organization sign in with GitHub. May be repeated. It
    needs an OAuth app, whose secret is in the environment variable
    ` + serve.GitHubClientSecret + ` or in a file.

--user
    The name of a user who signs in with a password. Default, if nothing else says
    who may sign in: user.

--print
    Prints the Caddyfile that would be run, and ends. It has the hash of the
    password; the password itself is shown on the terminal.

--admin
    The address of Caddy's admin API, such as localhost:2019, which 'caddy trust'
    and other commands of 'caddy mcp-auth' need. Default: none.

--internal-certs
    Uses a certificate of Caddy's own authority, also for public names.

--disable-redirects
    Doesn't redirect from HTTP to HTTPS.

--access-log, --debug
    Logs every request, or more of what goes on.
`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			site, err := serve.New(serveConfig(cmd))
			if err != nil {
				return usageError(cmd, err)
			}
			printOnly, _ := cmd.Flags().GetBool("print")
			hash, password, err := newPassword(site, printOnly)
			if err != nil {
				return usageError(cmd, err)
			}
			text := site.Caddyfile(hash)
			config, err := adaptCaddyfile(text)
			if err != nil {
				return usageError(cmd, err)
			}
			if printOnly {
				showSignIn(site, password, true)
				_, err := io.WriteString(cmd.OutOrStdout(), text)
				return err
			}
			cmd.SilenceUsage = true
			caddy.TrapSignals()
			if err := caddy.Load(config, false); err != nil {
				return err
			}
			showSignIn(site, password, false)
			select {}
		},
	}
	cmd.Flags().StringP("from", "f", "localhost:8443", "Address where clients connect")
	cmd.Flags().StringSliceP("to", "t", nil, "Address of the MCP server; may be repeated")
	cmd.Flags().StringSlice("issuer", nil, "An authorization server whose tokens are accepted; may be repeated")
	cmd.Flags().StringSlice("github-org", nil, "A GitHub organization whose members may sign in; may be repeated")
	cmd.Flags().String("github-client-id", "", "The client identifier of the OAuth app at GitHub")
	cmd.Flags().String("github-client-secret-file", "", "A file with the secret of the OAuth app")
	cmd.Flags().StringP("user", "u", "", "A user who signs in with a password")
	cmd.Flags().BoolP("print", "p", false, "Print the Caddyfile that would be run")
	cmd.Flags().String("admin", "", "Address of the admin API")
	cmd.Flags().BoolP("internal-certs", "i", false, "Use Caddy's own authority for the certificate")
	cmd.Flags().BoolP("disable-redirects", "r", false, "Disable HTTP->HTTPS redirects")
	cmd.Flags().Bool("access-log", false, "Enable the access log")
	cmd.Flags().BoolP("debug", "v", false, "Enable verbose debug logs")
	cmd.SetFlagErrorFunc(usageError)
	return cmd
}

// serveConfig returns what the flags say.
func serveConfig(cmd *cobra.Command) (c serve.Config) {
	flags := cmd.Flags()
	for name, to := range map[string]*string{
		"from": &c.From, "github-client-id": &c.GitHubClientID, "github-client-secret-file": &c.GitHubClientSecretFile,
		"user": &c.User, "admin": &c.Admin,
	} {
		*to, _ = flags.GetString(name)
	}
	for name, to := range map[string]*[]string{"to": &c.To, "issuer": &c.Issuers, "github-org": &c.GitHubOrgs} {
		*to, _ = flags.GetStringSlice(name)
	}
	for name, to := range map[string]*bool{
		"internal-certs": &c.InternalCerts, "disable-redirects": &c.DisableRedirects, "access-log": &c.AccessLog, "debug": &c.Debug,
	} {
		*to, _ = flags.GetBool(name)
	}
	return c
}

// newPassword returns the hash of the user's password, if a user has one, and the
// password itself if it is generated. Nobody could learn that without a terminal:
// it must not end up in a log.
func newPassword(site *serve.Site, printOnly bool) (hash, password string, err error) {
	if site.User() == "" {
		return "", "", nil
	}
	if hash, ok := os.LookupEnv(passwordHash); ok {
		if !strings.HasPrefix(hash, "$2") && !strings.HasPrefix(hash, "$argon2id$") || strings.ContainsAny(hash, " \t\r\n\"`{}#\\") {
			// The value may be the password itself, so it isn't quoted.
			return "", "", fmt.Errorf("%s is not a hash: make one with `caddy hash-password`", passwordHash)
		}
		return hash, "", nil
	}
	if terminal(printOnly) == nil {
		return "", "", fmt.Errorf("there is no terminal on which the password could be shown: choose one, hash it with `caddy hash-password`, and set %s", passwordHash)
	}
	password = strings.ToLower(rand.Text())
	b, err := caddyauth.BcryptHash{}.Hash([]byte(password))
	return string(b), password, err
}

// terminal returns the terminal of the command, nil if there is none. While the
// Caddyfile is printed, stdout is for that alone.
func terminal(printOnly bool) *os.File {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if (f != os.Stdout || !printOnly) && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a file descriptor is small
			return f
		}
	}
	return nil
}

// showSignIn tells, on the terminal, what a user needs to connect.
func showSignIn(site *serve.Site, password string, printOnly bool) {
	f := terminal(printOnly)
	if f == nil {
		return
	}
	p := printer{w: f}
	p.printf("\nMCP server   %s\n", site.Resource)
	if site.User() != "" {
		p.printf("User         %s\n", site.User())
	}
	if password != "" {
		p.printf("Password     %s\n", password)
	}
	if site.Local {
		p.printf("Certificate  %s\n", filepath.Join(caddy.AppDataDir(), "pki", "authorities", "local", "root.crt"))
	}
	p.printf("\n")
}

// adaptCaddyfile returns the configuration that the Caddyfile stands for.
func adaptCaddyfile(text string) ([]byte, error) {
	if formatted := caddyfile.Format([]byte(text)); string(formatted) != text {
		return nil, errors.New("the Caddyfile isn't what was meant: use letters, digits, and punctuation such as - . _ : / in all flags")
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return config, err
}
