// Package storetest has an in-memory store of records for tests. It can be made
// to fail.
package storetest

import (
	"context"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Memory is a store of records. It implements oauth.Store.
type Memory struct {
	mu      sync.Mutex
	records map[string][]byte
	locks   map[string]*sync.Mutex
	fails   func(operation, key string) error

	asking sync.Mutex // while fails is asked
}

// New returns an empty store.
func New() *Memory {
	return &Memory{records: make(map[string][]byte), locks: make(map[string]*sync.Mutex)}
}

// Fail sets a function that is called before every operation, which is load,
// store, delete, list or lock. The operation fails with its error. Nil means that
// nothing fails.
func (m *Memory) Fail(f func(operation, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = f
}

// Keys returns the keys of all records below prefix.
func (m *Memory) Keys(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(func(yield func(string) bool) {
		for key := range m.records {
			if strings.HasPrefix(key, prefix) && !yield(key) {
				return
			}
		}
	})
}

// Records returns a copy of all records.
func (m *Memory) Records() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.records)
}

// Put writes the record at key, whatever fails.
func (m *Memory) Put(key string, record []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[key] = record
}

// Remove removes the record at key, whatever fails.
func (m *Memory) Remove(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, key)
}

// Clear removes all records.
func (m *Memory) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.records)
}

// try asks one at a time.
func (m *Memory) try(operation, key string) error {
	m.mu.Lock()
	f := m.fails
	m.mu.Unlock()
	if f == nil {
		return nil
	}
	m.asking.Lock()
	defer m.asking.Unlock()
	return f(operation, key)
}

// Load returns the record at key, or [fs.ErrNotExist].
func (m *Memory) Load(_ context.Context, key string) ([]byte, error) {
	if err := m.try("load", key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.records[key]; ok {
		return slices.Clone(b), nil
	}
	return nil, fs.ErrNotExist
}

// Store writes the record at key.
func (m *Memory) Store(_ context.Context, key string, record []byte) error {
	if err := m.try("store", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[key] = slices.Clone(record)
	return nil
}

// Delete removes the record at key, or every record below it.
func (m *Memory) Delete(_ context.Context, key string) error {
	if err := m.try("delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.records, func(k string, _ []byte) bool { return k == key || strings.HasPrefix(k, key+"/") })
	return nil
}

// List returns the keys of all records below prefix.
func (m *Memory) List(_ context.Context, prefix string) ([]string, error) {
	if err := m.try("list", prefix); err != nil {
		return nil, err
	}
	return m.Keys(prefix), nil
}

// Lock waits until nobody else holds the lock.
func (m *Memory) Lock(_ context.Context, name string) (func(), error) {
	if err := m.try("lock", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	l := m.locks[name]
	if l == nil {
		l = new(sync.Mutex)
		m.locks[name] = l
	}
	m.mu.Unlock()
	l.Lock()
	return l.Unlock, nil
}
