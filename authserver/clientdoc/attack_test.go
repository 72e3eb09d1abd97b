package clientdoc_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
)

// internet is a network on which hosts below silent.example, and all at another
// port than 443, don't answer; the others do after a tenth of a second.
type internet struct {
	mu    sync.Mutex
	asked map[string]int
}

func (n *internet) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.asked[r.URL.String()]++
	n.mu.Unlock()
	if r.URL.Port() != "" || strings.HasSuffix(r.URL.Host, "silent.example") {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	time.Sleep(time.Second / 10)
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(document(r.URL.String()))),
	}, nil
}

func newInternet(t testing.TB) (*internet, *clientdoc.Fetcher) {
	n := &internet{asked: make(map[string]int)}
	f := clientdoc.New(clientdoc.Config{})
	f.SetTransport(n)
	t.Cleanup(f.Close)
	return n, f
}

// raceDetector says whether the race detector is on, which takes ten times as long.
var raceDetector bool

// Attacks through the whole fetcher: one for an hour, 200 for half a minute, which is
// longer than a fetch waits and holds its slot. Half of these begin with all slots taken
// at the same moment, which is the worst for those who come next. The slots alone are
// simulated for 200 hours, in internal/throttle.
func TestDocumentsUnderAttack(t *testing.T) {
	t.Parallel()
	hour, seeds := time.Hour, 200
	if testing.Short() || raceDetector {
		hour, seeds = 5*time.Minute, 10
	}
	for _, tt := range []struct {
		name string
		// attack returns a URL that never answers, and who asks for it.
		attack func(r *rand.Rand) (id, from string)
	}{
		{"one host", func(r *rand.Rand) (string, string) {
			return fmt.Sprintf("https://silent.example/%d", r.Uint64()), "192.0.2.1"
		}},
		{"hosts of one domain", func(r *rand.Rand) (string, string) {
			return fmt.Sprintf("https://a%d.silent.example/c", r.Uint64()), "192.0.2.1"
		}},
		{"many domains, from a /48", func(r *rand.Rand) (string, string) {
			return fmt.Sprintf("https://a%d.example:8443/c", r.Uint64()), fmt.Sprintf("2001:db8:1:%x::1", r.IntN(1<<16))
		}},
		{"ports of the very host", func(r *rand.Rand) (string, string) {
			return fmt.Sprintf("https://client%d.example:%d/c", r.IntN(12), 1024+r.IntN(1<<15)), "192.0.2.1"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			took := fetchUnderAttack(t, tt.attack, 0, hour)
			for seed := range seeds {
				took = append(took, fetchUnderAttack(t, tt.attack, uint64(1+seed), 30*time.Second)...)
			}
			t.Logf("%s: an honest document takes %s at most, of %d", tt.name, slices.Max(took), len(took))
			if slices.Max(took) > 30*time.Second {
				t.Error("want 30 s at most")
			}
		})
	}
}

// fetchUnderAttack returns how long honest documents take during an attack, which in
// half of the cases begins with more than can be waiting.
func fetchUnderAttack(t *testing.T, attack func(r *rand.Rand) (id, from string), seed uint64, d time.Duration) (took []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		_, f := newInternet(t)
		r := rand.New(rand.NewPCG(seed, 2))
		ask := func() {
			id, from := attack(r)
			go func() { _, _ = f.Fetch(t.Context(), id, from) }()
		}
		begun := time.Now()
		if seed%2 == 1 {
			for range clientdoc.FreshFetches + clientdoc.MaxQueue {
				ask()
			}
		}
		go func() {
			for time.Since(begun) < d {
				ask()
				time.Sleep(time.Second / 13)
			}
		}()
		pauses := rand.New(rand.NewPCG(seed, 3)) // r is the attacker's
		for i := 0; time.Since(begun) < d; i++ {
			time.Sleep(time.Duration(pauses.Int64N(int64(17 * time.Second))))
			// New ones, and those that were fetched before.
			id, asked := fmt.Sprintf("https://client%d.example/%d", i%12, i), time.Now()
			if _, err := f.Fetch(t.Context(), id, "198.51.100.1"); err != nil {
				t.Errorf("seed %d: an honest document: %v", seed, err)
			}
			took = append(took, time.Since(asked))
		}
		time.Sleep(time.Minute)
		if f.Queued() != 0 || f.Flights() != 0 {
			t.Errorf("seed %d: %d wait, %d flights are left", seed, f.Queued(), f.Flights())
		}
	})
	return took
}

