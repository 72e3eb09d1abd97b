package outbound_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// get asks for address.
func get(t *testing.T, client *http.Client, address string, limit int) (*outbound.Answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return outbound.Ask(client, req, limit)
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect to another origin was followed")
	}))
	t.Cleanup(elsewhere.Close)
	asked := make(map[string]int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		switch path := r.URL.Path; {
		case path == "/elsewhere":
			http.Redirect(w, r, elsewhere.URL+"/", http.StatusFound)
		case path == "/endless":
			http.Redirect(w, r, path, http.StatusFound)
		case strings.HasPrefix(path, "/x"):
			http.Redirect(w, r, "/"+path[2:], http.StatusFound)
		}
	}))
	t.Cleanup(server.Close)
	client := outbound.NewClient()
	for path, want := range map[string]bool{"/": true, "/x": true, "/xxx": true, "/xxxx": false, "/endless": false, "/elsewhere": false} {
		a, err := get(t, client, server.URL+path, 10)
		if got := err == nil && a.OK() && !a.Redirect(); got != want {
			t.Errorf("%s: got %+v, %v, want an answer: %t", path, a, err, want)
		}
		if origin, ok := errors.AsType[*outbound.RedirectError](err); ok != (path == "/elsewhere") || ok && !strings.Contains(origin.Error(), elsewhere.URL) {
			t.Errorf("%s: got %v, want a RedirectError only if it leads elsewhere", path, err)
		}
	}
	if got := asked["/endless"]; got != 4 {
		t.Errorf("got %d requests of an endless chain, want 4", got)
	}
	for _, client := range []*http.Client{nil, client, {}} {
		a, err := get(t, outbound.WithoutRedirects(client), server.URL+"/x", 10)
		if err != nil || !a.Redirect() || a.OK() || a.Header.Get("Location") != "/" {
			t.Errorf("got %+v, %v, want the redirect", a, err)
		}
	}
	if a, err := get(t, client, server.URL+"/x", 10); err != nil || !a.OK() {
		t.Errorf("got %+v, %v: the client itself was changed", a, err)
	}
}

func TestNewClientIsBounded(t *testing.T) {
	t.Parallel()
	client := outbound.NewClient()
	transport := client.Transport.(*http.Transport)
	if client.Timeout <= 0 || client.Jar != nil || transport.MaxResponseHeaderBytes <= 0 || transport.TLSHandshakeTimeout <= 0 || transport.TLSClientConfig != nil {
		t.Errorf("got %+v with %+v, want bounds, no cookies, and no TLS configuration of its own", client, transport)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 80<<10))
	}))
	t.Cleanup(server.Close)
	if a, err := get(t, client, server.URL, 10); err == nil {
		t.Errorf("a header of 80 KB: got %+v, want an error", a)
	}
}
