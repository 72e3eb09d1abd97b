package oauth

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The values of token exchange (RFC 8693, sections 2.1 and 3).
const (
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
	jwtType         = "urn:ietf:params:oauth:token-type:jwt"
)

// actor is the party that acts for the subject of a token (RFC 8693, section 4.1).
type actor struct {
	Subject string `json:"sub"`
}

// exchange is the token exchange grant (RFC 8693): a client that the operator allows it
// gets a token with which another of our resource servers acts for a user, in exchange
// for the user's token. It never has more scopes than that, doesn't last longer, and
// ends with the same grant. There is no refresh token.
//
// Not supported: actor tokens, tokens of other issuers, tokens that are the result of an
// exchange, and tokens that aren't a user's.
func (s *Server) exchange(ctx context.Context, c *Client, form url.Values, event *Event) (*tokens, error) {
	if !c.TokenExchange || c.Public() {
		return nil, badRequest("unauthorized_client", "The client may not use this grant.")
	}
	isToken := func(name string) bool { return slices.Contains([]string{accessTokenType, jwtType}, form.Get(name)) }
	switch {
	case !form.Has("subject_token"):
		return nil, invalidRequest("subject_token is missing.")
	case !isToken("subject_token_type"):
		return nil, invalidRequest("subject_token_type must be an access token's.")
	case form.Has("requested_token_type") && !isToken("requested_token_type"):
		return nil, invalidRequest("Only access tokens are issued here.")
	case form.Has("actor_token") || form.Has("actor_token_type"):
		return nil, invalidRequest("Actor tokens are not supported: the client itself acts.")
	}
	id, g, answer, err := s.exchanged(ctx, form.Get("subject_token"))
	if err != nil {
		return nil, err
	}
	event.Subject = g.User.Subject
	audience, failure := s.resourceFor(append(form["resource"], form["audience"]...))
	if failure != nil {
		return nil, failure
	}
	had, _ := answer["scope"].(string)
	scopes, err := s.narrowed(c, strings.Fields(had), form.Get("scope"))
	if err != nil {
		return nil, err
	}
	expires, _ := answer["exp"].(int64)
	claims := g.claims(id, audience, scopes)
	claims.ClientID, claims.Actor, claims.Expires = c.ID, &actor{c.ID}, expires // section 4.3
	access, err := s.sign(ctx, claims)
	if err != nil {
		return nil, err
	}
	// The user's access may have ended since it was looked at. Front doors were then
	// told to refuse tokens from before that, and this one may be later.
	switch again, err := s.introspection(ctx, form.Get("subject_token")); {
	case err != nil:
		return nil, err
	case again["active"] != true:
		return nil, invalidRequest("subject_token is not valid.")
	}
	return &tokens{
		AccessToken: access,
		IssuedType:  accessTokenType,
		TokenType:   senderOf(ctx).tokenType(),
		ExpiresIn:   max(claims.Expires-claims.IssuedAt, 1),
		Scope:       claims.Scope,
	}, nil
}

// exchanged returns the grant of a user's token, and what introspection says of it.
// What isn't good enough is an invalid_request (RFC 8693, section 2.2.2).
func (s *Server) exchanged(ctx context.Context, value string) (string, *grant, map[string]any, error) {
	answer, err := s.introspection(ctx, value)
	if err != nil {
		return "", nil, nil, err
	}
	if answer["active"] != true {
		return "", nil, nil, invalidRequest("subject_token is not valid.")
	}
	t, err := s.verify(ctx, value)
	if err != nil {
		return "", nil, nil, err
	}
	if t == nil || answer["act"] != nil || answer["cnf"] != nil {
		return "", nil, nil, invalidRequest("subject_token was exchanged already, or is bound to a key.")
	}
	id := grantOfToken(t)
	if id == "" {
		return "", nil, nil, invalidRequest("subject_token is not a user's.")
	}
	g := new(grant)
	found, err := s.load(ctx, grantKey(id), g)
	if err != nil {
		return "", nil, nil, err
	}
	if !found {
		return "", nil, nil, invalidRequest("subject_token is not valid.")
	}
	return id, g, answer, nil
}

// narrowed returns the scopes of an exchanged token: those that are asked for, by
// default all, of those that the user's token has and the client may have.
func (s *Server) narrowed(c *Client, had []string, asked string) ([]string, error) {
	allowed := s.allowedScopes(c)
	scopes := slices.DeleteFunc(had, func(name string) bool { return !slices.Contains(allowed, name) })
	if asked != "" {
		names := strings.Fields(asked)
		for _, name := range names {
			if !slices.Contains(scopes, name) {
				return nil, badRequest("invalid_scope", "The user's token, or the client, doesn't have a scope that is requested.")
			}
		}
		slices.Sort(names)
		scopes = slices.Compact(names)
	}
	if len(scopes) == 0 {
		return nil, badRequest("invalid_scope", "No scope is left for the client.")
	}
	return scopes, nil
}

// exchanges reports whether the client may exchange tokens today, so that those that it
// got still hold.
func (s *Server) exchanges(client string) bool {
	c := s.clients[client]
	return c != nil && c.TokenExchange && !c.Public()
}

// lifetimeOf returns the end of a token that may be asked to end earlier.
func lifetimeOf(asked int64, now time.Time, lifetime time.Duration) int64 {
	end := now.Add(lifetime).Unix()
	if asked != 0 {
		end = min(asked, end)
	}
	return end
}
