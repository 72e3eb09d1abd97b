package pages

import (
	"net/http"
	"strings"
)

// Message is an error or a plain message; which of them, its status says.
type Message struct {
	// Site is the host of this server, shown in the title and on top.
	Site string
	// Title and Text say what happened.
	Title, Text string
	// Cure says what to do now; it may be empty. A name of a stranger may be part of
	// all three: they are cleaned.
	Cure string
	// Detail is small print for those who can read it, such as an OAuth error
	// code with its description; it may be empty. It is cleaned, for it may
	// come from elsewhere.
	Detail string
	// Link is a way on, LinkLabel its text. It is shown only if it is a path
	// on this server or begins with https://.
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

// showable reports whether a link is a path or https. To a browser, a second
// slash of either kind makes the first word of a path a host.
func showable(link string) bool {
	if strings.HasPrefix(link, "https://") {
		return true
	}
	return strings.HasPrefix(link, "/") && !strings.HasPrefix(link, "//") && !strings.HasPrefix(link, `/\`)
}
