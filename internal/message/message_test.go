package message_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
)

const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get"}}`

func newRequest(body string) *http.Request {
	r := httptest.NewRequest("POST", "https://mcp.example.com/mcp", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, make(map[string]any))
	return r.WithContext(context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewReplacer()))
}

// status returns the status of an [message.Error], 0 for nil.
func status(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	bad, ok := errors.AsType[*message.Error](err)
	if !ok {
		t.Fatalf("got the error %v, want one of the package", err)
	}
	return bad.Status
}

// What was read once is used by all who ask, and still judged by the headers and the
// limit that hold for them.
func TestReadAgain(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(r *http.Request)
		want   int
		same   bool
	}{
		{"as it was", func(*http.Request) {}, 0, true},
		{"partly read by a handler", func(r *http.Request) { io.CopyN(io.Discard, r.Body, 9) }, 0, true},
		{"by a copy of the request", func(r *http.Request) { *r = *r.Clone(r.Context()) }, 0, true},
		{"another method in the header", func(r *http.Request) { r.Header.Set("Mcp-Method", "ping") }, 400, false},
		{"another media type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415, false},
		{"another body", func(r *http.Request) { setBody(r, strings.Replace(call, "get", "delete", 1)) }, 0, false},
		{"no message", func(r *http.Request) { setBody(r, "{") }, 400, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRequest(call)
			first, err := message.Read(r, 1000)
			if err != nil {
				t.Fatal(err)
			}
			test.change(r)
			again, err := message.Read(r, 1000)
			if got := status(t, err); got != test.want {
				t.Fatalf("got %v, want %d", err, test.want)
			}
			if (again == first) != test.same {
				t.Errorf("the same message: %t, want %t", again == first, test.same)
			}
			repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
			want := "get"
			switch test.name {
			case "another body":
				want = "delete"
			case "no message":
				want = ""
			}
			if got := repl.ReplaceAll("{http.mcp.name}", "unknown"); got != want && (want != "" || got != "unknown") {
				t.Errorf("the placeholder is %q, want %q", got, want)
			}
		})
	}
}

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

// A later reader's limit holds for what an earlier one has read. Of only asks what
// the message is.
func TestLimitOfLater(t *testing.T) {
	r := newRequest(call)
	if _, err := message.Of(r, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := message.Read(r, 10); status(t, err) != 413 {
		t.Errorf("Read: got %v, want 413", err)
	}
	if _, err := message.Of(r, 10); err != nil {
		t.Errorf("Of: got %v", err)
	}
	// And what one couldn't read, another with a higher limit can.
	r = newRequest(call)
	r.ContentLength = -1
	if _, err := message.Of(r, 10); status(t, err) != 413 {
		t.Errorf("Of: got %v, want 413", err)
	}
	m, err := message.Read(r, 1000)
	if err != nil || m.Name != "get" {
		t.Errorf("Read: got %v, %v", m, err)
	}
}

// The request has one length, and no trailers, once its message was read.
func TestRequestAfterwards(t *testing.T) {
	r := newRequest(call)
	r.ContentLength, r.TransferEncoding, r.Trailer = -1, []string{"chunked"}, http.Header{"X": nil}
	r.Header.Set("Trailer", "X")
	r.Header.Set("Content-Encoding", "identity")
	if _, err := message.Read(r, 1000); err != nil {
		t.Fatal(err)
	}
	if r.ContentLength != int64(len(call)) || r.TransferEncoding != nil || r.Trailer != nil ||
		r.Header.Get("Trailer") != "" || r.Header.Get("Content-Encoding") != "" {
		t.Errorf("length %d, %q, trailers %v, headers %v", r.ContentLength, r.TransferEncoding, r.Trailer, r.Header)
	}
	body, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(body); string(got) != call {
		t.Errorf("the body is %q", got)
	}
}

// What logs have of a client's texts is bounded and printable.
func TestQuoted(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"get", `"get"`},
		{"a\"b", `"a\"b"`},
		{"\x1b[31mred", `"\x1b[31mred"`},
		{"a\u202eb", `"a\u202eb"`},
		{strings.Repeat("x", 129), `"` + strings.Repeat("x", 128) + `…"`},
		{strings.Repeat("x", 127) + "é", `"` + strings.Repeat("x", 127) + `…"`},
	} {
		if got := message.Quoted(test.name); got != test.want {
			t.Errorf("%q: got %s, want %s", test.name, got, test.want)
		}
	}
}

// Whatever comes, the next handler gets the same bytes.
func FuzzRead(f *testing.F) {
	f.Add([]byte(call), int64(1000))
	f.Add([]byte(call), int64(10))
	f.Add([]byte("{"), int64(0))
	f.Fuzz(func(t *testing.T, body []byte, limit int64) {
		if limit < 0 || limit > 1<<20 {
			return
		}
		r := newRequest("")
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
		m, err := message.Read(r, limit)
		if (m == nil) == (err == nil) {
			t.Errorf("got %v and %v", m, err)
		}
		if got, err := io.ReadAll(r.Body); !bytes.Equal(got, body) || err != nil {
			t.Errorf("the body is %q, %v, want %q", got, err, body)
		}
	})
}

// After its request a message is nobody's, for its memory has the next one by then.
// What it names stays known.
func TestRelease(t *testing.T) {
	r := newRequest(call)
	if _, err := message.Read(r, 1000); err != nil {
		t.Fatal(err)
	}
	message.Release(r.Body)
	message.Release(r.Body)
	if got, err := io.ReadAll(r.Body); !errors.Is(err, http.ErrBodyReadAfterClose) || len(got) > 0 {
		t.Errorf("the body: got %q, %v", got, err)
	}
	m, err := message.Of(r, 1000)
	if err != nil || m.Name != "get" || m.ID != nil {
		t.Errorf("Of: got %v, %v", m, err)
	}
	if _, err := message.Read(r, 1000); status(t, err) != 400 {
		t.Errorf("Read: got %v, want 400", err)
	}
	// A body that was too large, too.
	r = newRequest(call)
	r.ContentLength = -1
	if _, err := message.Read(r, 10); status(t, err) != 413 {
		t.Fatalf("got %v, want 413", err)
	}
	message.Release(r.Body)
	if got, err := io.ReadAll(r.Body); !errors.Is(err, http.ErrBodyReadAfterClose) || len(got) > 0 {
		t.Errorf("the body that was too large: got %q, %v", got, err)
	}
	message.Release(http.NoBody)
}

// Whether there is a body is seen without taking any of it.
func TestHasBody(t *testing.T) {
	for _, test := range []struct {
		name    string
		length  int64
		body    string
		chunked bool
		want    bool
	}{
		{"none", 0, "", false, false},
		{"some", 3, "abc", false, true},
		{"of unknown length", -1, "abc", false, true},
		{"none, of unknown length", -1, "", false, false},
		{"none, in chunks", -1, "", true, true},
	} {
		r := newRequest("")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(test.body)), test.length
		if test.chunked {
			r.TransferEncoding = []string{"chunked"}
		}
		if got := message.HasBody(r); got != test.want {
			t.Errorf("%s: got %t, want %t", test.name, got, test.want)
		}
		if got, err := io.ReadAll(r.Body); string(got) != test.body || err != nil {
			t.Errorf("%s: the body is %q, %v", test.name, got, err)
		}
	}
}

// A handler before may have put another body in the place of the client's.
func TestLongerThanItsLength(t *testing.T) {
	r := newRequest(call)
	r.ContentLength = int64(len(call)) - 9
	if _, err := message.Read(r, 1000); status(t, err) != 413 {
		t.Errorf("got %v, want 413", err)
	}
}
