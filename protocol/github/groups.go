package github

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// AllOrganizations stands for every organization in a list of organizations.
const AllOrganizations = "*"

// Questions of the errors of [Client.Groups].
const (
	organizationsQuestion = "/user/orgs"
	teamsQuestion         = "/user/teams"
)

// TooManyError says that a user has more organizations or teams than are read, or
// than the caller can use. Some of them are never taken for all of them.
type TooManyError struct{ Max int }

func (e *TooManyError) Error() string {
	return fmt.Sprintf("the user is in more than %d organizations or teams", e.Max)
}

// IsGroups reports whether the error is about organizations or teams.
func (e *StatusError) IsGroups() bool {
	return e.Question == organizationsQuestion || e.Question == teamsQuestion
}

// CheckOrganizations returns an error if a list of organizations, as an operator
// writes it, can't be one.
func CheckOrganizations(organizations []string) error {
	for _, name := range organizations {
		switch {
		case name == AllOrganizations && len(organizations) > 1:
			return errors.New("* stands for all organizations, so give it alone")
		case name == AllOrganizations:
		case name == "":
			return errors.New("a name is empty")
		case strings.ContainsAny(name, "/*") || strings.ContainsFunc(name, unicode.IsSpace):
			return fmt.Errorf("%q is not the name of an organization: give that, and its teams come with it", name)
		}
	}
	return nil
}

// Groups returns the organizations of the user whose token it is, such as acme, and
// the teams, such as acme/maintainers, each once and in lower case: GitHub's names
// don't tell cases apart. It asks two questions, of ten pages each at most, and
// returns a [*TooManyError] if there are more.
//
// It needs the scope read:org, without which GitHub answers 403. What GitHub doesn't
// show is missing: an organization may have to approve the application first.
func (c *Client) Groups(ctx context.Context, token string) ([]string, error) {
	var groups []string
	var bad error
	add := func(question string, names ...string) {
		for _, name := range names {
			if err := checkName(name); err != nil && bad == nil {
				bad = &AnswerError{question, err}
			}
		}
		if group := lower(strings.Join(names, "/")); !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	type organization struct {
		Login string `json:"login"`
	}
	type team struct {
		Slug         string       `json:"slug"`
		Organization organization `json:"organization"`
	}
	all, err := list(ctx, c, token, organizationsQuestion, func(o organization) { add(organizationsQuestion, o.Login) })
	if err == nil && all {
		all, err = list(ctx, c, token, teamsQuestion, func(t team) { add(teamsQuestion, t.Organization.Login, t.Slug) })
	}
	switch {
	case err != nil:
		return nil, err
	case bad != nil:
		return nil, bad
	case !all:
		return nil, &TooManyError{perPage * maxPages}
	}
	return groups, nil
}

// checkName refuses what would look like another group.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is missing")
	case strings.Contains(name, "/"):
		return errors.New("a name contains a slash")
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }):
		return errors.New("a name contains a blank or a control character")
	}
	return nil
}

// GroupsOf returns the groups that are one of the organizations, or a team of one.
func GroupsOf(groups, organizations []string) []string {
	if slices.Contains(organizations, AllOrganizations) {
		return groups
	}
	var of []string
	for _, group := range groups {
		organization, _, _ := strings.Cut(group, "/")
		if slices.ContainsFunc(organizations, func(name string) bool { return lower(name) == organization }) {
			of = append(of, group)
		}
	}
	return of
}

// lower is [strings.ToLower] for ASCII only: that turns the Kelvin sign into a k, and
// one group into another.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
