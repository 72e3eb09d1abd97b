package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"
)

// maxSessions bounds the sessions of one user. The one that ends first is removed
// first.
const maxSessions = 50

// SessionID identifies a browser's session. It signs the user in, so only that
// browser may have it.
type SessionID struct {
	// Subject is the user.
	Subject string `json:"u"`
	// ID is random, and secret.
	ID string `json:"i"`
}

// session is the record of a session, which exists while the user is signed in.
// It is written once, so a session that has ended can't come back.
type session struct {
	User    User      `json:"user"`
	Expires time.Time `json:"expires"`
}

func sessionsOf(subject string) string { return sessionsPrefix + hashed(subject) + "/" }

func (id SessionID) key() string { return sessionsOf(id.Subject) + hashed(id.ID) }

// StartSession records that the user has just signed in with a browser.
func (s *Server) StartSession(ctx context.Context, user User, lifetime time.Duration) (SessionID, error) {
	user.SignedIn = s.now()
	id := SessionID{Subject: user.Subject, ID: rand.Text() + rand.Text()}
	if err := s.makeRoomForSession(ctx, user.Subject); err != nil {
		return SessionID{}, err
	}
	return id, s.store(ctx, id.key(), &session{User: user, Expires: s.now().Add(lifetime)})
}

// makeRoomForSession ends the user's oldest sessions if there are too many.
func (s *Server) makeRoomForSession(ctx context.Context, subject string) error {
	keys, err := s.config.Store.List(ctx, sessionsOf(subject))
	if err != nil || len(keys) < maxSessions {
		return err
	}
	expires := make(map[string]time.Time)
	for _, key := range keys {
		var record session
		// A record that is gone or damaged is removed first.
		if _, err := s.load(ctx, key, &record); err != nil && ctx.Err() != nil {
			return err
		}
		expires[key] = record.Expires
	}
	slices.SortFunc(keys, func(a, b string) int { return expires[b].Compare(expires[a]) })
	for _, key := range keys[maxSessions-1:] {
		if err := s.remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// SessionUser returns who is signed in by the session; nil if it has ended, or if
// the user may no longer sign in. lifetime is today's, which may be shorter than
// when the session began. An error means that the session could not be checked.
func (s *Server) SessionUser(ctx context.Context, id SessionID, lifetime time.Duration) (*User, error) {
	if id.ID == "" {
		return nil, nil
	}
	var record session
	found, err := s.load(ctx, id.key(), &record)
	if err != nil {
		return nil, err
	}
	expires := earlier(record.Expires, record.User.SignedIn.Add(lifetime))
	if !found || record.User.Subject != id.Subject || !s.now().Before(expires) {
		return nil, nil
	}
	if err := s.checkUser(ctx, record.User); refusal(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return &record.User, nil
}

// EndSession ends a session, if it hasn't ended yet.
func (s *Server) EndSession(ctx context.Context, id SessionID) error {
	if id.ID == "" {
		return nil
	}
	return s.remove(ctx, id.key())
}

var errSessionNotListed = errors.New("the store doesn't list the session of this request")

// EndSessions ends all sessions of the user who has the session id, and that one
// last: if ending the others fails, the user can try again. Clients keep their
// access.
func (s *Server) EndSessions(ctx context.Context, id SessionID) error {
	keys, err := s.config.Store.List(ctx, sessionsOf(id.Subject))
	if err != nil {
		return err
	}
	// The caller has just loaded the session. A store that doesn't list it
	// doesn't list the others either, and this must not report that they have
	// ended.
	if !slices.Contains(keys, id.key()) {
		return errSessionNotListed
	}
	for _, key := range keys {
		if key == id.key() {
			continue
		}
		if err := s.remove(ctx, key); err != nil {
			return err
		}
	}
	return s.remove(ctx, id.key())
}
