package authserver

import (
	"errors"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/github"
)

// maxGroups and maxGroupBytes bound the groups in a user's tokens, which travel in
// headers.
const (
	maxGroups     = 200
	maxGroupBytes = 4 << 10
)

// githubScopes are those with which GitHub shows organizations and teams.
var githubScopes = []string{"read:org", "write:org", "admin:org", "user"}

// isMembership reports whether a rule is about organizations or groups.
func (r AllowRule) isMembership() bool { return r.Kind == "org" || r.Kind == "group" }

// needsTeams reports whether GitHub has to be asked for teams.
func (u *Upstream) needsTeams() bool {
	return len(u.Groups) > 0 || slices.ContainsFunc(u.Allow, func(r AllowRule) bool {
		return r.isMembership() && slices.ContainsFunc(r.Values, func(v string) bool { return strings.Contains(v, "/") })
	})
}

func (u *Upstream) checkGroups() error {
	switch {
	case len(u.Groups) == 0:
		return nil
	case u.Type != "github":
		return errors.New("only github has it: for an OpenID provider, `allow group` names the groups that matter")
	case len(u.Scopes) > 0 && !slices.ContainsFunc(u.Scopes, func(s string) bool { return slices.Contains(githubScopes, s) }):
		return errors.New("GitHub shows them with the scope read:org: add it to scopes, or leave scopes out")
	}
	return github.CheckOrganizations(u.Groups)
}

// addGroups adds the groups that the user's tokens are to have. It adds all of them
// or returns a [*github.TooManyError].
func (u *Upstream) addGroups(user *oauth.User, groups []string) error {
	size := 0
	for _, group := range github.GroupsOf(groups, u.Groups) {
		if !slices.Contains(user.Groups, group) {
			user.Groups = append(user.Groups, group)
		}
		size += len(group)
	}
	if len(u.Groups) > 0 && (len(user.Groups) > maxGroups || size > maxGroupBytes) {
		return &github.TooManyError{Max: maxGroups}
	}
	return nil
}
