package pages_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
)

type writer interface {
	Write(w http.ResponseWriter, status int)
}

// hostile is a client that tries everything.
var hostile = pages.Client{
	Name:         `"><script>alert(1)</script>` + "\u202egpj.exe\u2066\x00\r\n" + `' onclick=x style=x {{.}} ` + strings.Repeat("long ", 100),
	IDHost:       `evil.example"><b>`,
	URI:          `https://evil.example/"><script>?javascript:`,
	RedirectHost: "evil.example\u202e\n<i>",
	Loopback:     true,
}

var honest = pages.Client{Name: "Claude", IDHost: "claude.ai", URI: "https://claude.ai/", RedirectHost: "claude.ai"}

var scopes = []pages.Scope{{Name: "files:read", Description: "Read your files"}, {Name: "files:write"}}

const script = `"><script>alert(1)</script>`

// everyPage are pages full, empty, and under attack.
func everyPage() map[string]writer {
	day := time.Date(2026, 3, 4, 23, 0, 0, 0, time.UTC)
	return map[string]writer{
		"sign in": pages.SignIn{
			Site: "auth.example", Client: &honest, Server: pages.Server{URL: "https://mcp.example/files", Name: "Files"}, Action: "/login", Request: "r1", Local: true, Username: "alice", Error: "Wrong password.",
			Upstreams: []pages.Upstream{{Label: "Example ID", URL: "/upstream/example?request=r1"}, {Label: "Other", URL: "https://other.example/"}},
		},
		"sign in to the account":          pages.SignIn{Site: "auth.example", Action: "/login", Local: true},
		"sign in, upstream only":          pages.SignIn{Site: "auth.example", Client: &honest, Action: "/login", Error: "That failed.", Upstreams: []pages.Upstream{{Label: "X", URL: "/x"}}},
		"sign in, account, upstream only": pages.SignIn{Site: "auth.example", Upstreams: []pages.Upstream{{Label: "X", URL: "/x"}}},
		"sign in, hostile": pages.SignIn{
			Site: script, Client: &hostile, Server: pages.Server{URL: script, Name: script}, Action: "/login" + script, Request: script, Local: true, Username: script, Error: script,
			Upstreams: []pages.Upstream{{Label: script, URL: "/" + script}},
		},
		"consent": pages.Consent{
			Site: "auth.example", Client: honest, User: "Alice", Email: "alice@example.com", Server: pages.Server{URL: "https://mcp.example/files", Name: "Files"},
			Scopes: scopes, Offline: true, Action: "/consent", Request: "r1",
		},
		"consent, empty": pages.Consent{Site: "auth.example"},
		"consent, hostile": pages.Consent{
			Site: script, Client: hostile, User: script, Email: script, Server: pages.Server{URL: script, Name: script},
			Scopes: []pages.Scope{{Name: script, Description: script}}, Action: "/" + script, Request: script,
		},
		"consent, again": pages.Consent{
			Site: "auth.example", Client: pages.Client{Name: "Editor", RedirectHost: "127.0.0.1", Loopback: true}, User: "Alice", Server: pages.Server{URL: "https://mcp.example/files"},
			Scopes: scopes, Offline: true, Again: true, Action: "/consent", Request: "r1",
		},
		"leave":          pages.Leave{Site: "auth.example", RedirectHost: "claude.ai", Action: "/consent", Request: "r1"},
		"leave, here":    pages.Leave{Site: "auth.example", RedirectHost: "127.0.0.1", Loopback: true, Action: "/consent", Request: "r1"},
		"leave, hostile": pages.Leave{Site: script, RedirectHost: hostile.RedirectHost, PrivateScheme: true, Action: "/" + script, Request: script},
		"account": pages.Account{
			Site: "auth.example", User: "Alice", Email: "alice@example.com", Action: "/revoke", SignOut: "/signout", Token: "t1", Done: "Removed.",
			Access: []pages.Access{
				{ID: "a1", Client: honest, Server: pages.Server{URL: "https://mcp.example/"}, Scopes: scopes, Since: day, LastUsed: day},
				{ID: "a2", Client: pages.Client{Trusted: true}, Server: pages.Server{URL: "https://mcp.example/"}},
			},
		},
		"account, empty":   pages.Account{Site: "auth.example", User: "Alice", Action: "/revoke", SignOut: "/signout", Token: "t1"},
		"account, hostile": pages.Account{Site: script, User: script, Email: script, Done: script, Token: script, Access: []pages.Access{{ID: script, Client: hostile, Server: pages.Server{URL: script}, Scopes: []pages.Scope{{Name: script}}}}},
		"landing": pages.Landing{
			Site: "mcp.example", Server: pages.Server{URL: "https://mcp.example/mcp", Name: "Files of Acme"},
			Documentation: "https://docs.example/files", Account: "https://mcp.example/oauth/account",
		},
		"landing, empty":   pages.Landing{Site: "mcp.example", Server: pages.Server{URL: "https://mcp.example/mcp"}},
		"landing, hostile": pages.Landing{Site: script, Server: pages.Server{URL: "https://mcp.example/" + script + "';rm -rf ~;'", Name: script + hostile.Name}, Documentation: script, Account: "javascript:" + script},
		"message":          pages.Message{Site: "auth.example", Title: "Too late", Text: "The request has expired.", Cure: "Start again.", Detail: "invalid_request: expired", Link: "/account", LinkLabel: "Your account"},
		"message, empty":   pages.Message{Site: "auth.example", Title: "Done", Text: "You are signed out."},
		"message, hostile": pages.Message{Site: script, Title: script, Text: script + hostile.Name, Cure: script, Detail: script, Link: "/" + script, LinkLabel: script},
	}
}

