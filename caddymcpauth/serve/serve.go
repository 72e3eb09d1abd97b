// Package serve writes the Caddyfile that `caddy mcp-auth serve` stands for.
package serve

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Config is what the flags of the command say. Every text of it becomes one word
// of the Caddyfile.
type Config struct {
	// From is the address where clients connect: a host, with a port, a scheme and
	// the path of the MCP server if they need to be given. Required.
	From string
	// To are the addresses of the MCP server. Empty means mcp_whoami.
	To []string

	// Issuers are the authorization servers whose tokens are accepted. Without one,
	// there is an embedded one.
	Issuers []string
	// GitHubOrgs are the organizations whose members may sign in, with the
	// OAuth app whose client identifier is GitHubClientID. Its secret is in
	// GitHubClientSecretFile, or in the environment variable
	// [GitHubClientSecret].
	GitHubOrgs             []string
	GitHubClientID         string
	GitHubClientSecretFile string
	// User is the name of the user who signs in with a password.
	User string

	// Admin is the address of Caddy's admin API. Empty means none.
	Admin string
	// InternalCerts has Caddy's own authority issue the certificate, as for
	// localhost.
	InternalCerts bool
	// DisableRedirects keeps Caddy from listening on the port for HTTP.
	DisableRedirects bool
	// AccessLog and Debug turn on the logs of these names.
	AccessLog, Debug bool
}

// GitHubClientSecret is the environment variable with the secret of the OAuth app.
const GitHubClientSecret = "GITHUB_CLIENT_SECRET"

// defaultPath is the path of the MCP server if none is given. Most servers have it.
const defaultPath = "/mcp"

// Site is a site that can be served.
type Site struct {
	config Config
	origin string // also the embedded server's issuer
	// address is how the Caddyfile names the site.
	address string
	// bind is the address to listen on, empty for all.
	bind string
	// Resource is the URL that clients are given.
	Resource string
	// Local says that the certificate is from Caddy's own authority.
	Local bool
}

// New checks the configuration. Errors name the flag and say what to do.
func New(c Config) (*Site, error) {
	for _, word := range c.words() {
		if strings.ContainsFunc(word.value, notPlain) || strings.Contains(word.value, "<<") {
			return nil, fmt.Errorf("%s: %q is not a plain word in a Caddyfile: use letters, digits, and punctuation such as - . _ : /", word.flag, word.value)
		}
	}
	s := &Site{config: c}
	if err := s.parseFrom(); err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	if err := s.checkTo(); err != nil {
		return nil, err
	}
	return s, s.checkSignIn()
}

// word is a text that a flag puts into the Caddyfile.
type word struct{ flag, value string }

func (c Config) words() []word {
	words := []word{
		{"--from", c.From},
		{"--github-client-id", c.GitHubClientID},
		{"--github-client-secret-file", c.GitHubClientSecretFile},
		{"--user", c.User},
		{"--admin", c.Admin},
	}
	for flag, values := range map[string][]string{"--to": c.To, "--issuer": c.Issuers, "--github-org": c.GitHubOrgs} {
		for _, value := range values {
			if value == "" {
				value = " " // nothing is no word either
			}
			words = append(words, word{flag, value})
		}
	}
	return words
}

// notPlain reports whether r could be read as more than a part of a word.
func notPlain(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune("\"`{}#\\", r)
}

func (s *Site) parseFrom() error {
	from := s.config.From
	if from == "" {
		return errors.New("missing: give the host where clients connect, for example mcp.example.com")
	}
	if !strings.Contains(from, "://") {
		from = "https://" + from
	}
	u, err := url.Parse(from)
	if err != nil {
		return fmt.Errorf("%q is not an address: give a host such as mcp.example.com or localhost:8443", s.config.From)
	}
	host := u.Hostname()
	switch {
	case host == "" || strings.Contains(host, "*"):
		return fmt.Errorf("%q doesn't name one host, which clients need to find the server: give one such as mcp.example.com", s.config.From)
	case u.Scheme == "http" && !web.IsLoopback(host):
		return fmt.Errorf("%q is without TLS, so tokens could be read on the way: leave http:// out; behind a proxy that ends TLS, write a Caddyfile", s.config.From)
	}
	if _, err := resource.Parse(from); err != nil {
		return err
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if path == "" {
		path = defaultPath
	}
	s.origin = web.Origin(u)
	s.Resource = s.origin + path
	s.address = strings.TrimPrefix(s.origin, "https://")
	if u.Port() != "" || u.Scheme == "http" {
		s.address = s.origin
	}
	if web.IsLoopback(host) {
		s.bind = "127.0.0.1"
		if ip, err := netip.ParseAddr(host); err == nil {
			s.bind = ip.String()
		}
	}
	s.Local = u.Scheme == "https" && (s.bind != "" || s.config.InternalCerts)
	return nil
}

func (s *Site) checkTo() error {
	if len(s.config.To) == 0 && s.bind == "" {
		return errors.New("--to is missing: give the address of your MCP server, for example 127.0.0.1:3000; without one, only --from localhost works, with a server to try things out")
	}
	for _, to := range s.config.To {
		_, address, found := strings.Cut(to, "://")
		if !found {
			address = to
		}
		if strings.Contains(address, "/") && !strings.HasPrefix(to, "unix/") {
			return fmt.Errorf("--to: %q has a path: requests keep the path that they come with, so give the server's path in --from", to)
		}
	}
	return nil
}

func (s *Site) checkSignIn() error {
	c := s.config
	github := len(c.GitHubOrgs) > 0 || c.GitHubClientID != "" || c.GitHubClientSecretFile != ""
	switch {
	case len(c.Issuers) > 0 && (github || c.User != ""):
		return errors.New("--issuer means that users sign in at another authorization server, and --user and --github-org that they do here: keep one of them")
	case github && c.User != "":
		return errors.New("--user and --github-org are two ways to sign in: keep one of them; for both, save the Caddyfile of one with --print and add the other")
	case github && len(c.GitHubOrgs) == 0:
		return errors.New("--github-org is missing: name the organization whose members may sign in")
	case github && c.GitHubClientID == "":
		return fmt.Errorf("--github-client-id is missing: register an OAuth app at https://github.com/settings/applications/new with the callback %s/oauth/callback/github", s.origin)
	}
	if !github && len(c.Issuers) == 0 && c.User == "" {
		s.config.User = "user"
	}
	return nil
}
