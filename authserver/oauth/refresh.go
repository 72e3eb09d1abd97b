package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// A refresh token has three parts: the grant's identifier, 32 random bytes, and a
// keyed hash of both. The keyed hash distinguishes a token that was once valid
// from an invented one; only the reuse of the former is a reason to revoke the
// grant. The server stores a hash of the whole.
const (
	refreshPrefix  = "mcprt_" // for secret scanners
	refreshGrant   = 16
	refreshSigned  = refreshGrant + 32
	refreshLength  = refreshSigned + 16
	refreshEncoded = (refreshLength*8 + 5) / 6

	maxRefreshTokenGrace = time.Hour
)

// refreshMAC returns the keyed hash of the first two parts of a refresh token.
func (k *secrets) refreshMAC(signed []byte) []byte {
	return k.MAC(sealed.RefreshToken, signed)[:refreshLength-refreshSigned]
}

// refreshTokenAfter returns the refresh token that replaces before, or the
// grant's first one, and its hash. It is derived from the one before, so a server
// with a grace period can return it again without storing it; nobody else can
// derive it.
func (k *secrets) refreshTokenAfter(grant, before string) (string, [32]byte) {
	b := make([]byte, refreshSigned, refreshLength)
	_, _ = base64.RawURLEncoding.Decode(b, []byte(grant)) // ours, of 16 bytes
	if before == "" {
		_, _ = rand.Read(b[refreshGrant:]) // never fails
	} else {
		copy(b[refreshGrant:], k.MAC(sealed.NextRefreshToken, []byte(before)))
	}
	value := refreshPrefix + base64.RawURLEncoding.EncodeToString(append(b, k.refreshMAC(b)...))
	return value, sha256.Sum256([]byte(value))
}

// grantOf returns the grant of a refresh token, and the token's hash. ok is false
// if this server didn't make the token.
func (k *secrets) grantOf(value string) (grant string, hash [32]byte, ok bool) {
	encoded, ok := strings.CutPrefix(value, refreshPrefix)
	if !ok || len(encoded) != refreshEncoded {
		return "", hash, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(b) != refreshLength ||
		subtle.ConstantTimeCompare(b[refreshSigned:], k.refreshMAC(b[:refreshSigned])) != 1 {
		return "", hash, false
	}
	return base64.RawURLEncoding.EncodeToString(b[:refreshGrant]), sha256.Sum256([]byte(value)), true
}

// refresh exchanges a refresh token for new tokens (OAuth 2.1, section 4.3).
func (s *Server) refresh(ctx context.Context, c *Client, form url.Values, event *Event) (*tokens, error) {
	value := form.Get("refresh_token")
	if value == "" {
		return nil, invalidRequest("refresh_token is missing.")
	}
	k, err := s.secret(ctx)
	if err != nil {
		return nil, err
	}
	id, hash, ok := k.grantOf(value)
	if !ok {
		return nil, invalidGrant("The refresh token is unknown or has expired.")
	}
	unlock, err := s.lock(ctx, grantKey(id))
	if err != nil {
		return nil, err
	}
	defer unlock()
	var g grant
	found, err := s.load(ctx, grantKey(id), &g)
	switch {
	case err != nil:
		return nil, err
	case !found || !s.now().Before(s.grantExpires(&g)):
		return nil, invalidGrant("The refresh token is unknown or has expired.")
	case g.ClientID != c.ID:
		return nil, invalidGrant("The refresh token was issued to another client.")
	}
	event.Subject = g.User.Subject
	// Before reuse is looked at: a thief without the key can't end the grant.
	if err := checkSender(c, &g, senderOf(ctx)); err != nil {
		return nil, err
	}
	if err := s.spend(ctx, c); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(hash[:], g.Current[:]) != 1 && !s.inGrace(k, id, value, &g) {
		// Section 4.3.1: either a thief or the client has a token that the other
		// one has used. The server can't tell which.
		event.Warning = "a refresh token was used twice: the grant is revoked"
		if err := s.remove(ctx, grantKey(id)); err != nil {
			return nil, err
		}
		return nil, invalidGrant("The refresh token has been used before.")
	}
	st, err := s.standing(ctx, c, id, &g)
	if err != nil {
		return nil, err
	}
	if err := s.checkTarget(form, st.resource); err != nil {
		return nil, err
	}
	if s.shut(c, st.resource, st.scopes) {
		// Many clients answer a 403 insufficient_scope by refreshing with the same
		// scopes, and give up when the new token is no better. If the grant is
		// invalid (RFC 6749, section 5.2), they sign in again and request what the
		// resource needs.
		return nil, invalidGrant("The grant lacks a scope that every request to the resource needs: sign in again.")
	}
	scopes, err := narrowed(st.scopes, form.Get("scope"))
	if err != nil {
		return nil, err
	}
	s.used(ctx, st.consent)
	return s.issue(ctx, id, &g, st, scopes, value)
}

// inGrace reports whether a refresh token has been replaced within the grace
// period, and the replacement is unused.
func (s *Server) inGrace(k *secrets, id, value string, g *grant) bool {
	if s.config.RefreshTokenGrace <= 0 || !s.now().Before(g.Rotated.Add(s.config.RefreshTokenGrace)) {
		return false
	}
	_, next := k.refreshTokenAfter(id, value)
	return subtle.ConstantTimeCompare(next[:], g.Current[:]) == 1
}

// narrowed returns the scopes that a refresh requests, which may be fewer than
// those granted (OAuth 2.1, section 4.3.1).
func narrowed(granted []string, requested string) ([]string, error) {
	names := slices.DeleteFunc(strings.Fields(requested), func(name string) bool { return name == OfflineAccess || name == "openid" })
	if len(names) == 0 {
		return granted, nil
	}
	for _, name := range names {
		if !slices.Contains(granted, name) {
			return nil, badRequest("invalid_scope", "The request asks for a scope that was not granted: sign in again to get it.")
		}
	}
	return slices.DeleteFunc(slices.Clone(granted), func(name string) bool { return !slices.Contains(names, name) }), nil
}

// issue stores the grant and makes its next tokens, with the scopes that st
// leaves. used is the refresh token that they replace; empty at first. The grant
// is stored before the tokens are sent: a failure after that costs a sign-in, but
// gives nobody a token.
func (s *Server) issue(ctx context.Context, id string, g *grant, st *standing, scopes []string, used string) (*tokens, error) {
	k, err := s.secret(ctx)
	if err != nil {
		return nil, err
	}
	access, err := s.accessToken(ctx, id, g, st.resource, scopes)
	if err != nil {
		return nil, err
	}
	out := &tokens{
		AccessToken: access,
		TokenType:   senderOf(ctx).tokenType(),
		ExpiresIn:   int64(s.config.AccessTokenLifetime / time.Second),
		Scope:       strings.Join(scopes, " "),
	}
	g.Binding = senderOf(ctx).binding
	g.Renewed = s.now()
	g.Expires = g.Renewed.Add(s.config.AccessTokenLifetime)
	if g.Refreshable {
		value, hash := k.refreshTokenAfter(id, used)
		if hash != g.Current {
			g.Current, g.Rotated = hash, g.Renewed
		}
		out.RefreshToken = value
		g.Expires = g.Renewed.Add(s.config.RefreshTokenLifetime)
	}
	g.Expires = s.grantExpires(g)
	return out, s.store(ctx, grantKey(id), g)
}
