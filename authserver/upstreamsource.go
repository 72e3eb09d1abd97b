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

// An upstream's users belong to its provider. If the operator configures another
// provider under the same name, user 1 there is a different person.

// source returns a text that distinguishes the provider of this upstream from
// every other, including one that had the same name before.
func (u *Upstream) source() string {
	b, err := json.Marshal(append([]string{u.Name}, u.provider.Source()...))
	if err != nil {
		panic(err) // a list of strings always encodes
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// firstSourcesPrefix is the prefix of the records that say which provider first
// had a name.
const firstSourcesPrefix = "upstreams/"

// subjectPrefix returns the prefix of the subjects of an upstream's users. For
// the first provider under a name, it is the name. For any later provider, a hash
// of its source is added. So subjects stay short, and an MCP server never
// mistakes one user for another.
func (h *Handler) subjectPrefix(ctx context.Context, u *Upstream) (string, error) {
	first, err := h.firstSource(ctx, u)
	if err != nil {
		return "", fmt.Errorf("looking up which provider was %s first: %w", u.Name, err)
	}
	if source := u.source(); source != first {
		// Names contain no tilde.
		return u.Name + "~" + source[:16], nil
	}
	return u.Name, nil
}

// firstSource returns the source that first had the upstream's name. If none had,
// it records this upstream's source.
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
