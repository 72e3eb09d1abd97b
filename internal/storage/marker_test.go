package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"
)

// fickle is a storage that can be away. It then answers as a Redis module does:
// what is read isn't there, what is changed fails.
type fickle struct {
	*certmagic.FileStorage

	mu    sync.Mutex
	calls int
	// away says whether the call of that number finds the storage away.
	away func(call int) bool
}

var errAway = errors.New("connection refused")

func (f *fickle) gone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	return f.away != nil && f.away(f.calls)
}

// from has the storage be away from now on, at the calls for which away is true.
func (f *fickle) from(away func(call int) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.away = 0, away
}

func (f *fickle) Load(ctx context.Context, key string) ([]byte, error) {
	if f.gone() {
		return nil, fs.ErrNotExist
	}
	return f.FileStorage.Load(ctx, key)
}

func (f *fickle) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	if f.gone() {
		return certmagic.KeyInfo{}, fs.ErrNotExist
	}
	return f.FileStorage.Stat(ctx, key)
}

func (f *fickle) Exists(ctx context.Context, key string) bool {
	return !f.gone() && f.FileStorage.Exists(ctx, key)
}

func (f *fickle) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if f.gone() {
		return nil, nil
	}
	return f.FileStorage.List(ctx, prefix, recursive)
}

func (f *fickle) Store(ctx context.Context, key string, value []byte) error {
	if f.gone() {
		return errAway
	}
	return f.FileStorage.Store(ctx, key, value)
}

func (f *fickle) Delete(ctx context.Context, key string) error {
	if f.gone() {
		return errAway
	}
	return f.FileStorage.Delete(ctx, key)
}

func (f *fickle) Lock(ctx context.Context, name string) error {
	if f.gone() {
		return errAway
	}
	return f.FileStorage.Lock(ctx, name)
}

// An outage, however long and whenever it begins, is never taken for the absence
// of a record that is there, by a server that has used the storage before and by
// one that hasn't.
func TestAbsenceDuringOutage(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	storage := &fickle{FileStorage: &certmagic.FileStorage{Path: t.TempDir()}}
	used := New(storage, "mcp_auth_server", "https://mcp.example.com")
	for _, key := range []string{"grants/a", "grants/b"} {
		if err := used.Store(ctx, key, []byte(`"here"`)); err != nil {
			t.Fatal(err)
		}
	}
	const calls = 16
	for begin := 1; begin <= calls; begin++ {
		for end := begin; end <= calls; end++ {
			for name, r := range map[string]*Records{"used": used, "fresh": New(storage, "mcp_auth_server", "https://mcp.example.com")} {
				outage := func(call int) bool { return call >= begin && call < end }
				name = fmt.Sprintf("%s, away from call %d to %d", name, begin, end)
				storage.from(outage)
				if got, err := r.Load(ctx, "grants/a"); errors.Is(err, fs.ErrNotExist) || err == nil && string(got) != `"here"` {
					t.Errorf("%s: loading: got %s, %v", name, got, err)
				}
				storage.from(outage)
				if _, err := r.Load(ctx, "grants/none"); err == nil {
					t.Errorf("%s: loading what isn't there: no error", name)
				}
				storage.from(outage)
				keys, err := r.List(ctx, "grants/")
				if slices.Sort(keys); err == nil && !slices.Equal(keys, []string{"grants/a", "grants/b"}) {
					t.Errorf("%s: listing: got %q", name, keys)
				}
			}
		}
	}
	storage.from(nil)
	for key, want := range map[string]error{"grants/a": nil, "grants/none": fs.ErrNotExist} {
		if _, err := used.Load(ctx, key); !errors.Is(err, want) {
			t.Errorf("%s, after all outages: got %v, want %v", key, err, want)
		}
	}
}

// While the storage is away, nothing is said to be absent, stored or removed.
func TestStorageAway(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, used := range []bool{true, false} {
		storage := &fickle{FileStorage: &certmagic.FileStorage{Path: t.TempDir()}}
		r := New(storage, "mcp_auth_server", "https://mcp.example.com")
		if used {
			if err := r.Store(ctx, "grants/a", []byte(`1`)); err != nil {
				t.Fatal(err)
			}
		}
		storage.from(func(int) bool { return true })
		for name, try := range map[string]func() error{
			"load":   func() error { _, err := r.Load(ctx, "grants/a"); return err },
			"list":   func() error { _, err := r.List(ctx, "grants/"); return err },
			"store":  func() error { return r.Store(ctx, "grants/b", []byte(`2`)) },
			"delete": func() error { return r.Delete(ctx, "grants/a") },
			"secret": func() error { _, err := NewSecret(r, "").Keys(ctx); return err },
		} {
			if err := try(); err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s (storage used before: %t): got %v", name, used, err)
			}
		}
	}
}

// A folder that is empty all at once, as when a network's is no longer mounted, is
// no storage whose records have all ended, and nothing is written to it.
func TestStorageVanished(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	file := &certmagic.FileStorage{Path: t.TempDir()}
	r := New(file, "mcp_auth_server", "https://mcp.example.com")
	if err := r.Store(ctx, "grants/a", []byte(`1`)); err != nil {
		t.Fatal(err)
	}
	mounted := file.Path
	file.Path = t.TempDir()
	for name, try := range map[string]func() error{
		"load":   func() error { _, err := r.Load(ctx, "grants/a"); return err },
		"list":   func() error { _, err := r.List(ctx, "grants/"); return err },
		"store":  func() error { return r.Store(ctx, "grants/b", []byte(`2`)) },
		"delete": func() error { return r.Delete(ctx, "grants/a") },
	} {
		if err := try(); !errors.Is(err, ErrVanished) {
			t.Errorf("%s: got %v, want ErrVanished", name, err)
		}
	}
	file.Path = mounted
	if got, err := r.Load(ctx, "grants/a"); err != nil || string(got) != "1" {
		t.Errorf("when it is back: got %s, %v", got, err)
	}
}

// A storage that takes records and doesn't have them afterwards is not believed.
func TestStorageForgets(t *testing.T) {
	t.Parallel()
	storage := &fickle{FileStorage: &certmagic.FileStorage{Path: t.TempDir()}}
	r := New(forgetful{storage}, "mcp_auth_server", "https://mcp.example.com")
	if _, err := r.Load(t.Context(), "grants/a"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

type forgetful struct{ certmagic.Storage }

func (forgetful) Store(context.Context, string, []byte) error { return nil }
