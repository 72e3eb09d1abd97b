package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// overheard is what a client of the Go SDK gets over HTTP: its subscriptions, and the
// last status.
type overheard struct {
	next http.RoundTripper

	mu     sync.Mutex
	opened int          // subscriptions
	stream bytes.Buffer // of the last one
	status int
	ended  chan error // how a subscription ended
}

// RoundTrip implements [http.RoundTripper].
func (o *overheard) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := o.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status = resp.StatusCode
	if r.Header.Get("Mcp-Method") == "subscriptions/listen" {
		o.opened++
		resp.Body = listened{resp.Body, o}
	}
	return resp, nil
}

// listened is the body of a subscription's stream.
type listened struct {
	io.ReadCloser
	by *overheard
}

// Read implements [io.Reader].
func (l listened) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	l.by.mu.Lock()
	defer l.by.mu.Unlock()
	l.by.stream.Write(p[:n])
	if err != nil {
		select {
		case l.by.ended <- err:
		default: // it reads on at the end
		}
	}
	return n, err
}

// messages returns the messages of the subscription, decoded.
func (o *overheard) messages(t *testing.T) []map[string]any {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var messages []map[string]any
	for line := range strings.Lines(o.stream.String()) {
		if data, ok := strings.CutPrefix(line, "data:"); ok {
			var message map[string]any
			if err := json.Unmarshal([]byte(data), &message); err != nil {
				t.Fatalf("%v: %q", err, line)
			}
			messages = append(messages, message)
		}
	}
	return messages
}

// A client of revision 2026-07-28 sees its subscription end with the result when its
// token is revoked, whether there are rules or not. It doesn't take that for a
// connection that broke off, and its next request gets the 401.
func TestListenEndsWithItsResult(t *testing.T) {
	t.Parallel()
	c := newCaddy(t)
	k := introspectionKind
	k.options += "\ncache {\nttl 1s\n}"
	doors := map[string]door{"without rules": newDoor(c, k, "/plain"), "with rules": newDoor(c, k, "/ruled")}
	c.start(c.caddyfile(doors["without rules"].directive() +
		strings.TrimSuffix(doors["with rules"].directive(), "}\n") + "tools *\n}\n" +
		"reverse_proxy " + startListeningServer(t) + "\n"))
	for name, d := range doors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := d.token(nil)
			o := &overheard{next: bearer{token, d.client().Transport}, ended: make(chan error, 1)}
			client := mcp.NewClient(&mcp.Implementation{Name: "listener", Version: "1"}, &mcp.ClientOptions{
				ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {},
			})
			session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
				Endpoint: d.URL + d.path, HTTPClient: &http.Client{Transport: o},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			d.waitFor("the acknowledgment", func() bool { return len(o.messages(t)) > 0 })
			d.issuer.Revoke(token)
			if err := testkit.Receive(t, "the end of the subscription", o.ended); err != io.EOF {
				t.Errorf("the stream ended with %v", err)
			}
			messages := o.messages(t)
			id := messages[0]["params"].(map[string]any)["_meta"].(map[string]any)[mcp.MetaKeySubscriptionID]
			want := map[string]any{"jsonrpc": "2.0", "id": id, "result": map[string]any{
				"resultType": "complete", "_meta": map[string]any{mcp.MetaKeySubscriptionID: id},
			}}
			if len(messages) != 2 || !reflect.DeepEqual(messages[1], want) || id == nil {
				t.Errorf("got the messages %v, want an acknowledgment and %v", messages, want)
			}
			_, err = session.ListTools(t.Context(), nil)
			o.mu.Lock()
			defer o.mu.Unlock()
			if err == nil || o.status != http.StatusUnauthorized || o.opened != 1 {
				t.Errorf("afterwards: got %d (%v) and %d subscriptions, want a 401 and 1", o.status, err, o.opened)
			}
		})
	}
}
