package outbound_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "3600": time.Hour, "86400": time.Hour,
		"-5": 0, "+7": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0, "Wed, 21 Oct 2026 07:28:00 GMT": 0,
	} {
		if got := outbound.RetryAfter(http.Header{"Retry-After": {value}}); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	if b, err := outbound.ReadBody(strings.NewReader("1234"), 4); err != nil || string(b) != "1234" {
		t.Errorf("at the limit: got %q, %v", b, err)
	}
	b, err := outbound.ReadBody(strings.NewReader("12345"), 4)
	if _, ok := errors.AsType[*outbound.TooLargeError](err); !ok || b != nil {
		t.Errorf("beyond it: got %q, %v, want nothing and a TooLargeError", b, err)
	}
	broken := io.MultiReader(strings.NewReader("12"), failing{})
	if b, err := outbound.ReadBody(broken, 4); !errors.Is(err, io.ErrUnexpectedEOF) || b != nil {
		t.Errorf("cut off: got %q, %v", b, err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAsk(t *testing.T) {
	t.Parallel()
	brokenOff := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("12"))
		panic(http.ErrAbortHandler)
	}
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("User-Agent") != outbound.UserAgent {
				t.Errorf("got the user agent %q", r.Header.Get("User-Agent"))
			}
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		status  int // 0: an error
		body    string
		large   bool
	}{
		{"at the limit", says(200, "1234"), 200, "1234", false},
		{"201", says(201, "1234"), 201, "1234", false},
		{"204", says(204, ""), 204, "", false},
		{"too large", says(200, "12345"), 0, "", true},
		{"201, too large", says(201, "12345"), 0, "", true},
		{"a refusal is cut", says(403, "12345"), 403, "1234", false},
		{"500", says(500, ""), 500, "", false},
		{"broken off", brokenOff, 0, "", false},
		{"closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "", false},
	} {
		server := httptest.NewServer(test.handler)
		a, err := get(t, outbound.NewClient(), server.URL, 4)
		server.Close()
		if test.status == 0 {
			if _, large := errors.AsType[*outbound.TooLargeError](err); err == nil || a != nil || large != test.large {
				t.Errorf("%s: got %+v, %v, want an error, of size: %t", test.name, a, err, test.large)
			}
			continue
		}
		if err != nil || a.Status != test.status || string(a.Body) != test.body || a.OK() != (test.status == 200) || a.RetryAfter() != 7*time.Second {
			t.Errorf("%s: got %+v, %v, want %d, %q", test.name, a, err, test.status, test.body)
		}
	}
}

func TestAskKeepsAUserAgent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("User-Agent"))
	}))
	t.Cleanup(server.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "another")
	if a, err := outbound.Ask(http.DefaultClient, req, 100); err != nil || string(a.Body) != "another" {
		t.Errorf("got %+v, %v, want another", a, err)
	}
}

// A refusal is read for its error code only.
func TestRefusalsAreCut(t *testing.T) {
	t.Parallel()
	a, err := outbound.Read(&http.Response{StatusCode: 502, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20)))}, 1<<20)
	if err != nil || len(a.Body) > 16<<10 {
		t.Errorf("got %d bytes, %v, want 16 KB at most", len(a.Body), err)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		body io.Reader
		want string // empty: an error
	}{
		{"at the limit", strings.NewReader("1234"), "1234"},
		{"too large", strings.NewReader("12345"), ""},
		{"broken off", io.MultiReader(strings.NewReader("12"), failing{}), ""},
	} {
		b := outbound.Bounded(transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 500, Body: io.NopCloser(test.body)}, nil
		}), 4)
		resp, err := b.RoundTrip(&http.Request{})
		if test.want == "" {
			if err == nil {
				t.Errorf("%s: got no error", test.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: got %v", test.name, err)
			continue
		}
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != test.want || resp.Body.Close() != nil {
			t.Errorf("%s: got %q, %v, want %q", test.name, got, err, test.want)
		}
	}
	down := outbound.Bounded(transport(func(*http.Request) (*http.Response, error) { return nil, io.ErrClosedPipe }), 4)
	if resp, err := down.RoundTrip(&http.Request{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("no answer: got %v, %v", resp, err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("1234")) }))
	t.Cleanup(server.Close)
	if a, err := get(t, &http.Client{Transport: outbound.Bounded(nil, 4)}, server.URL, 10); err != nil || string(a.Body) != "1234" {
		t.Errorf("net/http's transport: got %+v, %v", a, err)
	}
}

func TestUnavailableError(t *testing.T) {
	t.Parallel()
	err := &outbound.UnavailableError{Err: io.ErrUnexpectedEOF}
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), io.ErrUnexpectedEOF.Error()) {
		t.Errorf("got %v, want it to have its cause", err)
	}
}
