package signing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
)

var errAway = errors.New("the store is away")

// ring returns a ring on store, by the clock of the test's bubble.
func ring(store *storetest.Memory, change ...func(*Config)) *Ring {
	secret := sealed.New(bytes.Repeat([]byte{1}, 32), "https://mcp.example.com")
	config := Config{
		Store:   store,
		Prefix:  "keys/",
		Secret:  func(context.Context) (*sealed.Keys, error) { return secret, nil },
		Purpose: sealed.AssertionKey,
		Longest: 10 * time.Minute,
	}
	for _, f := range change {
		f(&config)
	}
	return New(config)
}

func current(t *testing.T, r *Ring) *Keys {
	t.Helper()
	k, err := r.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// published returns the kids in the document.
func published(t *testing.T, k *Keys) (kids []string) {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(k.Document(), &set); err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Keys {
		if !key.IsPublic() || key.Algorithm != "ES256" || key.Use != "sig" {
			t.Errorf("published %+v", key)
		}
		kids = append(kids, key.KeyID)
	}
	return kids
}

func signs(k *Keys) string { return k.Signing(time.Now()).KeyID }

// A key is published before it signs, by every server on the store, and after,
// for as long as what it signed may be valid.
func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storetest.New()
		a, b := ring(store), ring(store)
		first := signs(current(t, a))
		if got := published(t, current(t, b)); len(got) != 1 || got[0] != first {
			t.Fatalf("another server publishes %q, want %s", got, first)
		}
		time.Sleep(Lifetime)
		both := published(t, current(t, a))
		if len(both) != 2 || both[0] != first {
			t.Fatalf("got the keys %q, want the first and its successor", both)
		}
		for until := time.Now().Add(Lead - time.Minute); time.Now().Before(until); time.Sleep(time.Hour) {
			for name, r := range map[string]*Ring{"a": a, "b": b} {
				k := current(t, r)
				if signs(k) != first || len(published(t, k)) != 2 {
					t.Fatalf("%s signs with %s of %q, want the first until the second is known", name, signs(k), published(t, k))
				}
			}
		}
		time.Sleep(30 * time.Minute)
		for name, r := range map[string]*Ring{"a": a, "b": b} {
			if k := current(t, r); signs(k) != both[1] || len(published(t, k)) != 2 {
				t.Errorf("%s signs with %s of %q, want the second, the first published", name, signs(k), published(t, k))
			}
		}
		time.Sleep(10*time.Minute + After)
		if got := published(t, current(t, a)); len(got) != 1 || got[0] != both[1] {
			t.Errorf("published are %q, want the second alone", got)
		}
		if got := store.Keys("keys/"); len(got) != 1 {
			t.Errorf("the store has %q", got)
		}
		if got := published(t, current(t, ring(store))); len(got) != 1 || got[0] != both[1] {
			t.Errorf("after a restart published are %q", got)
		}
	})
}

// However many begin at once, and on however many servers, they make one key.
func TestOneKey(t *testing.T) {
	t.Parallel()
	store := storetest.New()
	kids := make([]string, 16)
	rings := []*Ring{ring(store), ring(store), ring(store)}
	var wg sync.WaitGroup
	for i := range kids {
		wg.Go(func() {
			if k, err := rings[i%len(rings)].Current(t.Context()); err == nil {
				kids[i] = signs(k)
			}
		})
	}
	wg.Wait()
	for i, kid := range kids {
		if kid == "" || kid != kids[0] {
			t.Errorf("caller %d signs with %q, the first with %q", i, kid, kids[0])
		}
	}
	if got := store.Keys("keys/"); len(got) != 1 {
		t.Errorf("the store has %q", got)
	}
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storetest.New()
		away := func(string, string) error { return errAway }
		r := ring(store)
		store.Fail(away)
		if k, err := r.Current(t.Context()); !errors.Is(err, errAway) || k != nil {
			t.Fatalf("before a key is known: got %v, %v", k, err)
		}
		store.Fail(nil)
		kid := signs(current(t, r))
		// What is known goes on signing, however long the store is away.
		store.Fail(away)
		for range 50 {
			time.Sleep(time.Hour)
			if got := signs(current(t, r)); got != kid {
				t.Fatalf("got %s, want %s", got, kid)
			}
		}
		if _, err := ring(store).Current(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("another server: got %v", err)
		}
	})
}

// A storage that hangs keeps nobody waiting who has a key.
func TestStoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storetest.New()
		r := ring(store)
		kid := signs(current(t, r))
		hangs := make(chan struct{})
		store.Fail(func(string, string) error { <-hangs; return errAway })
		time.Sleep(2 * time.Minute)
		began := time.Now()
		if got := signs(current(t, r)); got != kid || time.Since(began) != 0 {
			t.Errorf("got %s after %s, want %s at once", got, time.Since(began), kid)
		}
		// One that has been idle for long waits, because other servers may have gone on.
		time.Sleep(usable)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if k, err := r.Current(ctx); !errors.Is(err, context.DeadlineExceeded) || k != nil {
			t.Errorf("got %v, %v, want to wait", k, err)
		}
		close(hangs)
		synctest.Wait()
	})
}

func TestUnreadableKeys(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		record  func(good string) string
		replace bool // by a new key; otherwise it is an error
	}{
		"damaged":       {func(string) string { return "{" }, true},
		"empty":         {func(string) string { return "" }, true},
		"null":          {func(string) string { return "null" }, false},
		"sealed by who": {func(good string) string { return strings.Replace(good, `"sealed":"`, `"sealed":"A`, 1) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := storetest.New()
			old := signs(current(t, ring(store)))
			key := "keys/" + old
			store.Put(key, []byte(tc.record(string(store.Records()[key]))))
			told := 0
			k, err := ring(store, func(c *Config) { c.Damaged = func(context.Context) { told++ } }).Current(t.Context())
			switch {
			case tc.replace:
				if err != nil || signs(k) == old || told == 0 {
					t.Errorf("got %v, the operator was told %d times; want a new key", err, told)
				}
			case err == nil:
				t.Errorf("got the key %s", signs(k))
			}
		})
	}
}

// Neither another server's secret nor another purpose opens a key.
func TestSealedForWhom(t *testing.T) {
	t.Parallel()
	store := storetest.New()
	current(t, ring(store))
	other := sealed.New(bytes.Repeat([]byte{1}, 32), "https://other.example.com")
	for name, change := range map[string]func(*Config){
		"another server":  func(c *Config) { c.Secret = func(context.Context) (*sealed.Keys, error) { return other, nil } },
		"another purpose": func(c *Config) { c.Purpose = sealed.SigningKey },
		"no secret":       func(c *Config) { c.Secret = func(context.Context) (*sealed.Keys, error) { return nil, errAway } },
	} {
		if k, err := ring(store, change).Current(t.Context()); err == nil {
			t.Errorf("%s: got the key %s", name, signs(k))
		}
	}
	for _, b := range store.Records() {
		if strings.Contains(string(b), "PRIVATE") || strings.Contains(string(b), `"d"`) {
			t.Errorf("the store has %s", b)
		}
	}
}
