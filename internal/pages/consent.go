package pages

import "net/http"

// Consent is the page on which people give a client access, or don't.
type Consent struct {
	// Site is the host of this server, shown in the title and on top.
	Site   string
	Client Client
	// User is who is signed in: a display name or a user name.
	User string
	// Email may be empty.
	Email string
	// Server is the MCP server.
	Server Server
	// Scopes are the permissions asked for; if there are none, the page says so.
	Scopes []Scope
	// Offline says that the client's access goes on while the user is away
	// (refresh tokens).
	Offline bool
	// Ends is after what time access ends that doesn't go on, such as "15 minutes".
	Ends string
	// New says that the user has not allowed this client before, sent back to
	// that web site.
	New bool
	// Again says that the user has allowed all of this before, and is asked again
	// because the client can't be told from others.
	Again bool
	// Action is where the form is sent (POST), with the fields request and
	// decision: allow, deny, or switch to use another account.
	Action string
	// Request is the hidden field of that name.
	Request string
}

var consent = parse("consent.html")

// Write renders the page with the given status.
func (p Consent) Write(w http.ResponseWriter, status int) {
	write(w, status, basePolicy, consent, p)
}
