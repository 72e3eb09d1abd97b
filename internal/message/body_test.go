package message_test

import (
	"errors"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
)

// stalled is a body of which a kilobyte arrives, and then nothing.
type stalled struct {
	left int
	at   chan<- struct{}
	end  <-chan struct{}
}

var errGone = errors.New("the client is gone")

func (s *stalled) Read(p []byte) (int, error) {
	if s.left == 0 {
		s.at <- struct{}{}
		<-s.end
		return 0, errGone
	}
	n := min(len(p), s.left)
	s.left -= n
	return n, nil
}

func (s *stalled) Close() error { return nil }

// Uploads that stop hold memory for what has arrived, not for what was announced.
func TestStalledUploads(t *testing.T) {
	const uploads = 200
	for _, length := range []int64{4 << 20, -1} {
		var before, during runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		at, end := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		for range uploads {
			wg.Go(func() {
				r := &http.Request{ContentLength: length, Body: &stalled{1 << 10, at, end}}
				if _, err := message.ReadBody(r, 4<<20); !errors.Is(err, errGone) {
					t.Errorf("got %v", err)
				}
			})
		}
		for range uploads {
			<-at
		}
		runtime.GC()
		runtime.ReadMemStats(&during)
		if held := int64(during.HeapAlloc) - int64(before.HeapAlloc); held > 20<<20 {
			t.Errorf("length %d: %d uploads hold %d bytes", length, uploads, held)
		}
		close(end)
		wg.Wait()
	}
}

// Whatever is announced and however it arrives, the body is what was sent.
func TestReadBody(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	for _, size := range []int{0, 1, 2047, 2048, 2049, 8192, 99_999, limit, limit + 1, 3 * limit} {
		sent := strings.Repeat("x", size)
		for name, body := range map[string]io.Reader{
			"at once":  strings.NewReader(sent),
			"in bytes": iotest.OneByteReader(strings.NewReader(sent)),
		} {
			for _, length := range []int64{int64(size), -1} {
				got, err := message.ReadBody(&http.Request{ContentLength: length, Body: io.NopCloser(body)}, limit)
				if size > limit {
					if err == nil {
						t.Errorf("%d bytes %s, length %d: got no error", size, name, length)
					}
				} else if err != nil || string(got) != sent {
					t.Errorf("%d bytes %s, length %d: got %d bytes, %v", size, name, length, len(got), err)
				}
				body = strings.NewReader(sent)
			}
		}
	}
	for _, lie := range []int64{0, 2046, 2047, 8191, 99_998} {
		if _, err := message.ReadBody(&http.Request{ContentLength: lie, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", 99_999)))}, limit); err == nil {
			t.Errorf("99999 bytes that are announced as %d: got no error", lie)
		}
	}
	for _, most := range []int64{math.MaxInt64, math.MaxInt64 - 1} {
		got, err := message.ReadBody(&http.Request{ContentLength: -1, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", 99_999)))}, most)
		if len(got) != 99_999 || err != nil {
			t.Errorf("with the limit %d: got %d bytes, %v", most, len(got), err)
		}
	}
	_, err := message.ReadBody(&http.Request{ContentLength: -1, Body: http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("abc")), 2)}, limit)
	if err == nil || !strings.Contains(err.Error(), "max_body") {
		t.Errorf("over another limit: got %v", err)
	}
}
