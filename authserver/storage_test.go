package authserver

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
)

var _ oauth.Store = (*storage)(nil)

func TestStorage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStorage(&certmagic.FileStorage{Path: dir}, "https://mcp.example.com/as")
	ctx := t.Context()
	if _, err := s.Load(ctx, "codes/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loading what isn't there: %v", err)
	}
	if keys, err := s.List(ctx, "codes/"); err != nil || len(keys) != 0 {
		t.Errorf("listing what isn't there: %q, %v", keys, err)
	}
	for _, key := range []string{"consents/u1/c1", "consents/u1/c2", "consents/u2/c1", "grants/g"} {
		if err := s.Store(ctx, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	// What a storage is writing at this moment is no record.
	matches, err := filepath.Glob(filepath.Join(dir, "mcp_auth_server", "*", "consents", "u1"))
	if err != nil || len(matches) != 1 {
		t.Fatalf("the records are elsewhere: %q, %v", matches, err)
	}
	if err := os.WriteFile(filepath.Join(matches[0], "123456789"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string][]string{
		"consents/":    {"consents/u1/c1", "consents/u1/c2", "consents/u2/c1"},
		"consents/u1/": {"consents/u1/c1", "consents/u1/c2"},
		"grants/":      {"grants/g"},
	} {
		keys, err := s.List(ctx, prefix)
		slices.Sort(keys)
		if err != nil || !slices.Equal(keys, want) {
			t.Errorf("%s: %q, %v; want %q", prefix, keys, err, want)
		}
	}
	if got, err := s.Load(ctx, "consents/u1/c1"); err != nil || string(got) != "consents/u1/c1" {
		t.Errorf("loading: %q, %v", got, err)
	}
	if err := s.Delete(ctx, "consents/u1/c1"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(ctx, "consents/u1/c1"); err != nil {
		t.Errorf("deleting what isn't there: %v", err)
	}
	// Another issuer on the same storage has records of its own.
	if keys, err := newStorage(s.Storage, "https://other.example.com").List(ctx, "consents/"); err != nil || len(keys) != 0 {
		t.Errorf("another issuer: %q, %v", keys, err)
	}
}

func TestStorageLocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStorage(&certmagic.FileStorage{Path: dir}, "https://mcp.example.com")
	// Of the configuration after a reload.
	again := newStorage(&certmagic.FileStorage{Path: dir}, "https://mcp.example.com")
	unlock, err := s.Lock(t.Context(), "grants/a")
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*storage{"itself": s, "the next configuration": again} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := other.Lock(ctx, "grants/a"); err == nil {
			t.Errorf("%s takes a lock that is held", name)
		}
		cancel()
	}
	other, err := s.Lock(t.Context(), "grants/A") // names that differ in case are two
	if err != nil {
		t.Fatal(err)
	}
	other()
	released := make(chan struct{})
	go func() {
		defer close(released)
		unlock, err := again.Lock(t.Context(), "grants/a")
		if err == nil {
			unlock()
		}
	}()
	unlock()
	<-released
	processLocks.mu.Lock()
	defer processLocks.mu.Unlock()
	if n := len(processLocks.locks); n != 0 {
		t.Errorf("%d locks are remembered that nobody wants", n)
	}
}
