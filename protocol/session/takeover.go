package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

const (
	// takeoverMemory is how long it is remembered who took a session over, from the
	// last time that the session was used. It is longer than openLifetime: when a
	// takeover is forgotten, the session can't be used any more.
	takeoverMemory = 7 * 24 * time.Hour

	// usedPrecision is how exact the time of the last use is, so that the store isn't
	// written at each.
	usedPrecision = 24 * time.Hour

	takenPrefix = "taken/"
)

// Store keeps who took over which session. All servers that share the key share it.
type Store interface {
	// Load returns the record at key. The error is [fs.ErrNotExist] only if it is
	// certain that there is none.
	Load(ctx context.Context, key string) ([]byte, error)
	// Store writes the record at key.
	Store(ctx context.Context, key string, record []byte) error
	// Delete removes the record at key.
	Delete(ctx context.Context, key string) error
	// List returns the keys of all records below prefix.
	List(ctx context.Context, prefix string) ([]string, error)
	// Lock waits until no other caller holds the lock name.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// Takeovers are the sessions that began without a user, because the server can be used
// without signing in, and that a user continues. The first user who does owns them. No
// tag can say that, since clients keep the id that they got at the beginning; so it is
// stored.
type Takeovers struct {
	// Store has the takeovers.
	Store Store
	// Known are those that were seen lately.
	Known *Known
	// Allow reports whether the sender of the request with this context may take over
	// another session now. Each takeover is a record in the store.
	Allow func(context.Context) bool
	// Now returns the time.
	Now func() time.Time
}

// takeover is the record of a session that was taken over.
type takeover struct {
	// Owner is the tag that the session would have if it had begun with its owner. It
	// names nobody, and belongs to this session only.
	Owner string `json:"owner"`
	// Used is when the session was used last, a day more or less.
	Used time.Time `json:"used"`
}

// takeoverName returns the name of the record about a session.
func takeoverName(kind Kind, id string) string {
	sum := sha256.Sum256(append([]byte{byte(kind)}, id...))
	return hex.EncodeToString(sum[:macSize])
}

// owner returns the tag of the session's owner, "" if nobody has taken it over yet. That
// nobody has is asked of the store each time, since other servers don't tell.
func (t *Takeovers) owner(ctx context.Context, name string) (string, error) {
	taken, known := t.Known.get(name)
	if !known {
		var err error
		if taken, err = t.load(ctx, name); err != nil || taken.Owner == "" {
			return "", err
		}
		t.Known.put(name, taken)
	}
	if now := t.Now(); now.Sub(taken.Used) > usedPrecision {
		taken.Used = now
		// Otherwise the next use tries again.
		if err := t.store(ctx, name, taken); err == nil {
			t.Known.put(name, taken)
		}
	}
	return taken.Owner, nil
}

// take makes the session mine, unless it is another's. It returns the owner.
func (t *Takeovers) take(ctx context.Context, name, mine string) (owner string, err error) {
	unlock, err := t.Store.Lock(ctx, takenPrefix+name)
	if err != nil {
		return "", err
	}
	defer unlock()
	taken, err := t.load(ctx, name)
	if err != nil {
		return "", err
	}
	if taken.Owner == "" {
		taken = takeover{Owner: mine, Used: t.Now()}
		if err := t.store(ctx, name, taken); err != nil {
			return "", err
		}
	}
	t.Known.put(name, taken)
	return taken.Owner, nil
}

// load returns the zero value if there is no record.
func (t *Takeovers) load(ctx context.Context, name string) (taken takeover, err error) {
	b, err := t.Store.Load(ctx, takenPrefix+name)
	if errors.Is(err, fs.ErrNotExist) {
		return takeover{}, nil
	}
	if err != nil {
		return takeover{}, err
	}
	if err := json.Unmarshal(b, &taken); err != nil || taken.Owner == "" {
		return takeover{}, fmt.Errorf("the record of a session that was taken over is damaged: %w", fs.ErrInvalid)
	}
	return taken, nil
}

func (t *Takeovers) store(ctx context.Context, name string, taken takeover) error {
	b, err := json.Marshal(taken)
	if err != nil {
		return err
	}
	return t.Store.Store(ctx, takenPrefix+name, b)
}

// Sweep removes the records of sessions that haven't been used for long.
func (t *Takeovers) Sweep(ctx context.Context) error {
	keys, err := t.Store.List(ctx, takenPrefix)
	if err != nil {
		return err
	}
	var errs []error
	for _, key := range keys {
		// A damaged record must not keep the others from being removed.
		errs = append(errs, t.sweep(ctx, key[len(takenPrefix):]))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (t *Takeovers) sweep(ctx context.Context, name string) error {
	unlock, err := t.Store.Lock(ctx, takenPrefix+name)
	if err != nil {
		return err
	}
	defer unlock()
	taken, err := t.load(ctx, name)
	if err != nil || taken.Owner == "" || t.Now().Sub(taken.Used) <= takeoverMemory {
		return err
	}
	t.Known.forget(name)
	return t.Store.Delete(ctx, takenPrefix+name)
}

// maxKnown bounds how many takeovers are known without asking the store.
const maxKnown = 10_000

// Known are takeovers that were seen lately. They never change, apart from the time of
// their last use. The zero value knows none.
type Known struct {
	mu    sync.Mutex
	taken map[string]takeover
}

func (k *Known) get(name string) (takeover, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	taken, ok := k.taken[name]
	return taken, ok
}

func (k *Known) put(name string, taken takeover) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.taken == nil {
		k.taken = make(map[string]takeover)
	}
	if _, ok := k.taken[name]; !ok && len(k.taken) >= maxKnown {
		for any := range k.taken { // the store has it
			delete(k.taken, any)
			break
		}
	}
	k.taken[name] = taken
}

func (k *Known) forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.taken, name)
}
