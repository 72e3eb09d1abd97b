package session

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// openLifetime is how long a session that began without a user can be used without
// one, or be taken over.
const openLifetime = 24 * time.Hour

// Binder binds the handles of one MCP server.
type Binder struct {
	// Key returns the key. It may load it the first time. An error means that it can't
	// be had at the moment.
	Key func(context.Context) (*Key, error)
	// Takeovers are the sessions that began without a user and have one now.
	Takeovers *Takeovers
	// Now returns the time.
	Now func() time.Time
}

// Binding is a request whose handles are its sender's own. The zero value is a request
// that nothing was said about.
type Binding struct {
	binder *Binder
	owner  Owner
	at     time.Time
	sent   Handles
	// session, event and query are the handles without their tags.
	session, event, query string
	// TookOver is true if the request has made a session that began without a user its
	// sender's own.
	TookOver bool
}

// Bind checks that the handles of a request are its owner's. The error is a [*Error] if
// one of them isn't, or an [*UnavailableError].
func (b *Binder) Bind(ctx context.Context, owner Owner, h Handles) (Binding, error) {
	to := Binding{binder: b, owner: owner, at: b.Now(), sent: h}
	if h.None() {
		return to, nil
	}
	if err := to.checkAll(ctx); err != nil {
		return Binding{}, err
	}
	return to, nil
}

func (to *Binding) checkAll(ctx context.Context) error {
	key, err := to.binder.key(ctx)
	if err != nil {
		return err
	}
	if to.session, err = to.check(ctx, key, Header, to.sent.session); err != nil {
		return err
	}
	if to.query, err = to.check(ctx, key, Query, to.sent.query.value); err != nil {
		return err
	}
	if to.sent.event == "" {
		return nil
	}
	if to.owner.anonymous() && to.session == "" {
		// Nothing says whose stream it was, and what it missed may be answers to a user
		// who has signed in. So it starts with what comes next.
		return nil
	}
	to.event, err = to.checkEvent(key, to.sent.event)
	return err
}

func (b *Binder) key(ctx context.Context) (*Key, error) {
	key, err := b.Key(ctx)
	if err != nil {
		return nil, &UnavailableError{fmt.Errorf("loading the key: %w", err)}
	}
	return key, nil
}

// check returns the handle in text without its tag; "" if text is empty.
func (to *Binding) check(ctx context.Context, key *Key, kind Kind, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	id, tag, ok := split(text)
	switch {
	case !ok:
		return "", &Error{kind, Untagged}
	case len(tag) == openLength:
		return id, to.checkOpen(ctx, key, kind, id, tag)
	case to.owner.anonymous() || !same(tag, key.tag(kind, to.owner, id)):
		return "", &Error{kind, Foreign}
	}
	return id, nil
}

// checkOpen checks a session that began without a user. The first one who uses it takes
// it over.
func (to *Binding) checkOpen(ctx context.Context, key *Key, kind Kind, id, tag string) error {
	begun, ok := key.begun(kind, id, tag)
	if !ok {
		return &Error{kind, Foreign}
	}
	mine := ""
	if !to.owner.anonymous() {
		mine = key.tag(kind, to.owner, id)
	}
	name := takeoverName(kind, id)
	owner, err := to.binder.Takeovers.owner(ctx, name)
	switch {
	case err != nil:
		return &UnavailableError{err}
	case owner == "" && to.at.Sub(begun) > openLifetime:
		// Whether it was taken over may have been forgotten.
		return &Error{kind, Expired}
	case owner == "" && mine == "":
		return nil
	case owner == "":
		if !to.binder.Takeovers.Allow(ctx) {
			return &Error{kind, Busy}
		}
		owner, err = to.binder.Takeovers.take(ctx, name, mine)
		if err != nil {
			return &UnavailableError{err}
		}
		to.TookOver = same(owner, mine)
	}
	if !same(owner, mine) {
		return &Error{kind, TakenOver}
	}
	return nil
}

// checkEvent returns the id of an event without its tag. A session that was taken over
// has events from before.
func (to *Binding) checkEvent(key *Key, text string) (string, error) {
	id, tag, ok := split(text)
	switch {
	case !ok || len(tag) != tagLength:
		return "", &Error{Event, Untagged}
	case !to.owner.anonymous() && same(tag, key.tag(Event, to.owner, id)):
	case to.session != "" && same(tag, key.within(to.session, id)):
	default:
		return "", &Error{Event, Foreign}
	}
	return id, nil
}

// Set replaces the handles in the request by those that the server gave out, and
// removes what a server could take for others. It returns the new query.
func (to *Binding) Set(header http.Header, rawQuery string) string {
	return to.sent.set(header, rawQuery, to.session, to.event, to.query)
}

// IsZero reports whether nothing was said about the request.
func (to *Binding) IsZero() bool { return to.binder == nil }

// HasSession reports whether the request belongs to a session by its header.
func (to *Binding) HasSession() bool { return to.session != "" }

// Anonymous reports whether the sender hasn't signed in.
func (to *Binding) Anonymous() bool { return to.owner.anonymous() }

// Session returns what the client gets for the session id in an answer, and whether the
// session begins with it. The events of the answer belong to that session. The error is
// an [*UnavailableError].
func (to *Binding) Session(ctx context.Context, id string) (tagged string, begins bool, err error) {
	if id == to.session {
		// Exactly what the client has sent, also if it was taken over: clients give up
		// when the id of their session changes.
		return to.sent.session, false, nil
	}
	if tagged, err = to.tagged(ctx, Header, id); err == nil {
		to.session, to.sent.session = id, tagged
	}
	return tagged, err == nil, err
}

// tagged returns a session id with its tag.
func (to *Binding) tagged(ctx context.Context, kind Kind, id string) (string, error) {
	key, err := to.binder.key(ctx)
	switch {
	case err != nil:
		return "", err
	case to.owner.anonymous():
		return id + "." + key.open(kind, id, to.at), nil
	}
	return id + "." + key.tag(kind, to.owner, id), nil
}

// taggedEvent returns the id of an event with its tag.
func (to *Binding) taggedEvent(ctx context.Context, id string) (string, error) {
	key, err := to.binder.key(ctx)
	switch {
	case err != nil:
		return "", err
	case to.owner.anonymous():
		return id + "." + key.within(to.session, id), nil
	}
	return id + "." + key.tag(Event, to.owner, id), nil
}
