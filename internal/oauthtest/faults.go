package oauthtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Fault answers a request in the place of the honest handler, which it may
// call. One that waits must give up when the request's context ends: that is
// when the client hangs up or the test is over.
type Fault func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc)

// SetFault makes an endpoint fail from now on; nil makes it honest again. A fault
// of [Any] applies to the endpoints without a fault of their own.
func (s *Server) SetFault(e Endpoint, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[e] = f
}

// Answer responds with fixed content.
func Answer(status int, contentType, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Status answers with a status and an error text that must not reach a client.
func Status(status int) Fault {
	return Answer(status, "text/plain", "upstream-secret-error-text")
}

// RetryAfter answers 429 and asks the client to wait for some seconds.
func RetryAfter(seconds int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// Garbage answers 200 with an HTML page, as captive portals do.
func Garbage() Fault {
	return Answer(http.StatusOK, "text/html", "<!DOCTYPE html><title>Welcome</title>")
}

// Empty answers with an empty JSON object.
func Empty() Fault { return Answer(http.StatusOK, "application/json", "{}") }

// EmptyKeys answers with a key set that has no keys.
func EmptyKeys() Fault { return Answer(http.StatusOK, "application/json", `{"keys":[]}`) }

// Redirect answers with a redirect. With 307 or 308 a client that follows
// repeats a POST.
func Redirect(status int, to string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	}
}

// Close drops the connection at the first byte of the answer. (Before it, Go's
// transport would send a GET again, and be counted twice.)
func Close() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = connection.Write([]byte("H"))
		_ = connection.Close()
	}
}

// Hang never answers.
func Hang() Fault {
	return func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { wait[struct{}](r, nil) }
}

// HangBody sends the header and the first bytes, then nothing more.
func HangBody() Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"keys":[`))
		_ = http.NewResponseController(w).Flush()
		wait[struct{}](r, nil)
	}
}

// Hold keeps requests waiting until release is closed, then answers honestly.
func Hold(release <-chan struct{}) Fault {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		wait(r, release)
		honest(w, r)
	}
}

// Delay answers honestly after some time.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		sleep(r, d)
		honest(w, r)
	}
}

// Drip answers honestly, a byte per interval.
func Drip(interval time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		answer := record(r, honest)
		copyHeader(w, answer)
		for _, b := range answer.Body.Bytes() {
			if _, err := w.Write([]byte{b}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			sleep(r, interval)
		}
	}
}

// Huge answers honestly, but after some MiB of an unused member. A client that
// reads to the end finds a good answer: only a size limit refuses it.
func Huge(mib int) Fault {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		answer := record(r, honest)
		copyHeader(w, answer)
		_, _ = w.Write([]byte(`{"padding":"`))
		chunk := []byte(strings.Repeat("a", 1<<16))
		for range mib << 4 {
			if _, err := w.Write(chunk); err != nil || r.Context().Err() != nil {
				return
			}
		}
		_, _ = fmt.Fprintf(w, `",%s`, strings.TrimPrefix(answer.Body.String(), "{"))
	}
}

// Truncate promises the honest answer and drops the connection half-way.
func Truncate() Fault {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		answer := record(r, honest)
		w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
		copyHeader(w, answer)
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Rewrite answers honestly except for some members of the JSON object; Absent
// removes one.
func Rewrite(members map[string]any) Fault {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		answer := record(r, honest)
		copyHeader(w, answer)
		body := answer.Body.Bytes()
		var object map[string]any
		if json.Unmarshal(body, &object) == nil && object != nil {
			body = mustJSON(set(object, members))
		}
		_, _ = w.Write(body)
	}
}

// WrongIssuer answers with metadata that names another issuer.
func WrongIssuer(issuer string) Fault { return Rewrite(map[string]any{"issuer": issuer}) }

// Times fails n times, then is honest.
func Times(n int, f Fault) Fault {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		if seen.Add(1) > int64(n) {
			honest(w, r)
			return
		}
		f(w, r, honest)
	}
}

// record returns the honest answer.
func record(r *http.Request, honest http.HandlerFunc) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	honest(answer, r)
	return answer
}

func copyHeader(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
}

// wait returns when release is closed. If the client hangs up or the test is
// over before, it drops the connection: an answer that merely ended would look
// complete.
func wait[T any](r *http.Request, release <-chan T) {
	select {
	case <-release:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// sleep waits for some time.
func sleep(r *http.Request, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	wait(r, timer.C)
}
