package pool_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
)

// value notes when it is destructed.
type value struct {
	name string
	ends *[]string
	err  error
}

func (v *value) Destruct() error {
	*v.ends = append(*v.ends, v.name)
	return v.err
}

func TestPool(t *testing.T) {
	t.Parallel()
	p := pool.New[*value]()
	var ends []string
	made := 0
	acquire := func(refs *pool.References, key ...any) *value {
		t.Helper()
		v, err := p.Acquire(refs, key, func() (*value, error) {
			made++
			return &value{name: key[0].(string), ends: &ends}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var before, after pool.References
	first := acquire(&before, "a", 1)
	other := acquire(&before, "b", map[string]any{"y": 1, "x": 2})
	// A reload: the next configuration comes before this one goes.
	if acquire(&after, "a", 1) != first || acquire(&after, "b", map[string]any{"x": 2, "y": 1}) != other || made != 2 {
		t.Errorf("the next configuration got other values, %d were made", made)
	}
	if acquire(&after, "a", 2) == first {
		t.Error("another key got the same value")
	}
	count := 0
	p.Range(func(*value) bool { count++; return true })
	if count != 3 {
		t.Errorf("got %d values, want 3", count)
	}
	if values, references := p.Count("a"); values != 2 || references != 3 {
		t.Errorf("got %d values and %d references, want 2 and 3", values, references)
	}
	for range 2 { // once counts
		if err := before.Release(); err != nil || len(ends) != 0 {
			t.Errorf("got %v, %q destructed while the next configuration uses them", err, ends)
		}
	}
	if err := after.Release(); err != nil || !slices.Equal(ends, []string{"a", "b", "a"}) {
		t.Errorf("got %v, destructed %q, want all", err, ends)
	}
	if acquire(&before, "a", 1) == first {
		t.Error("a destructed value was handed out")
	}
}

func TestPoolRefuses(t *testing.T) {
	t.Parallel()
	p := pool.New[*value]()
	var refs pool.References
	var ends []string
	broken := errors.New("broken")
	if v, err := p.Acquire(&refs, []any{"a"}, func() (*value, error) { return nil, broken }); !errors.Is(err, broken) || v != nil {
		t.Errorf("got %v, %v", v, err)
	}
	if v, err := p.Acquire(&refs, []any{func() {}}, func() (*value, error) { return &value{ends: &ends}, nil }); err == nil || v != nil {
		t.Errorf("a key that is no JSON: got %v, %v", v, err)
	}
	if err := refs.Release(); err != nil || len(ends) != 0 {
		t.Errorf("got %v, %q destructed, of nothing acquired", err, ends)
	}
	// What can't be made leaves nothing behind.
	if _, err := p.Acquire(&refs, []any{"a"}, func() (*value, error) { return &value{name: "a", ends: &ends, err: broken}, nil }); err != nil {
		t.Error(err)
	}
	if err := refs.Release(); !errors.Is(err, broken) || len(ends) != 1 {
		t.Errorf("got %v, %q destructed, want the error of the value", err, ends)
	}
}

func TestReferencesAreReleasedBackwards(t *testing.T) {
	t.Parallel()
	var refs pool.References
	var order []int
	for i := range 3 {
		refs.Add(func() { order = append(order, i) })
	}
	if err := errors.Join(refs.Release(), refs.Release()); err != nil || !slices.Equal(order, []int{2, 1, 0}) {
		t.Errorf("got %v, %v, want each once, the latest first", order, err)
	}
}

// Counting goes on while other modules are provisioned and cleaned up. A count that
// asked for the references of a value while it went through the pool waited forever for
// one that wanted to change it.
func TestCountBesideOthers(t *testing.T) {
	t.Parallel()
	p := pool.New[*value]()
	var kept pool.References
	acquire := func(refs *pool.References, name string) {
		var ends []string
		if _, err := p.Acquire(refs, []any{name}, func() (*value, error) { return &value{name: name, ends: &ends}, nil }); err != nil {
			t.Error(err)
		}
	}
	acquire(&kept, "kept")
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for range 2000 {
				var refs pool.References
				acquire(&refs, "other")
				if err := refs.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5000 {
		if values, references := p.Count("kept"); values != 1 || references != 1 {
			t.Fatalf("got %d values and %d references, want one", values, references)
		}
	}
	others.Wait()
}
