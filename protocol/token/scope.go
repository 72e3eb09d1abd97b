package token

import (
	"fmt"
	"slices"
	"strings"
)

// CheckScope returns an error if scope is not a scope token as RFC 6749,
// section 3.3 defines it.
func CheckScope(scope string) error {
	if scope == "" {
		return errEmpty
	}
	for _, c := range []byte(scope) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return fmt.Errorf("scope %q contains %q; separate scopes by spaces, without quotes or commas inside", scope, c)
		}
	}
	if strings.HasSuffix(scope, ",") {
		return fmt.Errorf("scope %q ends in a comma; separate scopes by spaces", scope)
	}
	return nil
}

// ScopeHierarchy tells which scopes satisfy the need for another one: a client
// that was granted a broad scope must not be sent away for a narrower one (MCP
// 2026-07-28, authorization, scope challenge handling).
type ScopeHierarchy struct {
	// satisfiedBy lists, for a scope, every other scope that includes it.
	satisfiedBy map[string][]string
	// includes lists, for a scope, every other scope that it includes.
	includes map[string][]string
}

// NewScopeHierarchy returns the hierarchy in which each key of implies includes
// the scopes it is mapped to, and what those include.
func NewScopeHierarchy(implies map[string][]string) *ScopeHierarchy {
	h := &ScopeHierarchy{satisfiedBy: make(map[string][]string), includes: make(map[string][]string)}
	for broad := range implies {
		seen := map[string]bool{broad: true}
		queue := []string{broad}
		for len(queue) > 0 {
			next := queue[0]
			queue = queue[1:]
			for _, narrow := range implies[next] {
				if seen[narrow] {
					continue
				}
				seen[narrow] = true
				queue = append(queue, narrow)
				h.satisfiedBy[narrow] = append(h.satisfiedBy[narrow], broad)
				h.includes[broad] = append(h.includes[broad], narrow)
			}
		}
	}
	return h
}

// With returns the granted scopes and those that they include, each once.
func (h *ScopeHierarchy) With(granted []string) []string {
	all := granted
	for _, broad := range granted {
		for _, narrow := range h.includes[broad] {
			if !slices.Contains(all, narrow) {
				all = append(all[:len(all):len(all)], narrow)
			}
		}
	}
	return all
}

// Satisfied reports whether granted covers every scope of needed.
func (h *ScopeHierarchy) Satisfied(granted, needed []string) bool {
	for _, scope := range needed {
		if !slices.Contains(granted, scope) &&
			!slices.ContainsFunc(h.satisfiedBy[scope], func(broad string) bool {
				return slices.Contains(granted, broad)
			}) {
			return false
		}
	}
	return true
}
