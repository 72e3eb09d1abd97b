package authserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// The users of an upstream are those of one provider. If the operator puts another
// provider in its place, under the same name, user 1 there is another person
// than user 1 here.

// source returns what tells the users of this upstream from those of every other,
// whatever had its name before.
func (u *Upstream) source() string {
	b, err := json.Marshal(append([]string{u.Name}, u.provider.Source()...))
	if err != nil {
		panic(err) // a list of texts
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// firstSourcesPrefix is where the sources are that had a name first.
const firstSourcesPrefix = "upstreams/"

// subjectPrefix returns what the subjects of an upstream's users begin with: its
// name, for the first provider that users of this server have signed in at under
// that name, and something that no other provider has for the others. So subjects
// stay short, and the MCP servers never take a user for another.
func (h *Handler) subjectPrefix(ctx context.Context, u *Upstream) (string, error) {
	first, err := h.firstSource(ctx, u)
	if err != nil {
		return "", fmt.Errorf("looking up which provider was %s first: %w", u.Name, err)
	}
	if source := u.source(); source != first {
		// No name has a tilde in it.
		return u.Name + "~" + source[:16], nil
	}
	return u.Name, nil
}

// firstSource returns the source that had the upstream's name first: its own, if
// none had.
func (h *Handler) firstSource(ctx context.Context, u *Upstream) (string, error) {
	key := firstSourcesPrefix + u.Name
	load := func() (source string, err error) {
		b, err := h.store.Load(ctx, key)
		if err != nil {
			return "", err
		}
		err = json.Unmarshal(b, &source)
		return source, err
	}
	source, err := load()
	if !errors.Is(err, fs.ErrNotExist) {
		return source, err
	}
	unlock, err := h.store.Lock(ctx, key)
	if err != nil {
		return "", err
	}
	defer unlock()
	if source, err = load(); !errors.Is(err, fs.ErrNotExist) {
		return source, err
	}
	b, err := json.Marshal(u.source())
	if err != nil {
		return "", err
	}
	return u.source(), h.store.Store(ctx, key, b)
}
