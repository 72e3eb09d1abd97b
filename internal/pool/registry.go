package pool

import (
	"slices"
	"sync"
)

// Registry lists what the running configurations have under a key. For a moment
// during a reload there are two of everything. The zero value is empty.
type Registry[T any] struct {
	mu      sync.RWMutex
	entries map[string][]*T // the newest last
}

// Register adds v under key until it is released. Releasing it again does nothing.
func (r *Registry[T]) Register(key string, v T) (release func()) {
	entry := &v
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries == nil {
		r.entries = make(map[string][]*T)
	}
	r.entries[key] = append(r.entries[key], entry)
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		rest := slices.DeleteFunc(r.entries[key], func(other *T) bool { return other == entry })
		if r.entries[key] = rest; len(rest) == 0 {
			delete(r.entries, key)
		}
	})
}

// All returns what is registered under key, the newest last.
func (r *Registry[T]) All(key string) []T {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]T, len(r.entries[key]))
	for i, entry := range r.entries[key] {
		list[i] = *entry
	}
	return list
}

// Latest returns what was registered last under key, if anything is.
func (r *Registry[T]) Latest(key string) (latest T, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if n := len(r.entries[key]); n > 0 {
		return *r.entries[key][n-1], true
	}
	return latest, false
}
