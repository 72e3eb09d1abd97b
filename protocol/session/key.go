// Package session binds what an MCP server hands out for a session to the caller who
// got it: session ids, and the ids of events, from which a stream can be resumed. MCP
// calls them handles; without that, anyone who knows one could use the session, or
// read what another user's stream missed (MCP, security best practices, session hijacking).
//
// On the way to the client a handle gets a tag, a keyed hash of the handle and its
// owner. On the way in the tag is checked and taken off, so the server sees its own
// handles only. Nothing has to be remembered, save for sessions that began before
// their user signed in; see [Takeovers].
package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strings"
	"sync"
	"time"
)

// Kind is a kind of handle. A handle of one kind is not accepted as another.
type Kind byte

const (
	// Header is a session id in Mcp-Session-Id (Streamable HTTP, until 2025-11-25).
	Header Kind = iota + 1
	// Query is a session id in the query of the address that HTTP+SSE (2024-11-05)
	// announces in its first event.
	Query
	// Event is the id of an event, which comes back in Last-Event-ID.
	Event
)

// String returns where a request has such a handle.
func (k Kind) String() string {
	switch k {
	case Header:
		return "Mcp-Session-Id"
	case Query:
		return "sessionId"
	case Event:
		return "Last-Event-ID"
	}
	return "unknown"
}

// Owner is the caller who got a handle. The client isn't part of it, because clients
// register again. The zero value is a caller who hasn't signed in.
type Owner struct {
	// Issuer and Subject are those of the token.
	Issuer, Subject string
}

// anonymous reports whether the caller hasn't signed in.
func (o Owner) anonymous() bool { return o == Owner{} }

// A tag is 16 bytes of the keyed hash, in base64url. The tag of a session that began
// without a user has the time of its beginning before that. So the length of a tag
// says which it is.
const (
	macSize  = 16
	timeSize = 4

	tagLength  = (macSize*8 + 5) / 6
	openLength = ((timeSize+macSize)*8 + 5) / 6
)

var encoding = base64.RawURLEncoding.Strict()

// Key makes and checks tags. It is safe for concurrent use.
type Key struct{ hashers sync.Pool }

// hasher has what is needed to hash once, so that nothing is allocated for it.
type hasher struct {
	hash.Hash
	text, sum []byte
}

// NewKey returns the key that secret is, which should be 32 random bytes. Every MCP
// server needs a key of its own.
func NewKey(secret []byte) *Key {
	return &Key{sync.Pool{New: func() any { return &hasher{Hash: hmac.New(sha256.New, secret)} }}}
}

// mac returns the keyed hash of a handle. The length of each part precedes it, so that
// different parts always give different texts. within is the session that an event
// belongs to if it has no other owner.
func (k *Key) mac(kind Kind, owner Owner, within, id string, begun uint32) (mac [macSize]byte) {
	h := k.hashers.Get().(*hasher)
	defer k.hashers.Put(h)
	text := append(h.text[:0], byte(kind))
	text = binary.BigEndian.AppendUint32(text, begun)
	for _, part := range [...]string{owner.Issuer, owner.Subject, within, id} {
		text = binary.BigEndian.AppendUint64(text, uint64(len(part)))
		text = append(text, part...)
	}
	h.text = text
	h.Reset()
	h.Write(text)
	h.sum = h.Sum(h.sum[:0])
	return [macSize]byte(h.sum)
}

// tag returns the tag of a handle that has an owner.
func (k *Key) tag(kind Kind, owner Owner, id string) string {
	mac := k.mac(kind, owner, "", id, 0)
	return encoding.EncodeToString(mac[:])
}

// within returns the tag of an event in a session that began without a user.
func (k *Key) within(session, id string) string {
	mac := k.mac(Event, Owner{}, session, id, 0)
	return encoding.EncodeToString(mac[:])
}

// open returns the tag of a session that begins without a user.
func (k *Key) open(kind Kind, id string, begun time.Time) string {
	seconds := uint32(begun.Unix()) //nolint:gosec // good until 2106
	mac := k.mac(kind, Owner{}, "", id, seconds)
	return encoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, seconds), mac[:]...))
}

// begun returns when a session began that has the tag of open. It reports false for a
// tag that was not made for it.
func (k *Key) begun(kind Kind, id, tag string) (time.Time, bool) {
	b, err := encoding.DecodeString(tag)
	if err != nil || len(b) != timeSize+macSize {
		return time.Time{}, false
	}
	begun := time.Unix(int64(binary.BigEndian.Uint32(b)), 0)
	return begun, same(tag, k.open(kind, id, begun))
}

// split returns the handle and the tag of a text that a client sent. It reports false
// if no tag has that form.
func split(text string) (id, tag string, ok bool) {
	// The server's own handles may have dots too, and look as if they had a tag.
	at := strings.LastIndexByte(text, '.')
	if at <= 0 {
		return "", "", false
	}
	id, tag = text[:at], text[at+1:]
	return id, tag, len(tag) == tagLength || len(tag) == openLength
}

// same compares tags without telling by the time it takes how much of them is right.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
