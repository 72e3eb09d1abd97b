// Package pages renders the pages of the authorization server and the façade:
// signing in, allowing an application access, removing access, and messages; and
// the page at an MCP server for people who open its address in a browser.
//
// It only knows HTML and net/http. The caller decides what is true, who may see
// it, and what a form does. The pages run no script, except [Landing], and load
// nothing, so that their policy can refuse everything except their own style.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed html
var files embed.FS

//go:embed html/style.css
var style string

// basePolicy is the Content-Security-Policy of every page. The style is allowed
// by its hash, so injected styles are refused.
var basePolicy = func() string {
	hash := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; base-uri 'none'; frame-ancestors 'none'"
}()

// ownForms allows a page's forms to be sent to this server only. It is not used
// on pages whose form ends in a redirect to a client: Chromium applies
// form-action to every redirect that follows a form, and a client may redirect
// again, to places that can't be listed here. Those pages are protected from
// injected forms because they escape all untrusted text.
const ownForms = "; form-action 'self'"

// parse parses a page: the layout, the shared templates, and the page itself.
func parse(page string) *template.Template {
	return template.Must(template.New("frame.html").Funcs(template.FuncMap{
		"style":   func() template.CSS { return template.CSS(style) },
		"name":    name,
		"appName": appName,
		"host":    host,
		"detail":  detail,
		"prose":   prose,
		"split":   splitHost,
		"encoded": isEncoded,
		"day":     func(t time.Time) string { return t.UTC().Format("2 January 2006") },
		"isoDay":  func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	}).ParseFS(files, "html/frame.html", "html/client.html", "html/"+page))
}

// write renders into memory first, so that nobody sees half a consent page.
func write(w http.ResponseWriter, status int, policy string, page *template.Template, data any) {
	var body bytes.Buffer
	if err := page.Execute(&body, data); err != nil {
		http.Error(w, "The page could not be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	// For browsers that don't support frame-ancestors.
	h.Set("X-Frame-Options", "DENY")
	// no-referrer would turn the Origin of the forms into null.
	h.Set("Referrer-Policy", "same-origin")
	// The pages contain personal data and tokens of forms.
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// No Cross-Origin-Opener-Policy: clients on the web open the pages in a
	// popup, which would have lost its opener when it comes back to them.
	w.WriteHeader(status)
	// A browser that has gone away needs no page.
	_, _ = body.WriteTo(w)
}

// Client is how a client is presented to the user. Unless it is Trusted, all
// of it but the hosts is the client's own word.
type Client struct {
	// Name is what the client calls itself. It may be hostile: it is cleaned
	// and cut. Empty means "An unnamed application".
	Name string
	// IDHost is the host of the client ID metadata document, the one thing
	// about such a client that can't be made up. Empty if there is none.
	IDHost string
	// URI is the client's home page. It is shown if it is https, its host is
	// ASCII (other letters can be made to look like a well-known name), and
	// users are sent back to that host.
	URI string
	// RedirectHost is where the user is sent back: host[:port], or the scheme
	// of a private-use one with its colon. It is always shown, and as given, so
	// names with other letters than ASCII are to be given as Punycode.
	RedirectHost string
	// Loopback says that a program on the user's computer is sent back to, and
	// PrivateScheme that an application is that claims the scheme. Any program
	// there can pose as it, which the pages say.
	Loopback, PrivateScheme bool
	// Trusted says that the operator registered the client. The name of any
	// other is marked as not verified.
	Trusted bool
}

// Server is an MCP server.
type Server struct {
	// URL is its resource identifier.
	URL string
	// Name is what the operator calls it; it may be empty.
	Name string
}

// Title is what the server is called: its name, or else its address without the
// scheme.
func (s Server) Title() string {
	if n := name(s.Name); n != "" {
		return n
	}
	_, address, found := strings.Cut(s.URL, "://")
	if !found {
		address = s.URL
	}
	return detail(strings.TrimSuffix(address, "/"))
}

// Scope is a permission. Its text is the operator's.
type Scope struct {
	// Name is the OAuth scope, always shown, in small code.
	Name string
	// Description says in words what it permits; it may be empty.
	Description string
}
