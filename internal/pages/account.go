package pages

import (
	"net/http"
	"time"
)

// Account is the page on which people see who has access in their name, and
// take it back.
type Account struct {
	// Site is the host of this server, shown in the title and on top.
	Site string
	// User is who is signed in: a display name or a user name.
	User string
	// Email may be empty.
	Email string
	// Access is what the user allowed; the page says so if there is nothing.
	Access []Access
	// Action is where the form that revokes is sent (POST), with the fields
	// csrf and revoke, the ID of an Access.
	Action string
	// SignOut is where the form that signs out is sent (POST), with the fields
	// csrf and where: here or everywhere.
	SignOut string
	// Token is the hidden field csrf of both forms.
	Token string
	// Done is a sentence after something was done, or empty.
	Done string
}

// Access is what one client may do in the user's name at one MCP server.
type Access struct {
	ID     string
	Client Client
	Server Server
	Scopes []Scope
	// Since and LastUsed are shown as days, in UTC; not at all if zero.
	Since, LastUsed time.Time
}

var account = parse("account.html")

// Write renders the page with the given status.
func (p Account) Write(w http.ResponseWriter, status int) {
	write(w, status, basePolicy+ownForms, account, p)
}
