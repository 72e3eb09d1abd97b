package oauth

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Access is what a client may do in the name of a user, for an operator who looks.
type Access struct {
	// Subject is the user. Username is the name that they sign in with; empty if no
	// record that still counts has it.
	Subject, Username string
	// ClientID is the client, and ClientName what it calls itself.
	ClientID, ClientName string
	// Kind is how the client is known here.
	Kind Kind
	// Provider is the issuer of the identity assertion that gave access; empty if
	// the user did.
	Provider string
	// Scopes are the scopes that today's configuration leaves, by resource. There may
	// be none.
	Scopes map[string][]string
	// Since is when access was given, and Used when it was last used.
	Since, Used time.Time
	// Grants is how many live grants there are, for example one for each computer
	// that the client is installed on. There may be none: the client then has no
	// token, but can get one without asking the user.
	Grants int
}

// Access returns who has access, sorted by user and client. It reads every record of
// a consent and of a grant.
func (s *Server) Access(ctx context.Context) ([]*Access, error) {
	found := make(map[accessKey]*Access)
	consents := make(map[accessKey]*Consent)
	err := each(ctx, s, consentsPrefix, func(_ string, c *Consent) error {
		if s.now().After(c.Used.Add(consentLifetime)) {
			return nil
		}
		scopes, err := s.scopesToday(ctx, c)
		if err != nil {
			return err
		}
		k := accessKey{c.Subject, c.ClientID, ""}
		consents[k] = c
		found[k] = &Access{
			Subject: c.Subject, ClientID: c.ClientID, ClientName: c.ClientName, Kind: c.Kind,
			Scopes: scopes, Since: c.Created, Used: c.Used,
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, s, grantsPrefix, func(id string, g *grant) error {
		if expires := s.grantExpires(g); !expires.IsZero() && !s.now().Before(expires) {
			return nil
		}
		k := accessKey{g.User.Subject, g.ClientID, g.Provider}
		if g.Provider == "" {
			if c := consents[k]; c == nil || c.ID != g.Consent || !slices.Contains(c.Grants, id) {
				return nil // it has ended with its consent
			}
		} else if err := s.addProvided(ctx, found, k, g); err != nil {
			return err
		}
		a := found[k]
		a.Grants++
		a.Username = cmp.Or(g.User.Username, a.Username)
		if g.Renewed.After(a.Used) {
			a.Used = g.Renewed
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]*Access, 0, len(found))
	for _, a := range found {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *Access) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.ClientID, b.ClientID), cmp.Compare(a.Provider, b.Provider))
	})
	return list, nil
}

// accessKey identifies an [Access].
type accessKey struct{ subject, client, provider string }

// addProvided adds a grant that comes from a provider's assertion.
func (s *Server) addProvided(ctx context.Context, found map[accessKey]*Access, k accessKey, g *grant) error {
	a := found[k]
	if a == nil {
		a = &Access{
			Subject: g.User.Subject, ClientID: g.ClientID, Provider: g.Provider,
			Scopes: make(map[string][]string), Since: g.Created,
		}
		found[k] = a
	}
	if g.Created.Before(a.Since) {
		a.Since = g.Created
	}
	c, err := s.knownClient(ctx, g.ClientID, g.Redirect)
	if refusal(err) {
		return nil // nothing is left of it today
	}
	if err != nil {
		return err
	}
	a.ClientName, a.Kind = c.Name, c.Kind
	audience, scopes, refused := s.granted(c, g)
	if refused != nil {
		return nil
	}
	for _, scope := range scopes {
		if !slices.Contains(a.Scopes[audience], scope) {
			a.Scopes[audience] = append(a.Scopes[audience], scope)
		}
	}
	return nil
}

// Subjects returns the users that are called name, in the records of who is signed
// in and who has access: the one whose subject it is, or else those who sign in with
// it. Users of several providers may sign in with the same name.
func (s *Server) Subjects(ctx context.Context, name string) ([]string, error) {
	if name == "" {
		return nil, nil // what many records lack is no name
	}
	var subjects []string
	exact := false
	note := func(user User) error {
		exact = exact || user.Subject == name
		if user.Username == name && !slices.Contains(subjects, user.Subject) {
			subjects = append(subjects, user.Subject)
		}
		return nil
	}
	err := errors.Join(
		each(ctx, s, sessionsPrefix, func(_ string, record *session) error { return note(record.User) }),
		each(ctx, s, grantsPrefix, func(_ string, g *grant) error { return note(g.User) }),
		each(ctx, s, consentsPrefix, func(_ string, c *Consent) error { return note(User{Subject: c.Subject}) }),
	)
	if exact {
		return []string{name}, err
	}
	slices.Sort(subjects)
	return subjects, err
}

// Ended counts what was ended.
type Ended struct{ Sessions, Consents, Grants int }

// EndAccess ends what the client may do in the user's name: its refresh tokens at
// once, and its access tokens wherever this server is asked about them.
func (s *Server) EndAccess(ctx context.Context, subject, client string) (Ended, error) {
	return s.end(ctx, subject, func(c string) bool { return c == client })
}

// EndUser ends the user's sessions, and what any client may do in their name. A user
// who may still sign in can come back.
func (s *Server) EndUser(ctx context.Context, subject string) (ended Ended, err error) {
	// First, so that nothing is allowed by a session that is about to end.
	keys, err := s.config.Store.List(ctx, sessionsOf(subject))
	if err != nil {
		return ended, err
	}
	for _, key := range keys {
		if err := s.remove(ctx, key); err != nil {
			return ended, err
		}
		ended.Sessions++
	}
	rest, err := s.end(ctx, subject, func(string) bool { return true })
	ended.Consents, ended.Grants = rest.Consents, rest.Grants
	return ended, err
}

// end removes the user's consents and grants of the clients.
func (s *Server) end(ctx context.Context, subject string, of func(client string) bool) (ended Ended, err error) {
	keys, err := s.config.Store.List(ctx, consentsOf(subject))
	if err != nil {
		return ended, err
	}
	for _, key := range keys {
		removed, err := s.endConsent(ctx, key, subject, of)
		if err != nil {
			return ended, err
		}
		if removed {
			ended.Consents++
		}
	}
	// Grants from identity assertions have no consent to end with.
	err = each(ctx, s, grantsPrefix, func(id string, g *grant) error {
		if g.User.Subject != subject || !of(g.ClientID) {
			return nil
		}
		ended.Grants++
		return s.revokeGrant(ctx, id)
	})
	return ended, err
}

func (s *Server) endConsent(ctx context.Context, key, subject string, of func(client string) bool) (bool, error) {
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return false, err
	}
	defer unlock()
	var c Consent
	found, err := s.load(ctx, key, &c)
	if err != nil || !found || c.Subject != subject || !of(c.ClientID) {
		return false, err
	}
	return true, s.remove(ctx, key)
}

// each calls visit for every record below prefix. A record that is gone meanwhile,
// or is damaged, is left out.
func each[T any](ctx context.Context, s *Server, prefix string, visit func(id string, v *T) error) error {
	keys, err := s.config.Store.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, key := range keys {
		v := new(T)
		found, err := s.load(ctx, key, v)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if err := visit(key[len(prefix):], v); err != nil {
			return err
		}
	}
	return nil
}
