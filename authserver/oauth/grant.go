package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// codeLifetime is how long a code can be redeemed. It is short because clients
// redeem codes immediately (RFC 6749, section 4.1.2).
const codeLifetime = 60 * time.Second

// codeMemory is how long a redeemed code is remembered. A replay within that time
// revokes the tokens that it gave.
const codeMemory = 10 * time.Minute

// code is the record of an authorization code. Its key is a hash of the code.
type code struct {
	Grant     string `json:"grant"`
	Challenge string `json:"challenge"`
	// Key is the thumbprint of the key that the client must prove to have; empty if
	// the request named none (RFC 9449, section 10).
	Key     string    `json:"key,omitempty"`
	Expires time.Time `json:"expires"`
	// Redeemed is set at the first attempt, whether or not it succeeds.
	Redeemed bool `json:"redeemed,omitempty"`
	// Of is the grant that the code gives.
	Of grant `json:"of"`
}

func codeKey(code string) string { return codesPrefix + hashed(code) }

// grant is one authorization of a client by a user: what the tokens from it have
// in common. OAuth 2.1 calls its refresh tokens a family.
type grant struct {
	User     User   `json:"user"`
	ClientID string `json:"client"`
	Consent  string `json:"consent"`
	// Redirect is where the code was sent.
	Redirect string   `json:"redirect"`
	Resource string   `json:"resource"`
	Scopes   []string `json:"scopes"`
	// Refreshable says whether the grant has refresh tokens.
	Refreshable bool `json:"refreshable,omitempty"`
	// Provider is the issuer of the identity assertion that the grant comes from;
	// empty if the user was asked. Such a grant has neither Consent nor Redirect.
	Provider string `json:"provider,omitempty"`
	// Confidential says that the client had to authenticate.
	Confidential bool `json:"confidential,omitempty"`

	// Binding is to which keys the last tokens were bound.
	Binding token.Binding `json:"binding,omitzero"`

	// Current is the hash of the valid refresh token, and Rotated is when it was
	// issued.
	Current [32]byte  `json:"current"`
	Rotated time.Time `json:"rotated"`

	Created time.Time `json:"created"`
	// Renewed is when tokens were last issued. Expires is when the last of them
	// expires, by the lifetimes at that time. See [Server.grantExpires].
	Renewed time.Time `json:"renewed"`
	Expires time.Time `json:"expires"`
}

func grantKey(id string) string { return grantsPrefix + id }

func newGrantID() string {
	id := make([]byte, refreshGrant)
	_, _ = rand.Read(id) // never fails
	return base64.RawURLEncoding.EncodeToString(id)
}

// Approve records that the user allows the client what a requests. It returns the
// URL to send the browser to, with a code (OAuth 2.1, section 4.1.2).
func (s *Server) Approve(ctx context.Context, user User, a *Authorization) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	client, err := s.Client(ctx, a)
	if err != nil {
		return "", err
	}
	if !a.Accepts(user.SignedIn) {
		return "", s.Refuse(a, badRequest("login_required", "The user signed in too long ago."))
	}
	if err := s.checkUser(ctx, user); err != nil {
		if refusal(err) {
			err = badRequest("access_denied", "The user may no longer sign in here.")
		}
		return "", s.Refuse(a, asError(err))
	}
	consent, err := s.remember(ctx, user, a, client)
	if err != nil {
		return "", s.Refuse(a, asError(err))
	}
	now := s.now()
	value := rand.Text() + rand.Text()
	record := code{
		Grant:     newGrantID(),
		Challenge: a.Challenge,
		Key:       a.Key,
		Expires:   now.Add(codeLifetime),
		Of: grant{
			User:         user,
			ClientID:     client.ID,
			Consent:      consent.ID,
			Redirect:     a.RedirectURI,
			Resource:     a.Resource,
			Scopes:       a.Scopes,
			Refreshable:  a.Offline,
			Confidential: !client.Public(),
		},
	}
	if err := s.store(ctx, codeKey(value), &record); err != nil {
		return "", s.Refuse(a, asError(err))
	}
	return s.respond(a, url.Values{"code": {value}}), nil
}

