package repair

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Requests says what to repair in requests to the authorization and the token
// endpoint.
type Requests struct {
	// Strip are parameters to remove, such as resource.
	Strip []string
	// Add are parameters to set.
	Add map[string]string
	// Scopes maps the scopes that clients use to the server's names for them.
	Scopes map[string]string
}

// Check returns an error if the repairs would break the sign-in.
func (r *Requests) Check() error {
	essential := []string{
		"client_id", "client_secret", "redirect_uri", "response_type", "state", "code", "code_challenge", "code_challenge_method",
		"code_verifier", "grant_type", "refresh_token", "client_assertion", "client_assertion_type", "response_mode", "request", "request_uri",
	}
	for _, name := range r.Strip {
		if slices.Contains(essential, name) {
			return errors.New("strip: " + name + " is part of the sign-in itself")
		}
	}
	for name, value := range r.Add {
		if slices.Contains(essential, name) || name == "scope" {
			return errors.New("add: " + name + " is for the client to choose")
		}
		if value == "" {
			return errors.New("add: " + name + " has no value")
		}
	}
	for from, to := range r.Scopes {
		if err := errors.Join(token.CheckScope(from), token.CheckScope(to)); err != nil {
			return err
		}
		// The same request may pass here several times, so a repair must not
		// change its own result.
		if _, source := r.Scopes[to]; source && to != from {
			return fmt.Errorf("scope map: %s is both what a scope is mapped to and mapped itself", to)
		}
	}
	return nil
}

// Apply repairs the parameters of a request and returns what it did, for the log.
func (r *Requests) Apply(parameters url.Values) (done []string) {
	done = r.Translate(parameters)
	for name, value := range r.Add {
		if parameters.Get(name) != value || len(parameters[name]) > 1 {
			parameters.Set(name, value)
			done = append(done, "added "+name)
		}
	}
	slices.Sort(done)
	return done
}

// Translate repairs the parameters that are present, and adds none.
func (r *Requests) Translate(parameters url.Values) (done []string) {
	for _, name := range r.Strip {
		if parameters.Has(name) {
			parameters.Del(name)
			done = append(done, "removed "+name)
		}
	}
	if scope := parameters.Get("scope"); scope != "" && len(r.Scopes) > 0 {
		names := strings.Fields(scope)
		mapped := false
		for i, name := range names {
			if to, ok := r.Scopes[name]; ok {
				names[i], mapped = to, true
			}
		}
		if mapped {
			parameters.Set("scope", strings.Join(names, " "))
			done = append(done, "mapped scope")
		}
	}
	return done
}

// CheckAuthorization returns an error if the authorization server must not see a
// request with these parameters. If PKCE is optional there, it would accept a
// request without S256, and an intercepted code would work (RFC 9700, section
// 2.1.1).
func CheckAuthorization(parameters url.Values) error {
	switch {
	case parameters.Has("request") || parameters.Has("request_uri"):
		return errors.New("request and request_uri are not supported: send the parameters themselves")
	case parameters.Get("client_id") == "":
		return errors.New("client_id is missing")
	case parameters.Get("response_type") != "code":
		return errors.New("the response_type is not code")
	case parameters.Get("code_challenge") == "":
		return errors.New("code_challenge is missing: PKCE is required")
	case parameters.Get("code_challenge_method") != "S256":
		return errors.New("the code_challenge_method is not S256")
	case !isChallenge(parameters.Get("code_challenge")):
		return errors.New("the code_challenge is not the base64url of a SHA-256 hash")
	}
	return nil
}

// isChallenge reports whether text can be an S256 challenge (RFC 7636, section
// 4.2). A server may truncate or decode a longer one.
func isChallenge(text string) bool {
	hash, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && len(hash) == sha256.Size && len(text) == 43
}