func TestEveryPage(t *testing.T) {
	t.Parallel()
	for name, p := range everyPage() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, status := range []int{http.StatusOK, http.StatusForbidden} {
				got := get(t, p, status)
				if got.Code != status {
					t.Errorf("got status %d, want %d", got.Code, status)
				}
				got.wellFormed(t)
				if strings.Contains(got.body, "\u202e") || strings.Contains(got.body, "\u2066") || strings.Contains(got.body, "\x00") {
					t.Error("a character that turns or ends text has got through")
				}
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for name, p := range everyPage() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := get(t, p, http.StatusOK)
			// As the browser does it: over what is between the tags.
			_, rest, _ := strings.Cut(got.body, "<style>")
			content, _, _ := strings.Cut(rest, "</style>")
			hash := sha256.Sum256([]byte(content))
			policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; base-uri 'none'; frame-ancestors 'none'"
			// Sign-in and consent end in a redirect to the client.
			switch p.(type) {
			case pages.Account, pages.Message:
				policy += "; form-action 'self'"
			case pages.Landing:
				_, rest, _ := strings.Cut(got.body, "<script>")
				content, _, _ := strings.Cut(rest, "</script>")
				hash := sha256.Sum256([]byte(content))
				policy += "; script-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; form-action 'none'"
			}
			want := http.Header{
				"Content-Type":            {"text/html; charset=utf-8"},
				"Content-Security-Policy": {policy},
				"X-Frame-Options":         {"DENY"},
				"Referrer-Policy":         {"same-origin"},
				"Cache-Control":           {"no-store"},
				"X-Content-Type-Options":  {"nosniff"},
			}
			for key := range want {
				if got.Header().Get(key) != want.Get(key) {
					t.Errorf("got %s %q, want %q", key, got.Header().Get(key), want.Get(key))
				}
			}
			if len(got.Header()) != len(want) {
				t.Errorf("got headers %v, want %v", got.Header(), want)
			}
		})
	}
}

func TestButtons(t *testing.T) {
	t.Parallel()
	tests := []struct {
		page    string
		buttons []string
		hidden  string // name=value of the hidden fields
		action  []string
	}{
		// Signing in comes first: it is what the Enter key does.
		{"sign in", []string{"decision=signin", "decision=cancel"}, "request=r1", []string{"/login"}},
		{"sign in to the account", []string{"decision=signin"}, "request=", []string{"/login"}},
		{"sign in, upstream only", []string{"decision=cancel"}, "request=", []string{"/login"}},
		{"sign in, account, upstream only", nil, "", nil},
		{"consent", []string{"decision=allow", "decision=deny", "decision=switch"}, "request=r1", []string{"/consent"}},
		{"consent, again", []string{"decision=allow", "decision=deny", "decision=switch"}, "request=r1", []string{"/consent"}},
		{"leave", []string{"decision=allow", "decision=deny"}, "request=r1", []string{"/consent"}},
		{"account", []string{"where=here", "where=everywhere", "revoke=a1", "revoke=a2"}, "csrf=t1", []string{"/signout", "/revoke"}},
		{"account, empty", []string{"where=here", "where=everywhere"}, "csrf=t1", []string{"/signout"}},
		{"message", nil, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.page, func(t *testing.T) {
			t.Parallel()
			got := get(t, everyPage()[tt.page], http.StatusOK)
			if !slices.Equal(got.buttons(), tt.buttons) {
				t.Errorf("got buttons %v, want %v", got.buttons(), tt.buttons)
			}
			var actions []string
			for _, form := range got.all("form") {
				action, _ := attr(form, "action")
				actions = append(actions, action)
			}
			if !slices.Equal(actions, tt.action) {
				t.Errorf("got actions %v, want %v", actions, tt.action)
			}
			hidden := got.with("type", "hidden")
			if len(hidden) != len(tt.action) {
				t.Errorf("got %d hidden fields, want one in each of %d forms", len(hidden), len(tt.action))
			}
			for _, n := range hidden {
				name, _ := attr(n, "name")
				value, _ := attr(n, "value")
				if name+"="+value != tt.hidden {
					t.Errorf("got hidden field %s=%s, want %s", name, value, tt.hidden)
				}
			}
		})
	}
}