// redeem exchanges a code for tokens (OAuth 2.1, section 4.1.3).
func (s *Server) redeem(ctx context.Context, c *Client, form url.Values, event *Event) (*tokens, error) {
	value, verifier := form.Get("code"), form.Get("code_verifier")
	switch {
	case value == "":
		return nil, invalidRequest("code is missing.")
	case verifier == "":
		return nil, invalidRequest("code_verifier is missing: PKCE is required.")
	}
	key := codeKey(value)
	// An invented code must not take a lock, because the storage keeps a record
	// for each lock.
	if found, err := s.load(ctx, key, new(code)); err != nil {
		return nil, err
	} else if !found {
		return nil, invalidGrant("The code is unknown or has expired.")
	}
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var record code
	found, err := s.load(ctx, key, &record)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, invalidGrant("The code is unknown or has expired.")
	}
	if record.Of.ClientID == c.ID {
		if err := s.spend(ctx, c); err != nil {
			return nil, err
		}
	}
	if record.Redeemed {
		// Section 4.1.3: another party has the code too, so everything that it
		// gave is revoked.
		event.Warning = "an authorization code was used twice: its tokens are revoked"
		if err := s.revokeGrant(ctx, record.Grant); err != nil {
			return nil, err
		}
		return nil, invalidGrant("The code has been used before.")
	}
	// The code has been used, whether or not the rest of the request is right. It
	// is marked before tokens are issued for it.
	record.Redeemed = true
	if err := s.store(ctx, key, &record); err != nil {
		return nil, err
	}
	g := record.Of
	event.Subject = g.User.Subject
	switch {
	case !s.now().Before(record.Expires):
		return nil, invalidGrant("The code is unknown or has expired.")
	case g.ClientID != c.ID:
		return nil, invalidGrant("The code was issued to another client.")
	case form.Has("redirect_uri") && form.Get("redirect_uri") != g.Redirect:
		return nil, invalidGrant("The redirect_uri doesn't match the authorization request.")
	case record.Key != "" && senderOf(ctx).binding.Key != record.Key:
		return nil, invalidGrant("The DPoP proof is not by the key that the authorization request names.")
	case !isVerifier(verifier) || !verifies(verifier, record.Challenge):
		return nil, invalidGrant("The code_verifier doesn't match the code_challenge.")
	}
	st, err := s.standing(ctx, c, "", &g)
	if err != nil {
		return nil, err
	}
	if err := s.checkTarget(form, st.resource); err != nil {
		return nil, err
	}
	g.Created = s.now()
	out, err := s.issue(ctx, record.Grant, &g, st, st.scopes, "")
	if err != nil {
		return nil, err
	}
	// The record exists by now. A grant without a record counts as ended.
	if err := s.admit(ctx, record.Grant, &g); err != nil {
		return nil, err
	}
	return out, nil
}

// maxGrants bounds the live grants of one user and client. The newest are kept. A
// client that forgets its tokens and signs in again and again needs only the
// last; a client that is installed on several computers needs a few.
const maxGrants = 20

// admit adds a new grant to the list of its consent, and ends the oldest grants
// if there are too many. A grant that is not on the list doesn't count.
func (s *Server) admit(ctx context.Context, id string, g *grant) error {
	ended, err := s.list(ctx, id, g)
	if err != nil {
		return err
	}
	for _, id := range ended {
		// They have ended already. What can't be removed now is swept later.
		_ = s.revokeGrant(ctx, id)
	}
	return nil
}

// list adds a grant to the list of its consent, and returns the grants that are
// no longer on it. It doesn't remove those itself: a refresh locks its grant
// first and then the consent.
func (s *Server) list(ctx context.Context, id string, g *grant) (ended []string, err error) {
	key := consentKey(g.User.Subject, g.ClientID)
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c, err := s.consent(ctx, g.User.Subject, g.ClientID)
	switch {
	case err != nil:
		return nil, err
	case c == nil || c.ID != g.Consent:
		return nil, invalidGrant("The user has revoked the client's access.")
	}
	c.Grants = append(c.Grants, id)
	if len(c.Grants) > maxGrants {
		// Grants that have ended are removed before live ones.
		live, err := s.liveGrants(ctx, c.Grants)
		if err != nil {
			return nil, err
		}
		live = live[max(0, len(live)-maxGrants):]
		ended = slices.DeleteFunc(c.Grants, func(id string) bool { return slices.Contains(live, id) })
		c.Grants = live
	}
	return ended, s.store(ctx, key, c)
}

// liveGrants returns those of the grants that haven't ended.
func (s *Server) liveGrants(ctx context.Context, ids []string) ([]string, error) {
	var live []string
	for _, id := range ids {
		var g grant
		found, err := s.load(ctx, grantKey(id), &g)
		if err != nil {
			return nil, err
		}
		if found && s.now().Before(s.grantExpires(&g)) {
			live = append(live, id)
		}
	}
	return live, nil
}

// revokeGrant ends a grant. It takes the lock because a refresh under way would
// write the grant again.
func (s *Server) revokeGrant(ctx context.Context, id string) error {
	unlock, err := s.lock(ctx, grantKey(id))
	if err != nil {
		return err
	}
	defer unlock()
	return s.remove(ctx, grantKey(id))
}

// checkTarget returns an error if a token request names another resource than
// the one that was granted (RFC 8707, section 2.2).
func (s *Server) checkTarget(form url.Values, granted string) error {
	if !form.Has("resource") {
		return nil
	}
	named, err := s.resourceFor(form["resource"])
	if err != nil {
		return err
	}
	if named != granted {
		return badRequest("invalid_target", "The resource is not the one that was granted.")
	}
	return nil
}

// isVerifier reports whether verifier is one of RFC 7636, section 4.1.
func isVerifier(verifier string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	for _, c := range []byte(verifier) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~') {
			return false
		}
	}
	return true
}

func verifies(verifier, challenge string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}
