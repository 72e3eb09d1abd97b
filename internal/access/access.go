// Package access has what the admin API of the embedded authorization server says of
// those who have access: the server writes it, and commands read it.
package access

import "time"

// Grant is what a client may do in the name of a user.
type Grant struct {
	// Issuer is the authorization server.
	Issuer string `json:"issuer"`
	// User is the subject in tokens; Username is the name that they sign in with.
	User     string `json:"user"`
	Username string `json:"username,omitempty"`
	// Client is the client_id; ClientName is what the client calls itself.
	Client     string `json:"client"`
	ClientName string `json:"client_name,omitempty"`
	// Kind is how the client became known.
	Kind string `json:"kind,omitempty"`
	// Provider is the identity provider that allowed it; empty if the user did.
	Provider string `json:"provider,omitempty"`
	// Scopes are those that were allowed, by resource.
	Scopes map[string][]string `json:"scopes"`
	// Since is when it was first allowed, and Used when the client last used it.
	Since time.Time `json:"since"`
	Used  time.Time `json:"used"`
	// Grants is how many live grants the client has.
	Grants int `json:"grants"`
}

// Grants is the answer to a question for grants.
type Grants struct {
	// Grants is empty, not nil, if there are none.
	Grants []Grant `json:"grants"`
}

// Ended counts what was ended for a user.
type Ended struct {
	// Issuer is the authorization server, and User the subject in tokens.
	Issuer string `json:"issuer"`
	User   string `json:"user"`
	// Client is the client_id; empty if the access of all clients was ended.
	Client string `json:"client,omitempty"`
	// Sessions, Consents and Grants are how many there were.
	Sessions int `json:"sessions"`
	Consents int `json:"consents"`
	Grants   int `json:"grants"`
}

// AllEnded is the answer to a request to end something.
type AllEnded struct {
	// Ended is empty, not nil, if there was nothing to end.
	Ended []Ended `json:"ended"`
}

// Server is an authorization server in numbers.
type Server struct {
	// Issuer is its issuer identifier.
	Issuer string `json:"issuer"`
	// SignIn is who may sign in.
	SignIn []string `json:"sign_in"`
	// Users is how many users have given access, to how many Clients.
	Users   int `json:"users"`
	Clients int `json:"clients"`
	// Grants is how many live grants there are.
	Grants int `json:"grants"`
}
