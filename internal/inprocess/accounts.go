package inprocess

import "github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"

// accounts has the addresses of account pages, by issuer.
var accounts pool.Registry[string]

// RegisterAccountPage adds the address at which users of the authorization server
// with the identifier issuer see who has access in their name, until release is
// called.
func RegisterAccountPage(issuer, address string) (release func()) {
	return accounts.Register(issuer, address)
}

// AccountPage returns the address of the account page of issuer; empty if it has
// none, or is not in this process.
func AccountPage(issuer string) string {
	address, _ := accounts.Latest(issuer)
	return address
}
