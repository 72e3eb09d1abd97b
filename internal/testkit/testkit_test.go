package testkit

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// serve starts a server in n.
func serve(t *testing.T, n *Network, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := &httptest.Server{Listener: n.Listen(), Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// In a bubble a slow answer takes its time, and a client that gives up gives up,
// all at once on the real clock.
func TestNetworkInBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		slow := func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(time.Hour):
				fmt.Fprint(w, r.Host)
			case <-r.Context().Done():
			}
		}
		a, b := serve(t, n, slow), serve(t, n, slow)
		client := n.Through(t, &http.Client{Transport: &http.Transport{}})
		for _, server := range []*httptest.Server{a, b} {
			began := time.Now()
			if got, err := get(t, client, server.URL); err != nil || "http://"+got != server.URL {
				t.Errorf("got %q (%v), want the answer of %s", got, err, server.URL)
			}
			if got := time.Since(began); got != time.Hour {
				t.Errorf("got the answer after %v, want an hour", got)
			}
		}
		client.Timeout = time.Minute
		if got, err := get(t, client, a.URL); err == nil {
			t.Errorf("got %q after a minute, want an error", got)
		}
		a.Close()
		if got, err := get(t, client, a.URL); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a closed server: got %q (%v), want the connection refused", got, err)
		}
	})
}

// Servers of two networks are not reached from each other, though they share
// nothing that could tell them apart but the address.
func TestNetworksAreApart(t *testing.T) {
	t.Parallel()
	one, two := NewNetwork(), NewNetwork()
	a := serve(t, one, func(http.ResponseWriter, *http.Request) {})
	b := serve(t, two, func(http.ResponseWriter, *http.Request) {})
	if a.URL == b.URL {
		t.Errorf("both are at %s", a.URL)
	}
	client := one.Through(t, &http.Client{Transport: &http.Transport{}})
	if _, err := get(t, client, a.URL); err != nil {
		t.Error(err)
	}
	if _, err := get(t, client, b.URL); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the other network's: got %v, want the connection refused", err)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	c := NewClock()
	began := c.Now()
	c.Advance(time.Hour)
	c.Advance(-time.Minute)
	if got := c.Now().Sub(began); got != 59*time.Minute {
		t.Errorf("got %v, want 59 minutes", got)
	}
}

func TestEventually(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		Eventually(t, "a second", func() bool { return time.Since(began) >= time.Second })
		c := make(chan int, 1)
		time.AfterFunc(time.Second, func() { c <- 7 })
		if got := Receive(t, "seven", c); got != 7 {
			t.Errorf("got %d, want 7", got)
		}
	})
}
