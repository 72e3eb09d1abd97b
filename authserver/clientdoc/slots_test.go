package clientdoc_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// hold returns a handler that blocks requests until release is closed, and
// counts them.
func hold(release <-chan struct{}) (handler http.HandlerFunc, held *atomic.Int64) {
	held = new(atomic.Int64)
	return func(w http.ResponseWriter, r *http.Request) {
		held.Add(1)
		<-release
		held.Add(-1)
		proper(w, r)
	}, held
}

func TestFetchesAtATime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		host string // a format for its number
		want int64
	}{
		{"one host", "a.example.com", clientdoc.MaxDomainFetches},
		{"many hosts of one domain", "a%d.example.com", clientdoc.MaxDomainFetches},
		{"many domains", "a.example%d.com", clientdoc.FreshFetches},
		{"many domains below a public suffix", "example%d.github.io", clientdoc.FreshFetches},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			handler, held := hold(release)
			p := newPublisher(t, handler)
			f := newFetcher(t, p, clientdoc.Config{})
			f.SetDial(p.dial)
			f.SkipVerify()
			f.SetTimeout(time.Minute)
			f.SetMaxWait(time.Minute)

			fetches := int(tt.want) + 4
			var done sync.WaitGroup
			for i := range fetches {
				host := tt.host
				if strings.Contains(host, "%d") {
					host = fmt.Sprintf(host, i)
				}
				done.Go(func() { mustFetchInBackground(t, f, p.idAt(host)+fmt.Sprint("?", i)) })
			}
			testkit.Eventually(t, "all but those held wait", func() bool { return held.Load() == tt.want && f.Queued() == fetches-int(tt.want) })
			p.wantHits(t, "held", tt.want)
			close(release)
			done.Wait()
			p.wantHits(t, "released", int64(fetches))
			if f.Queued() != 0 || f.Flights() != 0 {
				t.Errorf("%d wait, %d flights are left", f.Queued(), f.Flights())
			}
		})
	}
}

// mustFetchInBackground is mustFetch for goroutines that are not the test's.
func mustFetchInBackground(t testing.TB, f *clientdoc.Fetcher, id string) {
	if got, err := fetch(t, f, id); err != nil || string(got) != document(id) {
		t.Errorf("got %s, %v, want the document of %s", got, err, id)
	}
}

func TestFetchWaitsOnlySoLong(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	p, c := newPublisher(t, respond("Cache-Control", "max-age=60")), testkit.NewClock()
	f := newFetcher(t, p, clientdoc.Config{Now: c.Now})
	f.SetResolver(resolver(lookup))
	mustFetch(t, f, p.id("old"))
	c.Advance(time.Minute)

	handler, held := hold(release)
	p.answer(handler)
	f.SetTimeout(time.Minute)
	f.SetMaxWait(100 * time.Millisecond)
	var done sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		done.Go(func() { mustFetchInBackground(t, f, p.id(name)) })
	}
	testkit.Eventually(t, "two are held", func() bool { return held.Load() == 2 })

	got, err := fetch(t, f, p.id("c"))
	wantUnavailable(t, got, err, "under way")
	mustFetch(t, f, p.id("old")) // stale is better than nothing

	// Another host is not concerned.
	p.answer(nil)
	mustFetch(t, f, p.idAt("a.example.com"))
	close(release)
	done.Wait()
	// Nor is the shortage held against the URL.
	mustFetch(t, f, p.id("c"))
}

func TestFetchQueueIsBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	handler, held := hold(release)
	p := newPublisher(t, handler)
	f := newFetcher(t, p, clientdoc.Config{})
	f.SetDial(p.dial)
	f.SkipVerify()
	f.SetTimeout(time.Minute)
	f.SetMaxWait(time.Minute)
	var done sync.WaitGroup
	fetches := func(format string, n int) {
		for i := range n {
			done.Go(func() { mustFetchInBackground(t, f, p.idAt(fmt.Sprintf(format, i))) })
		}
	}
	// Those who wait for one domain leave room for those who want others.
	fetches("a%d.example.org", clientdoc.MaxDomainFetches+clientdoc.MaxQueue/4)
	testkit.Eventually(t, "two are held", func() bool { return held.Load() == 2 && f.Queued() == clientdoc.MaxQueue/4 })
	got, err := fetch(t, f, p.idAt("one-too-many.example.org"))
	wantUnavailable(t, got, err, "too many fetches are waiting")

	fetches("a.example%d.com", clientdoc.FreshFetches-clientdoc.MaxDomainFetches+clientdoc.MaxQueue*3/4)
	testkit.Eventually(t, "the queue is full", func() bool { return f.Queued() == clientdoc.MaxQueue })
	got, err = fetch(t, f, p.idAt("one-too-many.example.net"))
	wantUnavailable(t, got, err, "too many fetches are waiting")
	close(release)
	done.Wait()
}
