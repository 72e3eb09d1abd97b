package inprocess

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
)

// When an operator ends a user's access, access tokens that were issued before would
// be good until they expire, because front doors check signatures and ask nobody. So
// the authorization server tells those in its process. Reloads don't matter; a
// restart does, and other processes know nothing of it.

const (
	// maxEnded bounds the users whose access has ended. Only operators add to them.
	maxEnded = 10_000
	// maxEndedClients bounds the clients that are remembered for each of them. With
	// more, all tokens of the user count as ended: clients get others with their
	// refresh tokens.
	maxEndedClients = 50
)

// endedUser identifies a user of an issuer.
type endedUser struct{ issuer, subject string }

// endedAccess says which of the user's tokens don't count.
type endedAccess struct {
	// all is when the access of all clients was ended, and clients of some.
	all     time.Time
	clients map[string]time.Time
	// until is when the last of the tokens has expired.
	until time.Time
}

// endedList is what was ended in this process.
type endedList struct {
	// any says whether there are entries, so that most processes pay nothing.
	any   atomic.Bool
	mu    sync.RWMutex
	users map[endedUser]*endedAccess
	max   int
}

var (
	ended      = endedList{max: maxEnded}
	forgetting pool.Registry[func(subject string)]
)

// OnEnd has forget called when the access of a user of issuer ends, until release is
// called. By then, [Ended] knows.
func OnEnd(issuer string, forget func(subject string)) (release func()) {
	return forgetting.Register(issuer, forget)
}

// End says that tokens of issuer for the subject that were issued at now or before
// no longer count: those of the client, or all if client is empty. They have expired
// at until.
func End(issuer, subject, client string, now, until time.Time) {
	ended.add(endedUser{issuer, subject}, client, now, until)
	for _, forget := range forgetting.All(issuer) {
		forget(subject)
	}
}

// Ended reports whether a token no longer counts. issued returns when it was issued,
// and is only called if that matters; a token that doesn't say isn't one of a server
// in this process.
func Ended(issuer, subject, client string, issued func() (time.Time, bool)) bool {
	return ended.has(endedUser{issuer, subject}, client, issued)
}

// EndedForAny is [Ended] for a token that doesn't say for which client the user gave
// access, such as an exchanged one: it no longer counts when that of any has ended.
func EndedForAny(issuer, subject string, issued func() (time.Time, bool)) bool {
	return ended.hasAny(endedUser{issuer, subject}, issued)
}

func (l *endedList) add(user endedUser, client string, now, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == nil {
		l.users = make(map[endedUser]*endedAccess)
	}
	access := l.users[user]
	if access == nil {
		if len(l.users) >= l.max {
			l.makeRoom(now)
		}
		access = &endedAccess{clients: make(map[string]time.Time)}
		l.users[user] = access
	}
	if client == "" || len(access.clients) >= maxEndedClients && access.clients[client].IsZero() {
		access.all = now
		clear(access.clients)
	} else {
		access.clients[client] = now
	}
	if until.After(access.until) {
		access.until = until
	}
	l.any.Store(true)
}

// makeRoom removes what no longer matters, or else what matters for the shortest
// time.
func (l *endedList) makeRoom(now time.Time) {
	var first endedUser
	var earliest time.Time
	for user, access := range l.users {
		if !now.Before(access.until) {
			delete(l.users, user)
			continue
		}
		if earliest.IsZero() || access.until.Before(earliest) {
			first, earliest = user, access.until
		}
	}
	if len(l.users) >= l.max {
		delete(l.users, first)
	}
}

func (l *endedList) has(user endedUser, client string, issued func() (time.Time, bool)) bool {
	return l.judge(user, issued, func(access *endedAccess, before func(time.Time) bool) bool {
		return before(access.all) || before(access.clients[client])
	})
}

func (l *endedList) hasAny(user endedUser, issued func() (time.Time, bool)) bool {
	return l.judge(user, issued, func(access *endedAccess, before func(time.Time) bool) bool {
		if before(access.all) {
			return true
		}
		for _, end := range access.clients {
			if before(end) {
				return true
			}
		}
		return false
	})
}

// judge calls refused with what is known of the user, if anything is. before reports
// whether the token was issued before an end.
func (l *endedList) judge(user endedUser, issued func() (time.Time, bool), refused func(access *endedAccess, before func(end time.Time) bool) bool) bool {
	if !l.any.Load() {
		return false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	access := l.users[user]
	if access == nil {
		return false
	}
	at, known := issued()
	// Tokens say the second in which they were issued.
	before := func(end time.Time) bool { return !end.IsZero() && at.Unix() <= end.Unix() }
	return known && refused(access, before)
}
