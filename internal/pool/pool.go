// Package pool keeps state that outlives a configuration: what is known about
// other servers, verdicts, counters. After a reload the new configuration
// continues with it.
package pool

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/caddyserver/caddy/v2"
)

// Pool holds values that several modules, and several configurations, share. A
// value is destructed with its last reference.
type Pool[T caddy.Destructor] struct{ usage *caddy.UsagePool }

// New returns an empty pool.
func New[T caddy.Destructor]() *Pool[T] { return &Pool[T]{caddy.NewUsagePool()} }

// Acquire returns the value for key and adds a reference to it to refs. If there
// is no value, construct makes it. Keys are compared as JSON. Everything that
// could make two values differ must be part of the key.
func (p *Pool[T]) Acquire(refs *References, key []any, construct func() (T, error)) (T, error) {
	var none T
	b, err := json.Marshal(key)
	if err != nil {
		return none, err
	}
	name := string(b)
	value, _, err := p.usage.LoadOrNew(name, func() (caddy.Destructor, error) { return construct() })
	if err != nil {
		return none, err
	}
	refs.add(func() error {
		_, err := p.usage.Delete(name)
		return err
	})
	return value.(T), nil
}

// Range calls visit for every value, until it returns false. visit must not use the
// pool: it is locked meanwhile.
func (p *Pool[T]) Range(visit func(T) bool) {
	p.usage.Range(func(_, value any) bool { return visit(value.(T)) })
}

// Count returns how many values have a key that begins with first, and how many
// references there are to them.
func (p *Pool[T]) Count(first string) (values, references int) {
	var keys []any
	p.usage.Range(func(key, _ any) bool {
		var parts []any
		if json.Unmarshal([]byte(key.(string)), &parts) == nil && len(parts) > 0 && parts[0] == first {
			keys = append(keys, key)
		}
		return true
	})
	for _, key := range keys {
		if n, ok := p.usage.References(key); ok {
			values, references = values+1, references+n
		}
	}
	return values, references
}

// References are what one module holds and must give back when it is cleaned up,
// even if its provisioning failed halfway. The zero value holds nothing. Caddy
// never provisions and cleans up a module at the same time, so no lock is needed.
type References struct {
	releases []func() error
}

// Add registers release to be called when the references are given back.
func (r *References) Add(release func()) {
	r.add(func() error { release(); return nil })
}

func (r *References) add(release func() error) {
	r.releases = append(r.releases, release)
}

// Release gives everything back, the latest first. Calling it again does nothing.
func (r *References) Release() error {
	releases := r.releases
	r.releases = nil
	var errs []error
	for _, release := range slices.Backward(releases) {
		errs = append(errs, release())
	}
	return errors.Join(errs...)
}
