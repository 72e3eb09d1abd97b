package message_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
)

// line is a client's connection on which nothing arrives unless it is sent. Reading
// fails at a deadline, as that of a connection does.
type line struct {
	*httptest.ResponseRecorder
	sent chan string

	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{} // closed at a deadline
	once   sync.Once
	set    []time.Time
}

func newLine() *line {
	return &line{ResponseRecorder: httptest.NewRecorder(), sent: make(chan string, 16), passed: make(chan struct{})}
}

func (l *line) SetReadDeadline(at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set = append(l.set, at)
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if !at.IsZero() {
		l.timer = time.AfterFunc(time.Until(at), func() { l.once.Do(func() { close(l.passed) }) })
	}
	return nil
}

func (l *line) Read(p []byte) (int, error) {
	select {
	case text, ok := <-l.sent:
		if !ok {
			return 0, io.EOF
		}
		return copy(p, text), nil
	case <-l.passed:
		return 0, os.ErrDeadlineExceeded
	}
}

func (*line) Close() error { return nil }

// on returns a request on the line, with Caddy's limit on stalled bodies.
func on(l *line) *http.Request {
	r := newRequest("")
	r.ContentLength = -1
	limited := &caddyhttp.IdleTimeoutReader{
		ReadCloser: l,
		Ctrl:       http.NewResponseController(l),
		Deadline:   caddyhttp.IdleDeadline{Timeout: time.Minute},
		Logger:     zap.NewNop(),
	}
	r.Body = limited
	return r.WithContext(caddyhttp.ContextWithIdleTimeouts(r.Context(), limited, nil))
}

// A stranger's message has to arrive within ten seconds of its turn, however it
// trickles. What comes after it on the connection doesn't.
func TestStrangersHurry(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(l *line)
		want int
		took time.Duration
	}{
		{"at once", func(l *line) { l.sent <- call; close(l.sent) }, 0, 0},
		{"in time", func(l *line) {
			time.Sleep(9 * time.Second)
			l.sent <- call
			close(l.sent)
		}, 0, 9 * time.Second},
		{"never", func(*line) {}, 400, 10 * time.Second},
		{"bit by bit", func(l *line) {
			for _, b := range call[:15] {
				time.Sleep(time.Second)
				l.sent <- string(b)
			}
		}, 400, 10 * time.Second},
		{"without an end", func(l *line) { l.sent <- call }, 400, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine()
				var sender sync.WaitGroup
				sender.Go(func() { test.send(l) })
				defer sender.Wait()
				begun := time.Now()
				m, err := message.NewTurns().Of(on(l), "198.51.100.1")
				if got := status(t, err); got != test.want || (m == nil) != (test.want > 0) {
					t.Errorf("got %v, %v, want the status %d", m, err, test.want)
				}
				if took := time.Since(begun); took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				}
				if last := l.set[len(l.set)-1]; test.want == 0 && !last.IsZero() {
					t.Errorf("the connection keeps the deadline %s", last)
				}
			})
		})
	}
}

// A network whose messages don't arrive holds up itself. Another one gets the next
// turn, and none waits longer than ten seconds.
func TestStrangersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow, other = "198.51.100.1", "203.0.113.1"
		begun := time.Now()
		turns := message.NewTurns()
		results := make(chan int, 400)
		send := func(times int) {
			for range times {
				go func() {
					_, err := turns.Of(on(newLine()), slow)
					results <- status(t, err)
				}()
			}
			synctest.Wait()
		}
		send(64) // all turns
		time.Sleep(5 * time.Second)
		send(256) // the whole queue
		if _, err := turns.Of(on(arrived()), other); err != nil || time.Since(begun) != 10*time.Second {
			t.Errorf("another network: got %v after %s, want its message once the first turns end, after 10s", err, time.Since(begun))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		got := make(map[int]int)
		for range len(results) {
			got[<-results]++
		}
		// The first 64 turns end after 10 seconds, and the next 64 after 20. The others
		// have waited for too long by then, but one, which lost its place.
		if want := map[int]int{400: 2 * 64, 429: 1, 503: 256 - 64 - 1}; !maps.Equal(got, want) {
			t.Errorf("of the slow network's, got %v, want %v", got, want)
		}
		if _, err := turns.Of(on(arrived()), slow); err != nil {
			t.Errorf("after all that: %v", err)
		}
	})
}

// arrived returns a connection on which a message has arrived.
func arrived() *line {
	l := newLine()
	l.sent <- call
	close(l.sent)
	return l
}

// A message that was read, and one that would be refused anyway, needs no turn. Nor
// does one whose arrival nothing limits: it could keep its turn forever.
func TestStrangersWithoutTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := message.NewTurns()
		for range 64 {
			go turns.Of(on(newLine()), "198.51.100.1")
		}
		synctest.Wait()
		read := on(arrived())
		if _, err := message.Of(read, 1000); err != nil {
			t.Fatal(err)
		}
		large := on(arrived())
		large.ContentLength = message.MaxUnknown + 1
		other := on(arrived())
		other.Header.Set("Content-Type", "text/plain")
		for _, test := range []struct {
			name string
			r    *http.Request
			want int
		}{
			{"read before", read, 0},
			{"too large", large, 413},
			{"another media type", other, 415},
			{"no limit on stalled bodies", newRequest(call), 0},
		} {
			begun := time.Now()
			if _, err := turns.Of(test.r, "198.51.100.1"); status(t, err) != test.want || time.Since(begun) != 0 {
				t.Errorf("%s: got %v after %s, want the status %d at once", test.name, err, time.Since(begun), test.want)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}
