package pages

import "net/http"

// Leave is the page that people see before they are sent on to sign in for an
// application whose name nobody knows, only where it is.
type Leave struct {
	// Site is the host of this server, shown in the title and on top.
	Site string
	// RedirectHost is where the user is sent back to in the end.
	RedirectHost string
	// Loopback says that this is a program on the user's own computer, and
	// PrivateScheme that it is the application that claims the scheme.
	Loopback, PrivateScheme bool
	// Action is where the form is sent (POST), with the fields request and
	// decision: allow or deny.
	Action string
	// Request is the hidden field of that name.
	Request string
}

var leave = parse("leave.html")

// Write renders the page with the given status.
func (p Leave) Write(w http.ResponseWriter, status int) {
	write(w, status, basePolicy, leave, p)
}
