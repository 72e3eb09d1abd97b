package upstream

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rule lets users sign in.
type Rule struct {
	// Kind says what to match: email, org or group, user (GitHub's user name),
	// subject, claim, or anybody. Required.
	Kind string
	// Claim is the name of the claim, for the kind claim; empty for the others.
	Claim string
	// Values are the allowed values. One of them must match. Empty for anybody,
	// required for the others.
	Values []string
}

// Rules let in users that match at least one of them. Without rules, no user gets
// in.
type Rules []Rule

// Check returns an error if a rule is incomplete or contradictory.
func (r Rules) Check() error {
	for _, rule := range r {
		if err := rule.check(); err != nil {
			return fmt.Errorf("%s: %w", rule.Kind, err)
		}
	}
	return nil
}

func (r Rule) check() error {
	if (r.Kind == "claim") != (r.Claim != "") {
		return errors.New("only the kind claim takes a claim name")
	}
	switch r.Kind {
	case "anybody":
		if len(r.Values) > 0 {
			return errors.New("takes no values: it lets in everyone who has an account there")
		}
		return nil
	case "email", "org", "group", "user", "subject", "claim":
	default:
		return errors.New("there is no such kind (known: email, org, group, user, subject, claim, anybody)")
	}
	if len(r.Values) == 0 {
		return errors.New("takes one or more values")
	}
	for _, value := range r.Values {
		switch {
		case value == "":
			return errors.New("a value is empty")
		case r.Kind == "email" && (strings.Count(value, "@") != 1 || strings.HasPrefix(value, "@") || strings.HasSuffix(value, "@")):
			return fmt.Errorf("%q is neither an address nor *@ and a domain", value)
		case r.Kind == "email" && strings.Contains(strings.TrimPrefix(value, "*@"), "*"),
			r.Kind != "email" && r.Kind != "claim" && r.Kind != "subject" && strings.Contains(value, "*"):
			return fmt.Errorf("%q has a wildcard, which only *@ and a domain may", value)
		}
	}
	return nil
}

// Allow reports whether a rule lets the user in.
func (r Rules) Allow(id Identity) bool {
	return slices.ContainsFunc(r, func(rule Rule) bool { return rule.allows(id) })
}

func (r Rule) allows(id Identity) bool {
	if r.Kind == "anybody" {
		return true
	}
	return slices.ContainsFunc(r.Values, func(value string) bool {
		switch r.Kind {
		case "email":
			// Anyone can claim an address that the upstream hasn't verified.
			return id.EmailVerified && sameEmail(value, id.Email)
		case "org", "group":
			return slices.ContainsFunc(id.Groups, func(group string) bool { return equalFold(group, value) })
		case "user":
			return id.Username != "" && equalFold(value, id.Username)
		case "subject":
			// Separate from user: a user may choose another user's id as a name.
			return value == id.Subject
		case "claim":
			return claimHas(id.Claims[r.Claim], value)
		}
		return false
	})
}

// Needed returns those of the user's groups and claims that the rules look at.
// They are stored, so that the rules can be judged again later.
func (r Rules) Needed(id Identity) (groups []string, claims map[string]any) {
	for _, rule := range r {
		switch rule.Kind {
		case "org", "group":
			for _, group := range id.Groups {
				matches := slices.ContainsFunc(rule.Values, func(value string) bool { return equalFold(group, value) })
				if matches && !slices.Contains(groups, group) {
					groups = append(groups, group)
				}
			}
		case "claim":
			for _, value := range rule.Values {
				list, _ := claims[rule.Claim].([]any)
				if !claimHas(id.Claims[rule.Claim], value) || slices.Contains(list, any(value)) {
					continue
				}
				if claims == nil {
					claims = make(map[string]any)
				}
				claims[rule.Claim] = append(list, value)
			}
		}
	}
	return groups, claims
}

// sameEmail compares an address with a pattern. Case is ignored, because no known
// provider distinguishes addresses by it.
func sameEmail(pattern, email string) bool {
	at := strings.LastIndexByte(email, '@')
	if at <= 0 || strings.Count(email, "@") != 1 {
		return false
	}
	if domain, ok := strings.CutPrefix(pattern, "*@"); ok {
		return equalFold(domain, email[at+1:])
	}
	return equalFold(pattern, email)
}

// equalFold is [strings.EqualFold] for ASCII only. Unicode folds the Kelvin sign
// to k and the long s to s, and with them one user's name to another's.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// claimHas reports whether a claim equals value, or is a list that contains it.
func claimHas(claim any, value string) bool {
	switch c := claim.(type) {
	case string:
		return c == value
	case bool:
		return fmt.Sprint(c) == value
	case []any:
		return slices.ContainsFunc(c, func(elem any) bool { s, ok := elem.(string); return ok && s == value })
	}
	return false
}
