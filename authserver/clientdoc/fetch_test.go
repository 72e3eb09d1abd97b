package clientdoc_test

import (
	"compress/gzip"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"document", nil},
		{"more specific media type", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/oauth-client+json; charset=utf-8")
			fmt.Fprint(w, document("https://"+r.Host+r.RequestURI))
		}},
		{"gzip", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, document("https://"+r.Host+r.RequestURI))
			z.Close()
		}},
		{"cookie", respond("Set-Cookie", "a=b")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, tt.handler)
			mustFetch(t, newFetcher(t, p, clientdoc.Config{}), p.id("a//b;c/client.json?x=%2F"))
		})
	}
}

// A fetch reveals nothing about a user or about earlier fetches.
func TestFetchRequest(t *testing.T) {
	t.Parallel()
	p, c := newPublisher(t, nil), testkit.NewClock()
	p.answer(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			switch name {
			case "Accept", "Accept-Encoding", "User-Agent", "Connection":
			default:
				t.Errorf("got header %s: %s", name, r.Header.Get(name))
			}
		}
		if got := r.Header.Get("Accept"); r.Method != http.MethodGet || got != "application/json" || r.ContentLength != 0 {
			t.Errorf("got %s, Accept %q, %d bytes of body", r.Method, got, r.ContentLength)
		}
		respond("Set-Cookie", "a=b; Path=/", "ETag", "not quoted")(w, r)
	})
	f := newFetcher(t, p, clientdoc.Config{Now: c.Now})
	mustFetch(t, f, p.id("c"))
	c.Advance(time.Hour)
	mustFetch(t, f, p.id("c"))
	p.wantHits(t, "two", 2)
}

func TestFetchInvalid(t *testing.T) {
	t.Parallel()
	large := `{"x":"` + strings.Repeat("a", clientdoc.MaxBody) + `"}`
	duplicateID := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"client_id":%q,"client_id":"secret"}`, "https://"+r.Host+r.RequestURI)
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"404", status(404), "answered 404"},
		{"401", status(401), "answered 401"},
		{"410", status(410), "answered 410"},
		{"201", status(201), "answered 201"},
		{"204", status(204), "answered 204"},
		{"300", status(300), "answered 300, but redirects"},
		{"304 that was not asked for", status(304), "answered 304"},
		{"no media type", body("", `{}`), "media type"},
		{"HTML", body("text/html", `<html>secret`), "media type"},
		{"text", body("text/plain", `{}`), "media type"},
		{"not JSON", body("application/json", `secret`), "not a JSON object"},
		{"other client_id", body("application/json", document("https://secret.example/c")), "not its URL"},
		{"case-folded client_id", body("application/json", `{"Client_ID":"secret"}`), "no client_id"},
		{"duplicate client_id", duplicateID, "duplicate"},
		{"too large", body("application/json", large), "larger than 16384 bytes"},
		{"too large in small pieces", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for chunk := range strings.SplitAfterSeq(large, strings.Repeat("a", 1000)) {
				fmt.Fprint(w, chunk)
				w.(http.Flusher).Flush()
			}
		}, "larger than 16384 bytes"},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				fmt.Fprint(w, large)
			}
		}, "larger than 16384 bytes"},
		{"too large once decompressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 1000 {
				fmt.Fprint(z, large)
			}
			z.Close()
		}, "larger than 16384 bytes"},
		{"compressed with what was not asked for", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "br")
			fmt.Fprint(w, "\x0b\x01secret")
		}, "not a JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, tt.handler)
			got, err := fetch(t, newFetcher(t, p, clientdoc.Config{}), p.id("c"))
			wantInvalid(t, got, err, tt.want)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%v quotes the body", err)
			}
		})
	}
}

func TestFetchRedirect(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, nil)
			p.answer(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/c" {
					http.Redirect(w, r, "/secret", code)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, document(p.id("c")))
			})
			got, err := fetch(t, newFetcher(t, p, clientdoc.Config{}), p.id("c"))
			wantInvalid(t, got, err, "redirects are not followed")
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%v quotes the answer", err)
			}
			p.wantHits(t, "redirect", 1)
		})
	}
}

func TestFetchUnavailable(t *testing.T) {
	t.Parallel()
	drip := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"x":"`)
		for r.Context().Err() == nil {
			fmt.Fprint(w, "a")
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"500", status(500), "answered 500"},
		{"503", status(503), "answered 503"},
		{"429", status(429), "answered 429"},
		{"dripping body", drip, "too long"},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "too long"},
		{"connection closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "closed the connection"},
		{"cut body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"secret":1`)
		}, "closed the connection"},
		{"large header", respond("X-Secret", strings.Repeat("secret", 10000)), "within the limits"},
		{"broken gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "secret secret secret")
		}, "not valid gzip"},
		{"not HTTP", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(conn, "SSH-2.0-secret\r\n")
			conn.Close()
		}, "not HTTP"},
		{"malformed header", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nsecret\r\n\r\n")
			conn.Close()
		}, "not HTTP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, tt.handler)
			f := newFetcher(t, p, clientdoc.Config{})
			if strings.Contains(tt.want, "too long") {
				f.SetTimeout(200 * time.Millisecond)
			}
			got, err := fetch(t, f, p.id("c"))
			wantUnavailable(t, got, err, tt.want)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%v quotes the answer", err)
			}
		})
	}
}

func TestFetchNoConnection(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close() })
	go func() {
		for {
			conn, err := plain.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "SSH-2.0-secret\r\n")
			conn.Close()
		}
	}()

	p := newPublisher(t, nil)
	_, port, _ := net.SplitHostPort(p.Listener.Addr().String())
	for _, tt := range []struct {
		name, id string
		roots    *x509.CertPool
		want     string
	}{
		{"nobody listens", "https://" + closed.Addr().String() + "/c", nil, "connection"},
		{"not TLS", "https://" + plain.Addr().String() + "/c", nil, "does not speak TLS"},
		{"unknown authority", p.id("c"), x509.NewCertPool(), "unknown authority"},
		{"certificate of another", "https://other.example.org:" + port + "/c", nil, "not for this host"},
		{"no such host", "https://missing.example.com/c", nil, "does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFetcher(t, p, clientdoc.Config{RootCAs: tt.roots})
			f.SetResolver(resolver(lookup))
			got, err := fetch(t, f, tt.id)
			wantUnavailable(t, got, err, tt.want)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%v quotes the answer", err)
			}
		})
	}
	p.wantHits(t, "no connection", 0)
}
