package clientdoc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

func TestLease(t *testing.T) {
	t.Parallel()
	asked := testkit.NewClock().Now()
	at := func(d time.Duration) string { return asked.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		name        string
		header      http.Header
		want        time.Duration
		wantNoStale bool
	}{
		{"nothing", http.Header{}, time.Hour, false},
		{"max-age", http.Header{"Cache-Control": {"public, max-age=600"}}, 10 * time.Minute, false},
		{"max-age in another case, quoted", http.Header{"Cache-Control": {`Max-Age="600"`}}, 10 * time.Minute, false},
		{"max-age in a second header", http.Header{"Cache-Control": {"public", "max-age=600"}}, 10 * time.Minute, false},
		{"two of max-age", http.Header{"Cache-Control": {"max-age=700, max-age=600, max-age=800"}}, 10 * time.Minute, false},
		{"max-age of 0", http.Header{"Cache-Control": {"max-age=0"}}, time.Minute, false},
		{"short max-age", http.Header{"Cache-Control": {"max-age=59"}}, time.Minute, false},
		{"long max-age", http.Header{"Cache-Control": {"max-age=31536000, immutable"}}, 24 * time.Hour, false},
		{"absurd max-age", http.Header{"Cache-Control": {"max-age=99999999999999999999999"}}, 24 * time.Hour, false},
		{"negative max-age", http.Header{"Cache-Control": {"max-age=-600"}}, time.Minute, false},
		{"malformed max-age", http.Header{"Cache-Control": {"max-age=ten"}}, time.Minute, false},
		{"max-age without number", http.Header{"Cache-Control": {"max-age"}}, time.Minute, false},
		{"max-age and Age", http.Header{"Cache-Control": {"max-age=600"}, "Age": {"300"}}, 5 * time.Minute, false},
		{"older than max-age", http.Header{"Cache-Control": {"max-age=600"}, "Age": {"900"}}, time.Minute, false},
		{"no-store", http.Header{"Cache-Control": {"no-store, max-age=600"}}, time.Minute, true},
		{"no-cache", http.Header{"Cache-Control": {"max-age=600, No-Cache"}}, time.Minute, true},
		{"must-revalidate", http.Header{"Cache-Control": {"max-age=600, must-revalidate"}}, 10 * time.Minute, true},
		{"Expires", http.Header{"Expires": {at(20 * time.Minute)}}, 20 * time.Minute, false},
		{"Expires by the server's clock", http.Header{"Expires": {at(20 * time.Minute)}, "Date": {at(10 * time.Minute)}}, 10 * time.Minute, false},
		{"Expires of 0", http.Header{"Expires": {"0"}}, time.Minute, false},
		{"Expires in the past", http.Header{"Expires": {at(-time.Hour)}}, time.Minute, false},
		{"Expires and max-age", http.Header{"Expires": {"0"}, "Cache-Control": {"max-age=600"}}, 10 * time.Minute, false},
	} {
		expires, noStale := clientdoc.Lease(tt.header, asked)
		if got := expires.Sub(asked); got != tt.want || noStale != tt.wantNoStale {
			t.Errorf("%s: got %v, %t, want %v, %t", tt.name, got, noStale, tt.want, tt.wantNoStale)
		}
	}
}

func TestEntityTag(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{
		`"a"`: true, `W/"a"`: true, `""`: true, `a`: false, `"`: false, `W/`: false, `w/"a"`: false, `"a"b"`: false, "\"a\x01\"": false, `"a", "b"`: false,
	} {
		if got := clientdoc.EntityTag(http.Header{"Etag": {tag}}) == tag; got != want {
			t.Errorf("%s: got %t, want %t", tag, got, want)
		}
	}
}

func TestFetchKept(t *testing.T) {
	t.Parallel()
	p, c := newPublisher(t, respond("Cache-Control", "max-age=600")), testkit.NewClock()
	f := newFetcher(t, p, clientdoc.Config{Now: c.Now})
	mustFetch(t, f, p.id("c"))
	c.Advance(10*time.Minute - 1)
	mustFetch(t, f, p.id("c"))
	p.wantHits(t, "fresh", 1)
	c.Advance(1)
	mustFetch(t, f, p.id("c"))
	p.wantHits(t, "expired", 2)
	mustFetch(t, f, p.id("d"))
	p.wantHits(t, "another URL", 3)

	got, _ := fetch(t, f, p.id("c"))
	clear(got) // nobody else's
	mustFetch(t, f, p.id("c"))
}

func TestFetchRevalidates(t *testing.T) {
	t.Parallel()
	p, c := newPublisher(t, nil), testkit.NewClock()
	p.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `W/"1"`)
		if r.Header.Get("If-None-Match") == `W/"1"` {
			w.Header().Set("Cache-Control", "max-age=120")
			w.WriteHeader(http.StatusNotModified)
			return
		}
		respond("Cache-Control", "max-age=600")(w, r)
	})
	f := newFetcher(t, p, clientdoc.Config{Now: c.Now})
	for i, after := range []time.Duration{0, 10 * time.Minute, 2 * time.Minute, 2 * time.Minute} {
		c.Advance(after - 1)
		if i > 0 {
			mustFetch(t, f, p.id("c"))
			p.wantHits(t, "fresh", int64(i))
		}
		c.Advance(1)
		mustFetch(t, f, p.id("c"))
		p.wantHits(t, "expired", int64(i+1))
	}
	// Confirmed just now, so it may go stale for a day.
	p.answer(status(503))
	c.Advance(24*time.Hour - 1)
	mustFetch(t, f, p.id("c"))
}

