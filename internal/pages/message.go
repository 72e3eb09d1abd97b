package pages

import (
	"net/http"
	"strings"
)

// Message is an error page or a plain message, depending on the status.
type Message struct {
	// Site is the host of this server, shown in the title and on top.
	Site string
	// Title and Text say what happened.
	Title, Text string
	// Cure says what to do now; may be empty. Title, Text and Cure may contain a
	// name that a client chose: they are cleaned.
	Cure string
	// Detail is in small print for technical readers, such as an OAuth error code
	// with its description; may be empty. It is cleaned, because it may come from
	// elsewhere.
	Detail string
	// Link is where to continue, and LinkLabel its text. It is shown only if it
	// is a path on this server or begins with https://.
	Link, LinkLabel string
}

var message = parse("message.html")

// Write renders the page with the given status. From 400 on, the text is
// announced as an alert.
func (p Message) Write(w http.ResponseWriter, status int) {
	if !showable(p.Link) {
		p.Link = ""
	}
	write(w, status, basePolicy+ownForms, message, struct {
		Message
		Failed bool
	}{p, status >= http.StatusBadRequest})
}

// showable reports whether a link is a path or https. If the second character of
// a path is a slash of either kind, browsers take the next word for a host.
func showable(link string) bool {
	if strings.HasPrefix(link, "https://") {
		return true
	}
	return strings.HasPrefix(link, "/") && !strings.HasPrefix(link, "//") && !strings.HasPrefix(link, `/\`)
}
