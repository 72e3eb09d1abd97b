package caddymcpauth_test

import (
	"strconv"
	"strings"
	"testing"
)

// A server that answers one request as another with the same id shows no more than
// one that doesn't, and the answers to calls are as they were.
func TestListsInOtherAnswers(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	token := issuer.Mint(nil)
	const (
		unchecked = `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"The server's answer could not be checked."}}`
		broken    = `{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"secret"}]}`
	)
	isJSON, isStream, isPage := []string{"Content-Type", "application/json"}, []string{"Content-Type", "text/event-stream"}, []string{"Content-Type", "text/html"}
	image := `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"image","data":"` + strings.Repeat("x", 100_000) + `"}]`
	page := strings.Repeat(`the "result" of "tools" `, 5000)
	for _, tc := range []struct {
		name   string
		server next
		status int
		want   string
	}{
		{"JSON", answers(200, isJSON, fullList), 200, ownList},
		{"JSON in parts", answers(200, isJSON, fullList[:20], fullList[20:]), 200, ownList},
		{"JSON with validators", answers(200, append(isJSON, "Etag", "x", "Content-Length", strconv.Itoa(len(fullList))), fullList), 200, ownList},
		{"another JSON", answers(200, []string{"Content-Type", "text/plain; x=application/json"}, fullList), 200, ownList},
		{"without a type", answers(200, nil, fullList), 200, ownList},
		{"created", answers(201, isJSON, fullList), 201, ownList},
		{"a stream", answers(200, isStream, "data: {}\n\ndata: "+fullList+"\n\ndata: {}\n\n"), 200, "data: {}\n\ndata: " + ownList + "\n\ndata: {}\n\n"},
		{"a list that isn't 200", answers(404, isJSON, fullList), 404, ownList},

		{"a broken list", answers(200, isJSON, broken), 502, unchecked},
		{"a broken list that isn't 200", answers(400, isJSON, broken), 400, ""},
		{"a stream with a broken list", answers(200, isStream, "data: {}\n\ndata: "+broken+"\n\ndata: {}\n\n"), 200, "data: {}\n\n"},
		{"compressed", answers(200, append(isJSON, "Content-Encoding", "gzip"), zipped(fullList)), 502, unchecked},
		{"a list that is too large", answers(200, isJSON, fullList[:50], strings.Repeat(" ", 70_000), fullList[50:]), 502, unchecked},
		{"a list, far into a large answer", answers(200, isJSON, image, `,"to`, `ols":[{"name":"secret"}]}}`), 200, image + `,"to`},

		{"a large answer", answers(200, isJSON, image, "}", "}"), 200, image + "}}"},
		{"a large answer in parts", answers(200, isJSON, image[:50_000], image[50_000:], "}}"), 200, image + "}}"},
		{"a large event", answers(200, isStream, "data: ", image, "}}\n\n"), 200, "data: " + image + "}}\n\n"},
		{"a text as an event", answers(200, isStream, "data: now\n\ndata: {}\n\n"), 200, "data: now\n\ndata: {}\n\n"},
		{"a page", answers(200, isPage, page), 200, page},
		{"a page that isn't 200", answers(500, isPage, page), 500, page},
		{"a text that isn't JSON", answers(200, isJSON, "hello"), 200, "hello"},
		{"an error", answers(400, isJSON, `{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}`), 400, `{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}`},
		{"accepted", answers(202, nil), 202, ""},
		{"nothing", answers(0, nil), 200, ""},
	} {
		s := serve(t, frontDoor(issuer.Issuer(), hiding), tc.server)
		got := s.post(t, token, toolCall("a", `{}`))
		if got.StatusCode != tc.status || got.body != tc.want {
			t.Errorf("%s: got %d %.200q, want %d %.200q", tc.name, got.StatusCode, got.body, tc.status, tc.want)
		}
		if strings.Contains(got.body, "secret") || got.body == ownList && got.Header.Get("Etag") != "" {
			t.Errorf("%s: got %q, %v", tc.name, got.body, got.Header)
		}
		if tc.status == 502 {
			continue // the refusal is the same for every request
		}
		if got := s.post(t, token, rpc("prompts/list", `{}`)); got.StatusCode != tc.status || got.body != tc.want {
			t.Errorf("%s, as prompts/list: got %d %.200q, want %d %.200q", tc.name, got.StatusCode, got.body, tc.status, tc.want)
		}
	}
}
