package inprocess_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
)

// server answers at /here with its name and what it was asked.
type server string

func (s server) ServesPath(path string) bool { return path == "/here" }

func (s server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Server", string(s))
	w.WriteHeader(http.StatusTeapot)
	w.Header().Set("X-Late", "too late")
	_, _ = io.WriteString(w, r.Method+" "+r.Host+" "+r.RequestURI+" "+r.Header.Get("Authorization")+" "+string(body))
}

// network is what everything else goes to.
type network struct{ closed bool }

func (n *network) RoundTrip(*http.Request) (*http.Response, error) { return nil, errNetwork }

func (n *network) CloseIdleConnections() { n.closed = true }

var errNetwork = errors.New("over the network")

const issuer = "https://as.example/tenant"

func get(t *testing.T, address string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Basic x")
	client := &http.Client{Transport: inprocess.Transport(issuer, new(network))}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Late") != "" {
		t.Errorf("got %d %v %v", resp.StatusCode, resp.Header, err)
	}
	return resp.Header.Get("X-Server") + ": " + string(body), nil
}

func TestTransport(t *testing.T) {
	if _, err := get(t, "https://as.example/here"); !errors.Is(err, errNetwork) {
		t.Errorf("without a server: %v", err)
	}
	releaseOld := inprocess.Register(issuer, server("old"))
	const want = ": POST as.example /here?x=1 Basic x body"
	if got, err := get(t, "https://as.example/here?x=1"); err != nil || got != "old"+want {
		t.Errorf("got %q, %v", got, err)
	}
	for _, elsewhere := range []string{"https://as.example/there", "https://other.example/here", "http://as.example/here", "https://as.example:8443/here"} {
		if _, err := get(t, elsewhere); !errors.Is(err, errNetwork) {
			t.Errorf("%s: %v", elsewhere, err)
		}
	}
	// A reload: the new one is there before the old one goes.
	releaseNew := inprocess.Register(issuer, server("new"))
	if got, err := get(t, "https://as.example/here?x=1"); err != nil || got != "new"+want {
		t.Errorf("got %q, %v", got, err)
	}
	releaseOld()
	releaseOld() // once counts
	if got, err := get(t, "https://as.example/here?x=1"); err != nil || got != "new"+want {
		t.Errorf("got %q, %v", got, err)
	}
	releaseNew()
	if _, err := get(t, "https://as.example/here"); !errors.Is(err, errNetwork) {
		t.Errorf("after all is over: %v", err)
	}
}

func TestTransportHeedsTheContext(t *testing.T) {
	defer inprocess.Register(issuer, server("s"))()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://as.example/here", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inprocess.Transport(issuer, new(network)).RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	n := new(network)
	(&http.Client{Transport: inprocess.Transport(issuer, n)}).CloseIdleConnections()
	if !n.closed {
		t.Error("idle connections stay")
	}
}
