package pages

import "net/http"

// Consent is the page on which users allow a client access, or refuse.
type Consent struct {
	// Site is the host of this server, shown in the title and on top.
	Site string
	// Client is the client that asks.
	Client Client
	// User is the signed-in user: a display name or a user name.
	User string
	// Email may be empty.
	Email string
	// Server is the MCP server.
	Server Server
	// Scopes are the requested permissions. If there are none, the page says so.
	Scopes []Scope
	// Offline says that access continues while the user is away (refresh tokens).
	Offline bool
	// Ends is how long access lasts if it doesn't continue, such as "15 minutes".
	Ends string
	// New says that the user has not allowed this client before, at this web
	// site.
	New bool
	// Again says that the user has allowed all of this before, and is asked again
	// because other programs can pose as the client.
	Again bool
	// Action is the URL of the form (POST). Its fields are request, and decision:
	// allow, deny, or switch to use another account.
	Action string
	// Request is the value of the hidden field request.
	Request string
}

var consent = parse("consent.html")

// Write renders the page with the given status.
func (p Consent) Write(w http.ResponseWriter, status int) {
	write(w, status, basePolicy, consent, p)
}
