package serve

import (
	"strings"
)

// User is the name of the user who signs in with a password, empty if none does.
func (s *Site) User() string { return s.config.User }

// Caddyfile returns the Caddyfile, formatted. hash is the hash of the user's
// password, as `caddy hash-password` prints it, if there is one.
func (s *Site) Caddyfile(hash string) string {
	var w writer
	w.block("", s.globalOptions)
	w.line()
	w.block(s.address, func(w *writer) {
		if s.config.AccessLog {
			w.line("log")
		}
		if s.config.InternalCerts {
			w.line("tls", "internal")
		}
		issuers, embedded := s.config.Issuers, len(s.config.Issuers) == 0
		if embedded {
			issuers = []string{s.origin}
			w.block("mcp_auth_server "+s.origin, func(w *writer) { s.server(w, hash) })
		}
		w.block("mcp_auth "+s.Resource, func(w *writer) {
			for _, issuer := range issuers {
				w.line("issuer", issuer)
			}
			if embedded {
				w.line("scopes", "mcp:tools")
			}
			if len(s.config.To) > 0 {
				w.line("header", "X-User", "{http.auth.user.id}")
			}
		})
		if len(s.config.To) == 0 {
			w.line("mcp_whoami")
		} else {
			w.line(append([]string{"reverse_proxy"}, s.config.To...)...)
		}
	})
	return w.String()
}

func (s *Site) globalOptions(w *writer) {
	if s.config.Admin == "" {
		w.line("admin", "off")
	} else {
		w.line("admin", s.config.Admin)
	}
	w.line("persist_config", "off")
	if s.bind != "" {
		w.line("default_bind", s.bind)
	}
	if s.bind != "" || s.config.DisableRedirects {
		w.line("auto_https", "disable_redirects")
	}
	if s.Local {
		w.line("skip_install_trust")
	}
	if s.config.Debug {
		w.line("debug")
	}
}

// server writes the options of the embedded authorization server.
func (s *Site) server(w *writer, hash string) {
	w.line("resource", s.Resource)
	w.block("scopes", func(w *writer) { w.line("mcp:tools", `"Use the tools of this server"`) })
	if s.config.User != "" {
		w.block("users", func(w *writer) { w.line(s.config.User, hash) })
	} else {
		w.block("upstream github", func(w *writer) {
			w.line("client_id", s.config.GitHubClientID)
			secret := "{env." + GitHubClientSecret + "}"
			if file := s.config.GitHubClientSecretFile; file != "" {
				secret = "{file." + file + "}"
			}
			w.line("client_secret", secret)
			w.line(append([]string{"allow", "org"}, s.config.GitHubOrgs...)...)
		})
	}
	// The Cursor desktop app redirects to cursor://…
	w.line("private_schemes", "cursor")
}

// writer writes a Caddyfile as `caddy fmt` does.
type writer struct {
	strings.Builder
	depth int
}

func (w *writer) line(words ...string) {
	if len(words) > 0 {
		w.WriteString(strings.Repeat("\t", w.depth) + strings.Join(words, " "))
	}
	w.WriteByte('\n')
}

// block writes a block with what write writes in it.
func (w *writer) block(head string, write func(*writer)) {
	w.line(strings.TrimSpace(head + " {"))
	w.depth++
	write(w)
	w.depth--
	w.line("}")
}
