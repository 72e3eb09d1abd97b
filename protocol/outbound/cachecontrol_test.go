package outbound_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

func TestParseCacheControl(t *testing.T) {
	t.Parallel()
	type c = outbound.CacheControl
	age := func(d time.Duration) c { return c{MaxAge: d, HasMaxAge: true} }
	for _, test := range []struct {
		name  string
		lines []string
		want  c
	}{
		{"nothing", nil, c{}},
		{"empty", []string{""}, c{}},
		{"commas", []string{" ,, ,"}, c{}},
		{"max-age", []string{"public, max-age=120"}, age(2 * time.Minute)},
		{"in upper case", []string{"PUBLIC, MAX-AGE=120"}, age(2 * time.Minute)},
		{"quoted", []string{`max-age="120"`}, age(2 * time.Minute)},
		{"the shorter of two", []string{"max-age=120, max-age=60"}, age(time.Minute)},
		{"the shorter of two, first", []string{"max-age=60", "max-age=120"}, age(time.Minute)},
		{"zero", []string{"max-age=0"}, age(0)},
		{"no number", []string{"max-age=soon"}, age(0)},
		{"a fraction", []string{"max-age=1.5"}, age(0)},
		{"negative", []string{"max-age=-1"}, age(0)},
		{"no argument", []string{"max-age"}, age(0)},
		{"too large", []string{"max-age=99999999999999999999"}, age((1<<31 - 1) * time.Second)},
		{"too large by one", []string{"max-age=2147483648"}, age((1<<31 - 1) * time.Second)},
		{"no-store", []string{"No-Store"}, c{NoStore: true}},
		{"no-cache", []string{"no-cache"}, c{NoCache: true}},
		{"no-cache for some fields", []string{`no-cache="Set-Cookie, X"`}, c{NoCache: true}},
		{"must-revalidate", []string{"must-revalidate"}, c{MustRevalidate: true}},
		{"on two lines", []string{"max-age=60", "must-revalidate, no-store"}, c{MaxAge: time.Minute, HasMaxAge: true, MustRevalidate: true, NoStore: true}},
		{"others", []string{"s-maxage=60, immutable, stale-while-revalidate=1, xmax-age=5"}, c{}},
		{"a name in a string", []string{`x="a, no-store, max-age=1", max-age=60`}, age(time.Minute)},
		{"an escaped quote in a string", []string{`x="a\", no-store", max-age=60`}, age(time.Minute)},
		{"a string without an end", []string{`x="a, no-store`}, c{NoStore: true}},
		{"a string that ends in a backslash", []string{`x="a\`}, c{}},
	} {
		if got := outbound.ParseCacheControl(http.Header{"Cache-Control": test.lines}); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{"", "max-age=60, no-store", `x="a\",`, "7", "99999999999", `no-cache="a", max-age="5"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c := outbound.ParseCacheControl(http.Header{"Cache-Control": {value}})
		if c.MaxAge < 0 || c.MaxAge > (1<<31-1)*time.Second || c.MaxAge > 0 && !c.HasMaxAge {
			t.Errorf("%q: got %+v", value, c)
		}
		// What forbids keeping an answer is never overlooked at the end of a list.
		if last := outbound.ParseCacheControl(http.Header{"Cache-Control": {value, "no-store"}}); !last.NoStore {
			t.Errorf("%q: no-store on the next line was overlooked", value)
		}
		if !strings.ContainsAny(value, `"\`) {
			if last := outbound.ParseCacheControl(http.Header{"Cache-Control": {value + ", no-store"}}); !last.NoStore {
				t.Errorf("%q: no-store at the end was overlooked", value)
			}
		}
		if wait := outbound.RetryAfter(http.Header{"Retry-After": {value}}); wait < 0 || wait > outbound.MaxRetryAfter {
			t.Errorf("%q: got a wait of %v", value, wait)
		}
	})
}