func TestFetchStale(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, cacheControl string
		then               http.HandlerFunc
		after              time.Duration
		want               string // the error, if any
	}{
		{"503", "max-age=600", status(503), time.Hour, ""},
		{"429", "max-age=600", status(429), time.Hour, ""},
		{"broken connection", "max-age=600", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, time.Hour, ""},
		{"for almost a day", "max-age=600", status(503), 24*time.Hour - 1, ""},
		{"for a day", "max-age=600", status(503), 24 * time.Hour, "503"},
		{"no-store", "no-store", status(503), time.Hour, "503"},
		{"must-revalidate", "max-age=600, must-revalidate", status(503), time.Hour, "503"},
		{"404", "max-age=600", status(404), time.Hour, "404"},
		{"another document", "max-age=600", body("application/json", `{"client_id":"x"}`), time.Hour, "not its URL"},
		{"redirect", "max-age=600", status(302), time.Hour, "302"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, c := newPublisher(t, respond("Cache-Control", tt.cacheControl)), testkit.NewClock()
			f := newFetcher(t, p, clientdoc.Config{Now: c.Now})
			mustFetch(t, f, p.id("c"))
			p.answer(tt.then)
			c.Advance(tt.after)
			for _, what := range []string{"asked", "remembered"} {
				if tt.want == "" {
					mustFetch(t, f, p.id("c"))
				} else if got, err := fetch(t, f, p.id("c")); err == nil {
					t.Errorf("%s: got %s, want an error", what, got)
				}
				p.wantHits(t, what, 2)
			}
			// An invalid document is not forgiven because the next answer is 503.
			p.answer(status(503))
			c.Advance(2 * time.Minute)
			if got, err := fetch(t, f, p.id("c")); tt.want != "" && err == nil {
				t.Errorf("later: got %s, want an error", got)
			}
		})
	}
}

func TestFetchFailureRemembered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    time.Duration
	}{
		{"unavailable", status(503), 10 * time.Second},
		{"invalid", status(404), time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, c := newPublisher(t, tt.handler), testkit.NewClock()
			f := newFetcher(t, p, clientdoc.Config{Now: c.Now})
			for i, after := range []time.Duration{0, tt.want - 1} {
				c.Advance(after)
				if got, err := fetch(t, f, p.id("c")); err == nil {
					t.Errorf("%d: got %s, want an error", i, got)
				}
				p.wantHits(t, "remembered", 1)
			}
			p.answer(nil)
			c.Advance(1)
			mustFetch(t, f, p.id("c"))
			p.wantHits(t, "forgotten", 2)
		})
	}
}

func TestFetchShared(t *testing.T) {
	t.Parallel()
	const callers = 50
	arrived, release := make(chan struct{}), make(chan struct{})
	p := newPublisher(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived) // a second fetch panics
		<-release
		proper(w, r)
	})
	f := newFetcher(t, p, clientdoc.Config{})
	var started, done sync.WaitGroup
	for range callers {
		started.Add(1)
		done.Go(func() {
			started.Done()
			if got, err := fetch(t, f, p.id("c")); err != nil || string(got) != document(p.id("c")) {
				t.Errorf("got %s, %v, want the document", got, err)
			}
		})
	}
	started.Wait()
	<-arrived
	close(release)
	done.Wait()
	p.wantHits(t, "shared", 1)
}

// A caller who leaves neither ends the fetch nor makes it fail for others.
func TestFetchGoesOn(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	p := newPublisher(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		select {
		case <-release:
		case <-r.Context().Done():
			t.Error("the fetch was given up")
		}
		proper(w, r)
	})
	f := newFetcher(t, p, clientdoc.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	got, err := f.Fetch(ctx, p.id("c"), client)
	wantUnavailable(t, got, err, "canceled")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to be context.Canceled", err)
	}
	close(release)
	mustFetch(t, f, p.id("c"))
	p.wantHits(t, "after the caller left", 1)
}

// A flood of documents and of failures displaces itself, not what is in use.
func TestFetchEvicts(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, nil)
	f := newFetcher(t, p, clientdoc.Config{MaxEntries: 10})
	inUse := func() {
		for range 3 {
			mustFetch(t, f, p.id("in-use"))
		}
		f.CleanUp()
	}
	for i := range 100 {
		if inUse(); i == 50 {
			p.hits.Store(0)
		}
		mustFetch(t, f, p.id(fmt.Sprint("flood", i)))
	}
	p.wantHits(t, "what is in use is kept", 50)
	kept := 0
	for i := range 30 {
		before := p.hits.Load()
		mustFetch(t, f, p.id(fmt.Sprint("flood", i)))
		if p.hits.Load() == before {
			kept++
		}
		f.CleanUp()
	}
	if kept > 10 {
		t.Errorf("%d documents are kept, want 10 at most", kept)
	}
	inUse()
	// Failures have their own places.
	p.answer(status(404))
	for i := range 30 {
		if got, err := fetch(t, f, p.id(fmt.Sprint("missing", i))); err == nil {
			t.Errorf("got %s, want an error", got)
		}
		f.CleanUp()
	}
	mustFetch(t, f, p.id("in-use"))
}

func TestFetchClosed(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	p := newPublisher(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() })
	f := newFetcher(t, p, clientdoc.Config{})
	go func() { <-arrived; f.Close() }()
	got, err := fetch(t, f, p.id("c"))
	wantUnavailable(t, got, err, "closed")
	got, err = fetch(t, f, p.id("d"))
	wantUnavailable(t, got, err, "closed")
	p.wantHits(t, "closed", 1)
}
