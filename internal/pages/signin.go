package pages

import "net/http"

// SignIn is the page on which users sign in.
type SignIn struct {
	// Site is the host of this server, shown in the title and on top.
	Site string
	// Client is the client that sent the user here; nil if they opened their
	// account page.
	Client *Client
	// Server is the MCP server that the Client wants to use.
	Server Server
	// Action is the URL of the form (POST). Its fields are request, username,
	// password, and decision: signin, or cancel if there is a Client.
	Action string
	// Request is the value of the hidden field request.
	Request string
	// Local says whether users can sign in with a user name and a password.
	Local bool
	// Username is the initial value of the user name, such as the one of a failed
	// attempt; may be empty.
	Username string
	// Error is a sentence about a failed attempt; may be empty.
	Error string
	// Upstreams are other ways to sign in.
	Upstreams []Upstream
}

// Upstream is a link to a provider where users sign in, "Continue with <Label>".
type Upstream struct{ Label, URL string }

var signIn = parse("signin.html")

// Write renders the page with the given status.
func (p SignIn) Write(w http.ResponseWriter, status int) {
	write(w, status, basePolicy, signIn, p)
}
