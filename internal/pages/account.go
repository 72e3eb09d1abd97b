package pages

import (
	"net/http"
	"time"
)

// Account is the page on which users see which applications have access in their
// name, and remove it.
type Account struct {
	// Site is the host of this server, shown in the title and on top.
	Site string
	// User is the signed-in user: a display name or a user name.
	User string
	// Email may be empty.
	Email string
	// Access is what the user allowed. If it is empty, the page says so.
	Access []Access
	// Action is the URL of the form that removes access (POST). Its fields are
	// csrf, and revoke with the ID of an Access.
	Action string
	// SignOut is the URL of the form that signs out (POST). Its fields are csrf,
	// and where: here or everywhere.
	SignOut string
	// Token is the value of the hidden field csrf in both forms.
	Token string
	// Done is a sentence about what was just done; may be empty.
	Done string
}

// Access is what one client may do in the user's name at one MCP server.
type Access struct {
	// ID identifies the access when it is removed. Client is who has it, Server
	// where, and Scopes what it permits.
	ID     string
	Client Client
	Server Server
	Scopes []Scope
	// Since and LastUsed are shown as days, in UTC. Zero values are not shown.
	Since, LastUsed time.Time
}

var account = parse("account.html")

// Write renders the page with the given status.
func (p Account) Write(w http.ResponseWriter, status int) {
	write(w, status, basePolicy+ownForms, account, p)
}
