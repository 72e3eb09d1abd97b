package pages

import "net/http"

// Leave is the page that users see before they are sent on to sign in for an
// application. Only its address is known, not its name.
type Leave struct {
	// Site is the host of this server, shown in the title and on top.
	Site string
	// RedirectHost is the host that the user is sent back to in the end.
	RedirectHost string
	// Loopback says that this is a program on the user's own computer.
	// PrivateScheme says that it is an application that claims the scheme.
	Loopback, PrivateScheme bool
	// Action is the URL of the form (POST). Its fields are request, and decision:
	// allow or deny.
	Action string
	// Request is the value of the hidden field request.
	Request string
}

var leave = parse("leave.html")

// Write renders the page with the given status.
func (p Leave) Write(w http.ResponseWriter, status int) {
	write(w, status, basePolicy, leave, p)
}
