package oauth

import (
	"context"
	"crypto/rand"
	"slices"
	"sort"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// User is a user who has signed in.
type User struct {
	// Subject identifies the user, here and at the resource servers. It never
	// changes.
	Subject string `json:"sub"`
	// Source is where the user signs in: empty for this server, otherwise the
	// source of the upstream.
	Source string `json:"src,omitempty"`
	// Credential changes when the user's access must end, such as when the
	// password changes.
	Credential string `json:"cred,omitempty"`

	// Username is the name that the user signs in with.
	Username string `json:"username,omitempty"`
	// Name is the full name.
	Name string `json:"name,omitempty"`
	// Email is the email address.
	Email string `json:"email,omitempty"`
	// EmailVerified says whether an upstream has verified Email.
	EmailVerified bool `json:"email_verified,omitempty"`
	// Groups are the groups or organizations that the user has at an upstream.
	Groups []string `json:"groups,omitempty"`
	// Claims are the upstream's claims that its rules look at.
	Claims map[string]any `json:"claims,omitempty"`

	// SignedIn is when the user last signed in.
	SignedIn time.Time `json:"auth_time"`
}

// consentLifetime is how long a consent is remembered after its last use.
const consentLifetime = 365 * 24 * time.Hour

// maxConsents bounds the consents of one user, one for each client. The one that
// was used longest ago is removed first.
const maxConsents = 200

// Consent is a user's permission for a client. Every grant depends on one:
// revoking the consent ends all of its grants.
type Consent struct {
	// ID distinguishes the consent from an earlier, revoked one for the same
	// client.
	ID string `json:"id"`
	// Subject is the user.
	Subject string `json:"sub"`

	// ClientID is the client's identifier. Kind, ClientName, ClientURI and
	// RedirectURI are what was known about the client at the last permission.
	ClientID    string `json:"client"`
	Kind        Kind   `json:"kind"`
	ClientName  string `json:"name,omitempty"`
	ClientURI   string `json:"uri,omitempty"`
	RedirectURI string `json:"redirect"`

	// Permissions are what the user allowed, the newest last.
	Permissions []Permission `json:"permissions"`
	// Scopes are the scopes that today's configuration leaves, by resource. They
	// aren't stored, see [Server.Consents].
	Scopes map[string][]string `json:"-"`

	// Grants are the identifiers of the grants under this consent, the newest
	// last. A grant that is not listed has ended, see [Server.admit].
	Grants []string `json:"grants,omitempty"`

	// Created is when the user first allowed the client something, and Used when
	// the client last used it.
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
}

// Permission is what a user allowed a client at one redirect URI, for one
// resource. It doesn't hold at another redirect URI: the redirect URIs of one
// client, or the paths of one host, may belong to several programs.
type Permission struct {
	// RedirectURI is the exact URI that the user was shown, without the port if
	// it is on loopback.
	RedirectURI string `json:"redirect"`
	// Resource is the MCP server, and Scopes are what the client may do there.
	Resource string   `json:"resource"`
	Scopes   []string `json:"scopes"`
	// Offline says that access may continue while the user is away.
	Offline bool `json:"offline,omitempty"`
}

// maxPermissions bounds the permissions of one consent. The oldest is removed
// first; the user is asked again for it.
const maxPermissions = 50

// permission returns what the user allowed the client at the redirect URI, for
// the resource; nil if nothing.
func (c *Consent) permission(redirect, audience string) *Permission {
	redirect = registration.WithoutPort(redirect)
	for i := range c.Permissions {
		if p := &c.Permissions[i]; p.RedirectURI == redirect && resource.Same(p.Resource, audience) {
			return p
		}
	}
	return nil
}

// allow adds what a requests.
func (c *Consent) allow(a *Authorization) {
	p := c.permission(a.RedirectURI, a.Resource)
	if p == nil {
		if len(c.Permissions) >= maxPermissions {
			c.Permissions = slices.Delete(c.Permissions, 0, 1)
		}
		c.Permissions = append(c.Permissions, Permission{RedirectURI: registration.WithoutPort(a.RedirectURI), Resource: a.Resource})
		p = &c.Permissions[len(c.Permissions)-1]
	}
	p.Offline = p.Offline || a.Offline
	for _, scope := range a.Scopes {
		if !slices.Contains(p.Scopes, scope) {
			p.Scopes = append(p.Scopes, scope)
		}
	}
}

// recognizable reports whether a consent for the client can be remembered:
// whether the next request in its name with redirectURI can only lead to the same
// program. The operator vouches for configured clients. Otherwise, any program on
// the user's computer can register the same metadata, with or without a secret,
// and listen at the same address (RFC 8252, section 8.6).
func recognizable(c *Client, redirectURI string) bool {
	return c.Kind == PreRegistered || registration.LeadsToWebSite(redirectURI)
}

func consentsOf(subject string) string { return consentsPrefix + hashed(subject) + "/" }

func consentKey(subject, client string) string { return consentsOf(subject) + hashed(client) }

// consent returns what the user allowed the client; nil if nothing.
func (s *Server) consent(ctx context.Context, subject, client string) (*Consent, error) {
	c := new(Consent)
	found, err := s.load(ctx, consentKey(subject, client), c)
	if err != nil || !found || s.now().After(c.Used.Add(consentLifetime)) {
		return nil, err
	}
	return c, nil
}

// Before says what a user has allowed a client before.
type Before struct {
	// Known says that the user has allowed the client before, at the same host or
	// application.
	Known bool
	// All says that the user has allowed everything that the client requests now,
	// at the same redirect URI.
	All bool
}

// AllowedBefore returns what the user has allowed the client of a before.
func (s *Server) AllowedBefore(ctx context.Context, user User, a *Authorization) (Before, error) {
	c, err := s.consent(ctx, user.Subject, a.ClientID)
	if err != nil || c == nil {
		return Before{}, err
	}
	before := Before{Known: slices.ContainsFunc(c.Permissions, func(p Permission) bool {
		return registration.RedirectTarget(p.RedirectURI) == registration.RedirectTarget(a.RedirectURI)
	})}
	p := c.permission(a.RedirectURI, a.Resource)
	if p == nil || a.Offline && !p.Offline {
		return before, nil
	}
	before.All = !slices.ContainsFunc(a.Scopes, func(scope string) bool { return !slices.Contains(p.Scopes, scope) })
	return before, nil
}

// Consented reports whether no question is needed: the user has allowed
// everything that the client requests now, at the same redirect URI. It is always
// false for a client that other programs can pose as.
func (s *Server) Consented(ctx context.Context, user User, a *Authorization, client *Client) (bool, error) {
	if !recognizable(client, a.RedirectURI) {
		return false, nil
	}
	before, err := s.AllowedBefore(ctx, user, a)
	return before.All, err
}

// ConsentNeeded refuses a request with prompt=none that the user must consent to.
// The code says whether they could have done so beforehand (OpenID Connect Core,
// section 3.1.2.6).
func (s *Server) ConsentNeeded(a *Authorization, client *Client) *AuthorizationError {
	if !recognizable(client, a.RedirectURI) {
		return s.InteractionNeeded(a, client, "interaction_required")
	}
	return s.InteractionNeeded(a, client, "consent_required")
}

// remember records that the user allows the client what a requests, in addition
// to what they allowed before.
func (s *Server) remember(ctx context.Context, user User, a *Authorization, client *Client) (*Consent, error) {
	key := consentKey(user.Subject, client.ID)
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c, err := s.consent(ctx, user.Subject, client.ID)
	if err != nil {
		return nil, err
	}
	now := s.now()
	if c == nil {
		if err := s.makeRoom(ctx, user.Subject); err != nil {
			return nil, err
		}
		c = &Consent{ID: rand.Text(), Subject: user.Subject, ClientID: client.ID, Created: now}
	}
	c.Kind, c.ClientName, c.ClientURI, c.RedirectURI = client.Kind, client.Name, client.URI, a.RedirectURI
	c.Used = now
	c.allow(a)
	return c, s.store(ctx, key, c)
}

// makeRoom removes the user's oldest consents if there are too many.
func (s *Server) makeRoom(ctx context.Context, subject string) error {
	keys, err := s.config.Store.List(ctx, consentsOf(subject))
	if err != nil || len(keys) < maxConsents {
		return err
	}
	list, err := s.Consents(ctx, subject)
	if err != nil {
		return err
	}
	for i := maxConsents - 1; i < len(list); i++ {
		if err := s.remove(ctx, consentKey(subject, list[i].ClientID)); err != nil {
			return err
		}
	}
	return nil
}

// Consents returns what the user has allowed, the last used first, with the
// scopes that today's configuration leaves: none for a client that is no longer
// allowed here.
func (s *Server) Consents(ctx context.Context, subject string) ([]*Consent, error) {
	keys, err := s.config.Store.List(ctx, consentsOf(subject))
	if err != nil {
		return nil, err
	}
	var list []*Consent
	for _, key := range keys {
		c := new(Consent)
		found, err := s.load(ctx, key, c)
		if err != nil {
			return nil, err
		}
		if found && c.Subject == subject {
			if c.Scopes, err = s.scopesToday(ctx, c); err != nil {
				return nil, err
			}
			list = append(list, c)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Used.After(list[j].Used) })
	return list, nil
}

// scopesToday returns the scopes of a consent that today's configuration leaves,
// by resource.
func (s *Server) scopesToday(ctx context.Context, c *Consent) (map[string][]string, error) {
	today := make(map[string][]string)
	for _, p := range c.Permissions {
		client, err := s.knownClient(ctx, c.ClientID, p.RedirectURI)
		if refusal(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		audience, scopes, refused := s.permitted(client, p.RedirectURI, p.Resource, p.Scopes)
		if refused != nil {
			continue
		}
		for _, scope := range scopes {
			if !slices.Contains(today[audience], scope) {
				today[audience] = append(today[audience], scope)
			}
		}
	}
	return today, nil
}

// RevokeConsent revokes the consent id. The client's refresh tokens stop working
// immediately, its access tokens when they expire.
func (s *Server) RevokeConsent(ctx context.Context, subject, id string) (*Consent, error) {
	list, err := s.Consents(ctx, subject)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if c.ID != id {
			continue
		}
		unlock, err := s.lock(ctx, consentKey(subject, c.ClientID))
		if err != nil {
			return nil, err
		}
		defer unlock()
		return c, s.remove(ctx, consentKey(subject, c.ClientID))
	}
	return nil, nil
}

// used records from time to time that the client was used. The account page shows
// it, and it keeps the consent alive.
func (s *Server) used(ctx context.Context, c *Consent) {
	if s.now().Sub(c.Used) < 6*time.Hour {
		return
	}
	key := consentKey(c.Subject, c.ClientID)
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return // the next request tries again
	}
	defer unlock()
	// It may have been revoked or extended meanwhile.
	if current, err := s.consent(ctx, c.Subject, c.ClientID); err == nil && current != nil && current.ID == c.ID {
		current.Used = s.now()
		_ = s.store(ctx, key, current)
	}
}
