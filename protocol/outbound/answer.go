package outbound

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// MaxRetryAfter bounds how long an answer can make us wait.
	MaxRetryAfter = 1 * time.Hour

	// maxRefusal bounds what is read of an answer other than 2xx, in bytes. An OAuth
	// error fits; an error page isn't worth reading.
	maxRefusal = 16 << 10
)

// Answer is a response that was read.
type Answer struct {
	// Status is the HTTP status, and Header has the headers.
	Status int
	Header http.Header
	// Body is the whole body if the status is 2xx. For any other status it is only
	// the beginning, and may be missing.
	Body []byte
}

// OK reports whether the status is 200.
func (a *Answer) OK() bool { return a.Status == http.StatusOK }

// Redirect reports whether the answer points elsewhere.
func (a *Answer) Redirect() bool { return a.Status >= 300 && a.Status < 400 }

// RetryAfter returns [RetryAfter] of the answer.
func (a *Answer) RetryAfter() time.Duration { return RetryAfter(a.Header) }

// Ask sends req and reads an answer of at most limit bytes. Its error is a
// [*TooLargeError] for a larger one; any other error says why there is no complete
// answer.
func Ask(client *http.Client, req *http.Request, limit int) (*Answer, error) {
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", UserAgent)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	return Read(resp, limit)
}

// Read reads resp as [Ask] does, and closes its body.
func Read(resp *http.Response, limit int) (*Answer, error) {
	defer resp.Body.Close()
	a := &Answer{Status: resp.StatusCode, Header: resp.Header}
	if resp.StatusCode/100 != 2 {
		// The connection can be reused if that was the whole body.
		a.Body, _ = io.ReadAll(io.LimitReader(resp.Body, int64(min(limit, maxRefusal))))
		return a, nil
	}
	var err error
	a.Body, err = ReadBody(resp.Body, limit)
	if _, ok := errors.AsType[*TooLargeError](err); err != nil && !ok {
		err = fmt.Errorf("reading the answer: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// RetryAfter reads a Retry-After header in seconds, an hour at most. It returns zero
// if there is none, or if it is a date, a form that rate limiters don't use.
func RetryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, MaxRetryAfter)
}

// TooLargeError says that an answer is larger than the limit.
type TooLargeError struct{ Limit int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the answer is larger than %d bytes", e.Limit)
}

// ReadBody reads an answer of at most limit bytes. A larger one is a
// [*TooLargeError]: the part before the cut could be read as something else.
func ReadBody(body io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > limit {
		return nil, &TooLargeError{limit}
	}
	return b, nil
}

// Bounded returns a transport for libraries that read answers themselves, without a
// bound. It reads the whole body first, of at most limit bytes: an answer that breaks
// off is then an error of the transport, not a malformed answer. Nil means
// [http.DefaultTransport].
func Bounded(next http.RoundTripper, limit int) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return &bounded{next, limit}
}

type bounded struct {
	next  http.RoundTripper
	limit int
}

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := ReadBody(resp.Body, b.limit)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
