package streams

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"weak"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// newCloser returns a closer and what ends its configuration.
func newCloser(t *testing.T) (c *Closer, stop func()) {
	t.Helper()
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		AppsRaw: caddy.ModuleMap{"events": json.RawMessage(`{}`)},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "FATAL"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c = new(Closer)
	if err := c.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	app, err := ctx.App("events")
	if err != nil {
		t.Fatal(err)
	}
	return c, func() { app.(*caddyevents.App).Emit(ctx, "stopping", nil) }
}

var requests = []struct {
	name, method, mcpMethod string
	stream                  bool
}{
	{"GET", "GET", "", true},
	{"GET that names a method", "GET", "tools/call", true},
	{"listen", "POST", "subscriptions/listen", true},
	{"call", "POST", "tools/call", false},
	{"call that names no method", "POST", "", false},
	{"method in another case", "POST", "Subscriptions/Listen", false},
	{"other subscription", "POST", "subscriptions/listen/x", false},
	{"DELETE", "DELETE", "", false},
	{"DELETE that names listen", "DELETE", "subscriptions/listen", false},
	{"HEAD", "HEAD", "", false},
}

func newRequest(ctx context.Context, method, mcpMethod string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, "/mcp", nil)
	if mcpMethod != "" {
		r.Header.Set("Mcp-Method", mcpMethod)
	}
	return r
}

// Streams end with the configuration, ordinary calls don't.
func TestStopping(t *testing.T) {
	t.Parallel()
	for _, test := range requests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, stop := newCloser(t)
			in := newRequest(t.Context(), test.method, test.mcpMethod)
			r, release := c.Wrap(in)
			defer release()
			beside, releaseBeside := c.Wrap(newRequest(t.Context(), "GET", "")) // a stream that the end reaches too
			defer releaseBeside()
			if err := r.Context().Err(); err != nil {
				t.Fatalf("ended before its time: %v", err)
			}
			stop()
			if test.stream {
				testkit.Receive(t, "the end of the stream", r.Context().Done())
				if cause := context.Cause(r.Context()); !errors.Is(cause, errStopping) {
					t.Errorf("cause: got %v, want %v", cause, errStopping)
				}
				return
			}
			testkit.Receive(t, "the end of a stream beside the call", beside.Context().Done())
			if r != in { // whose context nothing here can end
				t.Error("an ordinary call was changed")
			}
			if err := r.Context().Err(); err != nil {
				t.Errorf("the call was ended: %v", err)
			}
		})
	}
}

// A stream that comes when the configuration has already stopped ends at once.
func TestAfterStopping(t *testing.T) {
	t.Parallel()
	c, stop := newCloser(t)
	stop()
	stop() // a second event changes nothing
	r, release := c.Wrap(newRequest(t.Context(), "GET", ""))
	defer release()
	testkit.Receive(t, "the end of the stream", r.Context().Done())
}

// A client that hangs up ends its own stream, and no other.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	c, _ := newCloser(t)
	ctx, leave := context.WithCancel(t.Context())
	mine, release := c.Wrap(newRequest(ctx, "GET", ""))
	defer release()
	other, releaseOther := c.Wrap(newRequest(t.Context(), "GET", ""))
	defer releaseOther()
	leave()
	<-mine.Context().Done()
	if cause := context.Cause(mine.Context()); !errors.Is(cause, context.Canceled) {
		t.Errorf("cause: got %v, want %v", cause, context.Canceled)
	}
	if err := other.Context().Err(); err != nil {
		t.Errorf("another stream ended: %v", err)
	}
}

// Values of the request's context stay, the request itself is left as it was.
func TestWrapKeepsRequest(t *testing.T) {
	t.Parallel()
	c, stop := newCloser(t)
	type key struct{}
	r := newRequest(context.WithValue(t.Context(), key{}, "x"), "GET", "")
	wrapped, release := c.Wrap(r)
	defer release()
	if got := wrapped.Context().Value(key{}); got != "x" {
		t.Errorf("value: got %v", got)
	}
	stop()
	<-wrapped.Context().Done()
	if err := r.Context().Err(); err != nil {
		t.Errorf("the request that was wrapped ended, too: %v", err)
	}
	call := newRequest(t.Context(), "POST", "")
	if got, release := c.Wrap(call); got != call {
		t.Error("an ordinary call was changed")
	} else {
		release()
	}
}

// What is released is forgotten: nothing waits for its end, which the bubble would
// notice, and nothing refers to it.
func TestReleaseLeaksNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := newRunning()
		type user struct{ name string }
		var released []weak.Pointer[user] // what the requests' contexts hold
		for range 100 {
			u := &user{"ada"}
			released = append(released, weak.Make(u))
			_, release := c.Wrap(newRequest(context.WithValue(t.Context(), user{}, u), "GET", ""))
			release()
			release() // harmless
		}
		runtime.GC()
		kept := slices.DeleteFunc(released, func(p weak.Pointer[user]) bool { return p.Value() == nil })
		if len(kept) > 1 { // the last one may still be on the stack
			t.Errorf("%d of 100 requests are still referred to", len(kept))
		}
		runtime.KeepAlive(c)
	})
}