// A client waits in its own network's place for a document that a stranger wants
// as well, and the document is fetched once.
func TestFetchIsNotHeldUpByOthersWhoWantTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, f := newInternet(t)
		const wanted = "https://client.example/c"
		for i := range clientdoc.FreshFetches + clientdoc.MaxQueue - 1 {
			go func() { _, _ = f.Fetch(t.Context(), fmt.Sprintf("https://a%d.example:8443/c", i), client) }()
		}
		synctest.Wait()
		go func() { _, _ = f.Fetch(t.Context(), wanted, client) }()
		synctest.Wait()
		if f.Queued() != clientdoc.MaxQueue {
			t.Fatalf("%d wait: nothing is shown", f.Queued())
		}
		asked := time.Now()
		if _, err := f.Fetch(t.Context(), wanted, "198.51.100.1"); err != nil {
			t.Error(err)
		}
		if took := time.Since(asked); took > 6*time.Second {
			t.Errorf("takes %s, want no longer than it takes until a slot is free", took)
		}
		n.mu.Lock()
		if n.asked[wanted] != 1 {
			t.Errorf("the document was fetched %d times", n.asked[wanted])
		}
		n.mu.Unlock()
		time.Sleep(time.Minute)
	})
}

// A host that answered before is asked at once, whatever is asked of others.
func TestFetchKeepsSlotsForHostsThatAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, f := newInternet(t)
		mustFetch(t, f, "https://client.example/1")
		for i := range 500 { // from as many networks
			go func() {
				_, _ = f.Fetch(t.Context(), fmt.Sprintf("https://a%d.example:8443/c", i), fmt.Sprintf("10.%d.%d.1", i>>8, i&255))
			}()
		}
		synctest.Wait()
		asked := time.Now()
		mustFetch(t, f, "https://client.example/2")
		if took := time.Since(asked); took > time.Second/10 {
			t.Errorf("takes %s", took)
		}
		time.Sleep(time.Minute)
	})
}

// What strangers are told, and when, is the same for a host whose address is not
// public, a host that does not exist, and one where nobody listens.
func TestFetchTellsNothingOfThisNetwork(t *testing.T) {
	t.Parallel()
	refuse := func(address string) error {
		f := clientdoc.New(clientdoc.Config{})
		defer f.Close()
		return f.Control(t.Context(), "tcp", address)
	}
	for _, tt := range []struct {
		name string
		err  error
		took time.Duration
		want time.Duration
	}{
		{"not public", &net.OpError{Op: "dial", Err: refuse("10.0.0.1:443")}, 0, time.Second},
		{"not public, found out late", &net.OpError{Op: "dial", Err: refuse("[fd00::1]:443")}, 1100 * time.Millisecond, 5 * time.Second},
		{"does not exist", &net.DNSError{IsNotFound: true}, 20 * time.Millisecond, time.Second},
		{"does not exist, found out late", &net.DNSError{IsNotFound: true}, 3 * time.Second, 5 * time.Second},
		{"could not be resolved", &net.DNSError{}, 0, time.Second},
		{"nobody listens", errors.New("connection refused"), time.Second / 2, time.Second},
		{"does not answer", nil, time.Hour, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := clientdoc.New(clientdoc.Config{})
				t.Cleanup(f.Close)
				f.SetTransport(transport(func(r *http.Request) (*http.Response, error) {
					select {
					case <-time.After(tt.took):
						return nil, tt.err
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
				}))
				for i, want := range []time.Duration{tt.want, 0} { // and remembered
					asked := time.Now()
					got, err := fetch(t, f, "https://client.example/c")
					wantUnavailable(t, got, err, "client metadata: ")
					if took := time.Since(asked); took != want {
						t.Errorf("%d: takes %s, want %s", i, took, want)
					}
				}
				time.Sleep(10 * time.Second)
				asked := time.Now()
				_, _ = fetch(t, f, "https://client.example/c")
				if took := time.Since(asked); took != tt.want {
					t.Errorf("again: takes %s, want %s", took, tt.want)
				}
			})
		})
	}
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }
