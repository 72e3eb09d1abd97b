package caddymcpauth_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// BenchmarkCall is a whole site's time for the call of a tool and its answer, with
// rules that hide tools, with rules that don't, and without.
func BenchmarkCall(b *testing.B) {
	issuer := newIssuer(b)
	body := toolCall("get_x", `{"text":"`+strings.Repeat("x", 900)+`"}`)
	for _, bm := range []struct{ name, options string }{
		{"no rules", ""},
		{"nothing to hide", "methods x nobody"},
		{"hiding", "tools delete_* nobody\ntools get_*"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			c := mustProvision(b, frontDoor(issuer.Issuer(), bm.options))
			server := new(caddyhttp.Server)
			behind := next(func(w http.ResponseWriter, r *http.Request) error {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header()["Content-Type"], w.Header()["Content-Length"] = []string{"application/json"}, []string{"48"}
				w.WriteHeader(http.StatusOK)
				_, err := io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`)
				return err
			})
			credentials := []string{"Bearer " + issuer.Mint(nil)}
			send := func() {
				r, _ := http.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
				r.RequestURI, r.Host, r.RemoteAddr = "/mcp", "mcp.example.com", "192.0.2.1:1234"
				r.Header["Authorization"], r.Header["Content-Type"], r.Header["Accept-Encoding"] = credentials, []string{"application/json"}, []string{"gzip"}
				w := &discarded{header: make(http.Header)}
				r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, server)
				if err := c.routes.ServeHTTP(w, r, behind); err != nil || w.n != 48 {
					b.Fatal(err, w.n)
				}
			}
			send()
			b.ReportAllocs()
			for b.Loop() {
				send()
			}
		})
	}
}

// discarded is an answer of which only the length is kept.
type discarded struct {
	header http.Header
	n      int
}

func (d *discarded) Header() http.Header { return d.header }
func (d *discarded) WriteHeader(int)     {}
func (d *discarded) Write(p []byte) (int, error) {
	d.n += len(p)
	return len(p), nil
}
