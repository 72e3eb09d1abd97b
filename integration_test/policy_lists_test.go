package integration_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Lists are filtered in every version of HTTP, and events don't wait for others.
func TestPolicyLists(t *testing.T) {
	t.Parallel()
	f, behind := startFakeIssuer(t), startBehindDoor(t)
	c := startCaddy(t, behind.fill(f.fill(strings.Replace(judgedSite, "issuer ISSUER", "issuer ISSUER\nsessions off", 1))))
	token := f.token(c, nil)
	const (
		question = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
		full     = `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"delete_x"},{"name":"add"}, {"name":"a_secret"}],"nextCursor":"c"}}`
		own      = `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"add"}],"nextCursor":"c"}}`
	)
	reply := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Add(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for version, client := range c.versions(t) {
		t.Run(version, func(t *testing.T) {
			for _, tc := range []struct {
				name   string
				server http.HandlerFunc
				status int
				want   string
			}{
				{"JSON", reply(200, full, "Content-Type", "application/json", "ETag", `"x"`), 200, own},
				{"events", reply(200, "id: 1\ndata:\n\ndata: "+full+"\n\n", "Content-Type", "text/event-stream"), 200, "id: 1\ndata:\n\ndata: " + own + "\n\n"},
				{"an empty page with a cursor", reply(200, `{"jsonrpc":"2.0","id":1,"result":{"tools":[],"nextCursor":"c"}}`, "Content-Type", "application/json"), 200, `{"jsonrpc":"2.0","id":1,"result":{"tools":[],"nextCursor":"c"}}`},
				{"an array", reply(200, "["+full+"]", "Content-Type", "application/json"), 200, "[" + own + "]"},
				{"404", reply(404, "no such session", "Content-Type", "text/plain"), 404, "no such session"},
				{"404 with a list", reply(404, full, "Content-Type", "application/json"), 404, ""},
				{"202", reply(202, ""), 202, ""},
				{"an unsupported version", reply(400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"m"}}`, "Content-Type", "application/json"), 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"m"}}`},
				{"compressed", reply(200, "\x1f\x8b", "Content-Type", "application/json", "Content-Encoding", "gzip"), 502, ""},
				{"not JSON", reply(200, "oops", "Content-Type", "application/json"), 502, ""},
				{"larger than may be", reply(200, strings.Repeat(" ", 5<<20)+full, "Content-Type", "application/json"), 502, ""},
				{"events that aren't JSON", reply(200, "data: {}\n\ndata: oops\n\ndata: {}\n\n", "Content-Type", "text/event-stream"), 200, "data: {}\n\n"},
			} {
				behind.answers(tc.server)
				got := c.tell(t, client, token, "POST", question)
				if got.status != tc.status || tc.status != 502 && got.body != tc.want || tc.status == 502 && !strings.Contains(got.body, `"id":1,"error"`) {
					t.Errorf("%s: got %d %.200q, want %d %q", tc.name, got.status, got.body, tc.status, tc.want)
				}
				if got.header.Get("Etag") != "" {
					t.Errorf("%s: got an ETag", tc.name)
				}
				seen, _ := behind.take()
				if len(seen) != 1 || seen[0].Header.Get("Accept-Encoding") != "identity" {
					t.Errorf("%s: the server was asked %d times", tc.name, len(seen))
				}
			}
			c.watchEvents(t, client, token, behind, "data: "+full+"\n\n", "data: "+own+"\n\n")
		})
	}
}

// watchEvents reads event after event, each before the server sends the next.
func (c *caddyServer) watchEvents(t *testing.T, client *http.Client, token string, behind *behindDoor, list, filtered string) {
	t.Helper()
	for _, method := range []string{"GET", "POST"} {
		next := make(chan string)
		behind.answers(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			for text := range next {
				_, _ = io.WriteString(w, text)
				_ = http.NewResponseController(w).Flush()
			}
		})
		body := ""
		if method == "POST" {
			body = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
		}
		resp := c.ask(t, client, token, method, body, "Accept", "text/event-stream")
		if resp.StatusCode != 200 {
			t.Errorf("%s: got %d", method, resp.StatusCode)
			resp.Body.Close()
			close(next)
			continue
		}
		for _, event := range [][2]string{
			{"event: endpoint\ndata: /messages?sessionId=1\n\n", ""},
			{"id: 1\ndata:\n\n", ""},
			{": ping\n\n", ""},
			{"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n", ""},
			{list, filtered},
		} {
			want := event[1]
			if want == "" {
				want = event[0]
			}
			next <- event[0]
			got := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, got); err != nil || !bytes.Equal(got, []byte(want)) {
				t.Errorf("%s: got %q, %v, want %q", method, got, err, want)
			}
		}
		close(next)
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
			t.Errorf("%s: at the end: %q, %v", method, rest, err)
		}
		resp.Body.Close()
		behind.take()
	}
}
