package oauthtest

import (
	"encoding/json"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// githubUser is what /user says of the token's owner.
func githubUser(claims map[string]any) map[string]any {
	subject, _ := claims["sub"].(string)
	id := fnv.New32a()
	_, _ = id.Write([]byte(subject))
	return map[string]any{
		"login": subject, "id": id.Sum32(), "type": "User",
		"name": claims["name"], "email": claims["email"],
	}
}

// serveGitHubUser answers /user. The scopes are in a header.
func serveGitHubUser(s *Server, w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	claims, ok := s.look(token)
	if !ok || !strings.EqualFold(scheme, "bearer") && !strings.EqualFold(scheme, "token") {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"message": "Bad credentials", "status": "401"})
		return
	}
	w.Header().Set("X-OAuth-Scopes", githubScopes(claims, ", "))
	if clientID, ok := claims["client_id"].(string); ok {
		w.Header().Set("X-OAuth-Client-Id", clientID)
	}
	writeJSON(w, http.StatusOK, githubUser(claims))
}

// serveGitHubCheck answers POST /applications/{client_id}/token: 404 for a
// token of another application. Give tokens the server's client id with
// Opaque(map[string]any{"client_id": …}).
func serveGitHubCheck(s *Server, w http.ResponseWriter, r *http.Request) {
	id, secret, ok := r.BasicAuth()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	switch {
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusNotFound)
		return
	case !ok || id != s.opts.ClientID || secret != s.opts.ClientSecret:
		writeJSON(w, http.StatusUnauthorized, map[string]any{"message": "Bad credentials", "status": "401"})
		return
	case json.NewDecoder(r.Body).Decode(&body) != nil || body.AccessToken == "":
		writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"message": "Validation Failed", "status": "422"})
		return
	}
	claims, ok := s.look(body.AccessToken)
	if !ok || claims["client_id"] != s.opts.ClientID {
		writeJSON(w, http.StatusNotFound, map[string]any{"message": "Not Found", "status": "404"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"token":      "",
		"app":        map[string]any{"client_id": s.opts.ClientID, "name": "front door"},
		"scopes":     strings.Split(githubScopes(claims, ","), ","),
		"expires_at": nil,
		"user":       githubUser(claims),
	})
}

func githubScopes(claims map[string]any, separator string) string {
	scope, _ := claims["scope"].(string)
	return strings.Join(strings.Fields(scope), separator)
}

// serveGitHubList answers /user/orgs and /user/teams, page by page: with the token's
// claim "orgs", a []string, or "teams", as in "acme/maintainers". It needs a scope
// that lets the token see them.
func serveGitHubList(claim string) func(*Server, http.ResponseWriter, *http.Request) {
	return func(s *Server, w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		claims, ok := s.look(token)
		if !ok || !strings.EqualFold(scheme, "bearer") {
			writeJSON(w, http.StatusUnauthorized, map[string]any{"message": "Bad credentials", "status": "401"})
			return
		}
		scopes := strings.Fields(githubScopes(claims, " "))
		if !slices.Contains(scopes, "read:org") && !slices.Contains(scopes, "user") {
			writeJSON(w, http.StatusForbidden, map[string]any{"message": "You need at least read:org scope or user scope to list your organizations.", "status": "403"})
			return
		}
		names, _ := claims[claim].([]string)
		number := func(name string, otherwise int) int {
			if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil && n > 0 {
				return n
			}
			return otherwise
		}
		size := min(number("per_page", 30), 100)
		begin := min((number("page", 1)-1)*size, len(names))
		elements := []map[string]any{}
		for _, name := range names[begin:min(begin+size, len(names))] {
			if organization, slug, ok := strings.Cut(name, "/"); ok {
				elements = append(elements, map[string]any{"slug": slug, "name": slug, "organization": map[string]any{"login": organization}})
			} else {
				elements = append(elements, map[string]any{"login": name})
			}
		}
		writeJSON(w, http.StatusOK, elements)
	}
}
