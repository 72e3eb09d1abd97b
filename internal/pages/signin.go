package pages

import "net/http"

// SignIn is the page on which people say who they are.
type SignIn struct {
	// Site is the host of this server, shown in the title and on top.
	Site string
	// Client is who sent the user here; nil if they go to their account page.
	Client *Client
	// Server is the MCP server that the Client wants to use.
	Server Server
	// Action is where the form is sent (POST), with the fields request,
	// username, password, and decision: signin, or cancel if there is a Client.
	Action string
	// Request is the hidden field of that name.
	Request string
	// Local says whether one can sign in with a user name and a password.
	Local bool
	// Username is filled in again after a failure.
	Username string
	// Error is one sentence, or empty.
	Error string
	// Upstreams are other ways to sign in.
	Upstreams []Upstream
}

// Upstream is a link to another place to sign in, "Continue with <Label>".
type Upstream struct{ Label, URL string }

var signIn = parse("signin.html")

// Write renders the page with the given status.
func (p SignIn) Write(w http.ResponseWriter, status int) {
	write(w, status, basePolicy, signIn, p)
}
