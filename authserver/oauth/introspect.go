package oauth

import (
	"context"
	"net/http"
	"net/url"
)

// introspect is the introspection endpoint (RFC 7662), for resource servers that
// can't check signatures or want to hear of revocations at once. Refresh tokens
// are never active here: no resource server has business with one, and one that
// takes active for access would let it pass for an access token.
func (s *Server) introspect(ctx context.Context, w http.ResponseWriter, c *Client, form url.Values, _ *Event) error {
	if !c.Introspection {
		// Section 2.1: or anybody could try out tokens here.
		return &Error{
			Code:        "access_denied",
			Description: "The client may not introspect tokens.",
			Status:      http.StatusForbidden,
		}
	}
	value := form.Get("token")
	if value == "" {
		return invalidRequest("token is missing.")
	}
	answer, err := s.introspection(ctx, value)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// introspection returns the members of an introspection answer (RFC 7662,
// section 2.2).
func (s *Server) introspection(ctx context.Context, value string) (map[string]any, error) {
	inactive := map[string]any{"active": false}
	t, err := s.verify(ctx, value)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return inactive, nil
	}
	answer := t.Claims()
	if id := grantOfToken(t); id != "" {
		var g grant
		found, err := s.load(ctx, grantKey(id), &g)
		if err != nil {
			return nil, err
		}
		if !found || g.ClientID != t.ClientID {
			return inactive, nil
		}
		consent, err := s.consent(ctx, g.User.Subject, g.ClientID)
		if err != nil {
			return nil, err
		}
		if consent == nil || consent.ID != g.Consent {
			return inactive, nil
		}
		answer["username"] = g.User.Username
	}
	answer["active"] = true
	answer["token_type"] = "Bearer"
	return answer, nil
}
