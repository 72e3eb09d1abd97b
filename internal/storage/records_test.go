package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

func TestRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := New(&certmagic.FileStorage{Path: dir}, "mcp_auth_server", "https://mcp.example.com/as")
	ctx := t.Context()
	if _, err := s.Load(ctx, "codes/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loading what isn't there: %v", err)
	}
	if keys, err := s.List(ctx, "codes/"); err != nil || len(keys) != 0 {
		t.Errorf("listing what isn't there: %q, %v", keys, err)
	}
	for _, key := range []string{"consents/u1/c1", "consents/u1/c2", "consents/u2/c1", "grants/g"} {
		if err := s.Store(ctx, key, fmt.Appendf(nil, "%q", key)); err != nil {
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
	if got, err := s.Load(ctx, "consents/u1/c1"); err != nil || string(got) != `"consents/u1/c1"` {
		t.Errorf("loading: %q, %v", got, err)
	}
	if err := s.Delete(ctx, "consents/u1/c1"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(ctx, "consents/u1/c1"); err != nil {
		t.Errorf("deleting what isn't there: %v", err)
	}
	// Another issuer on the same storage has records of its own.
	if keys, err := New(s.storage, "mcp_auth_server", "https://other.example.com").List(ctx, "consents/"); err != nil || len(keys) != 0 {
		t.Errorf("another issuer: %q, %v", keys, err)
	}
}

func TestLocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := New(&certmagic.FileStorage{Path: dir}, "mcp_auth_server", "https://mcp.example.com")
	// Of the configuration after a reload.
	again := New(&certmagic.FileStorage{Path: dir}, "mcp_auth_server", "https://mcp.example.com")
	unlock, err := s.Lock(t.Context(), "grants/a")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, other := range map[string]*Records{"itself": s, "the next configuration": again} {
		if _, err := other.Lock(ended, "grants/a"); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, which may not wait, gets %v for a lock that is held", name, err)
		}
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
	for name := range processLocks.locks {
		if strings.Contains(name, dir) {
			t.Errorf("a lock is remembered that nobody wants: %s", name)
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "locks", "mcp_auth")); err != nil || len(left) > 0 {
		t.Errorf("locks that were released are still in the storage: %v, %v", left, err)
	}
}

// A record is there only for the server that stored it, at the key where it was
// stored.
func TestRecordsSayForWhom(t *testing.T) {
	t.Parallel()
	file := &certmagic.FileStorage{Path: t.TempDir()}
	ctx := t.Context()
	const issuer = "https://mcp.example.com/test/1"
	a := New(file, "mcp_auth_server", issuer)
	if err := a.Store(ctx, "grants/x", []byte(`"a"`)); err != nil {
		t.Fatal(err)
	}
	raw, err := file.Load(ctx, a.key("grants/x"))
	if err != nil || !strings.Contains(string(raw), `"iss":"`+issuer+`"`) {
		t.Errorf("the record doesn't say whose it is: %s, %v", raw, err)
	}
	for name, elsewhere := range map[string]*Records{
		"slash":          New(file, "mcp_auth_server", "https://mcp.example.com/test1"),
		"letter case":    New(file, "mcp_auth_server", "https://mcp.example.com/Test/1"),
		"slash at end":   New(file, "mcp_auth_server", issuer+"/"),
		"another scheme": New(file, "mcp_auth_server", "http://mcp.example.com/test/1"),
		"another port":   New(file, "mcp_auth_server", "https://mcp.example.com:8443/test/1"),
		"another module": New(file, "mcp_auth_facade", issuer),
	} {
		if strings.EqualFold(elsewhere.prefix, a.prefix) {
			t.Errorf("%s: shares the prefix %s", name, a.prefix)
		}
		if _, err := elsewhere.Load(ctx, "grants/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: loads the record: %v", name, err)
		}
		// Locks are apart too, or one server would wait for another.
		unlock, err := a.Lock(ctx, "grants/x")
		if err != nil {
			t.Fatal(err)
		}
		waits, cancel := context.WithTimeout(ctx, testkit.Patience)
		unlockOther, err := elsewhere.Lock(waits, "grants/x")
		cancel()
		if err != nil {
			t.Errorf("%s: waits for another server's lock: %v", name, err)
		} else {
			unlockOther()
		}
		unlock()
		if elsewhere.issuer == a.issuer {
			continue
		}
		if err := file.Store(ctx, elsewhere.key("grants/x"), raw); err != nil {
			t.Fatal(err)
		}
		if got, err := elsewhere.Load(ctx, "grants/x"); !errors.Is(err, fs.ErrNotExist) || got != nil {
			t.Errorf("%s: the record of another issuer is there: %s, %v", name, got, err)
		}
	}
	for name, key := range map[string]string{"another kind": "codes/x", "another key": "grants/y", "letter case": "grants/X"} {
		if err := file.Store(ctx, a.key(key), raw); err != nil {
			t.Fatal(err)
		}
		if got, err := a.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) || got != nil {
			t.Errorf("%s: a record that was stored elsewhere is there: %s, %v", name, got, err)
		}
	}
	for name, damaged := range map[string]string{"no JSON": "x", "cut": string(raw[:len(raw)-1]), "empty": ""} {
		if err := file.Store(ctx, a.key("grants/damaged"), []byte(damaged)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Load(ctx, "grants/damaged"); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, want ErrDamaged", name, err)
		}
	}
	// What earlier versions stored has no issuer.
	if err := file.Store(ctx, a.key("grants/old"), []byte(`{"user":{"sub":"ada"}}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Load(ctx, "grants/old"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a record without an issuer: %v", err)
	}
}

// All Caddys on a storage make one secret between them, and each issuer has its
// own.
func TestSecret(t *testing.T) {
	t.Parallel()
	file := &certmagic.FileStorage{Path: t.TempDir()}
	seal := func(s *Secret) string {
		keys, err := s.Keys(t.Context())
		if err != nil {
			t.Error(err)
			return ""
		}
		return keys.Seal(sealed.ClientID, []byte("text"))
	}
	fresh := func(issuer string) *Secret { return NewSecret(New(file, "mcp_auth_server", issuer), "") }
	const issuer = "https://mcp.example.com"
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() { got[i] = seal(fresh(issuer)) })
	}
	wg.Wait()
	if slices.Sort(got); got[0] == "" || got[0] != got[len(got)-1] {
		t.Error("several secrets were made at once")
	}
	if seal(fresh("https://other.example.com")) == got[0] {
		t.Error("two issuers have one key")
	}
	given := func(issuer, secret string) string {
		return seal(NewSecret(New(file, "mcp_auth_server", issuer), secret))
	}
	a, again := given(issuer, "a"), given(issuer, "a")
	if a == given(issuer, "b") || a != again || a == given(issuer+"/a", "a") {
		t.Error("a given secret doesn't decide the keys, together with the issuer")
	}
	records := New(file, "mcp_auth_server", "https://damaged.example.com")
	for name, record := range map[string]string{"short": `"c2hvcnQ="`, "no text": `{}`} {
		if err := records.Store(t.Context(), secretKey, []byte(record)); err != nil {
			t.Fatal(err)
		}
		if _, err := NewSecret(records, "").Keys(t.Context()); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, want ErrDamaged", name, err)
		}
	}
}
