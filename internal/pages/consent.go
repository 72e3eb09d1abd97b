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
	// Resource is the URL of the MCP server.
	Resource string
	// ResourceName may be empty.
	ResourceName string
	// Scopes are the permissions asked for; if there are none, the page says so.
	Scopes []Scope
	// Offline says that the client asked to stay connected when the user is
	// away (refresh tokens).
	Offline bool
	// Action is where the form is sent (POST), with the fields request and
	// decision: allow, deny, or switch to sign in as somebody else.
	Action string
	// Request is the hidden field of that name.
	Request string
}

var consent = parse("consent.html")

// Write renders the page with the given status.
func (p Consent) Write(w http.ResponseWriter, status int) {
	write(w, status, basePolicy, consent, p)
}
