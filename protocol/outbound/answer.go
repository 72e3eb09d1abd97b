package outbound

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// MaxRetryAfter bounds what an answer can make us wait for.
const MaxRetryAfter = 1 * time.Hour

// RetryAfter reads a Retry-After header in seconds, an hour at most; its other
// form, a date, is not used by those who limit rates. Zero if there is none.
func RetryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, MaxRetryAfter)
}

// TooLargeError says that an answer has more bytes than are read.
type TooLargeError struct{ Limit int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the answer is larger than %d bytes", e.Limit)
}

// ReadBody reads an answer of at most limit bytes. A larger one is a
// [*TooLargeError]: what is cut off could be read as something else.
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
