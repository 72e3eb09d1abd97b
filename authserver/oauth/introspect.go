package oauth

import (
	"context"
	"net/http"
)

// introspect is the introspection endpoint (RFC 7662), for resource servers that
// can't check signatures or want to hear of revocations at once. Refresh tokens
// are never active here: no resource server has business with one, and one that
// takes active for access would let it pass for an access token.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) (*Event, error) {
	event := &Event{}
	form, err := parseForm(r)
	if err != nil {
		return event, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	c, err := s.authenticate(ctx, r, form)
	if err != nil {
		return event, err
	}
	event.Client = c.ID
	if !c.Introspection {
		// Section 2.1: or anybody could try out tokens here.
		return event, &Error{
			Code:        "access_denied",
			Description: "The client may not introspect tokens.",
			Status:      http.StatusForbidden,
		}
	}
	value := form.Get("token")
	if value == "" {
		return event, invalidRequest("token is missing.")
	}
	answer, err := s.introspection(ctx, value)
	if err != nil {
		return event, err
	}
	return event, writeJSON(w, http.StatusOK, answer)
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
