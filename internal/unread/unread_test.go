package unread

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// wrapped is a body that net/http doesn't recognize.
type wrapped struct{ io.ReadCloser }

// A refusal reaches a client that never sends its body. The connection is used again
// only if nothing of a body can be left.
func TestAnswer(t *testing.T) {
	t.Parallel()
	refuse := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "no")
	}
	for kind, handler := range map[string]http.HandlerFunc{
		"answered before": func(w http.ResponseWriter, r *http.Request) {
			r.Body = wrapped{r.Body}
			Answer(w, r)
			refuse(w)
		},
		"tracked": func(w http.ResponseWriter, r *http.Request) {
			r.Body = wrapped{r.Body}
			w = Track(w, r)
			switch r.URL.Path {
			case "/read":
				_, _ = io.Copy(io.Discard, r.Body)
			case "/some":
				_, _ = r.Body.Read(make([]byte, 1))
			case "/form":
				_ = r.ParseForm()
			}
			refuse(w)
		},
	} {
		srv := httptest.NewUnstartedServer(handler)
		srv.Config.ErrorLog = log.New(failOnWrite{t}, "", 0)
		srv.Start()
		t.Cleanup(srv.Close)
		for name, tc := range map[string]struct {
			path    string
			headers string
			body    string
			closes  bool
		}{
			"length":              {"/", "Content-Length: 100000\r\n", "", true},
			"huge length":         {"/", "Content-Length: 100000000000\r\n", "", true},
			"chunked":             {"/", "Transfer-Encoding: chunked\r\n", "", true},
			"expects to continue": {"/", "Content-Length: 100\r\nExpect: 100-continue\r\n", "", true},
			"expects, chunked":    {"/", "Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n", "", true},
			"sent already":        {"/", "Content-Length: 4\r\n", "body", true},
			"no body":             {"/", "", "", false},
			"an empty body":       {"/", "Content-Length: 0\r\n", "", false},
			"read":                {"/read", "Content-Length: 4\r\n", "body", false},
			"read, chunked":       {"/read", "Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n", false},
			"read as a form":      {"/form", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n", "a=b", false},
			"read in part":        {"/some", "Content-Length: 4\r\n", "body", true},
		} {
			if kind != "tracked" && tc.path != "/" {
				continue
			}
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				conn, err := net.Dial("tcp", srv.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n%s", tc.path, tc.headers, tc.body)
				in := bufio.NewReader(conn)
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatalf("no answer: %v", err)
				}
				if body, err := io.ReadAll(resp.Body); resp.StatusCode != 401 || string(body) != "no" || err != nil {
					t.Errorf("got %d %q, %v", resp.StatusCode, body, err)
				}
				if resp.Close != tc.closes {
					t.Errorf("the connection closes: %t, want %t", resp.Close, tc.closes)
				}
				if tc.closes {
					return
				}
				fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 401 {
					t.Errorf("the next request: got %v, %v", resp, err)
				}
			})
		}
	}
}

// However a response begins, it closes the connection if the body isn't read. A
// response of status 1xx isn't the beginning.
func TestTrackFirstWrite(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		begin  func(http.ResponseWriter, *http.Request)
		closes bool
	}{
		"a status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }, true},
		"a write":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("no")) }, true},
		"a copy": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("no"))
		}, true},
		"early hints": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusEarlyHints) }, false},
		"a write, read": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = w.Write([]byte("ok"))
		}, false},
		"a copy of the body": {func(w http.ResponseWriter, r *http.Request) { _, _ = w.(io.ReaderFrom).ReadFrom(r.Body) }, true},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
		tc.begin(Track(w, r), r)
		if got := w.Header().Get("Connection") == "close"; got != tc.closes {
			t.Errorf("%s: closes: got %t, want %t", name, got, tc.closes)
		}
	}
}

// failOnWrite fails a test when a server complains, of a panic for example.
type failOnWrite struct{ t *testing.T }

func (w failOnWrite) Write(p []byte) (int, error) {
	w.t.Errorf("the server says: %s", p)
	return len(p), nil
}
