package session_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/session"
)

// Requests that two servers could read differently are refused, and what a server may
// take for another handle never gets there.
func TestReadHeaders(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	mine := s.begin(t, alice, "s")
	event := s.eventID(t, alice, mine, "7")
	for _, tc := range []struct {
		name   string
		header http.Header
		want   string // of the error
		passed http.Header
	}{
		{"none", http.Header{"Accept": {"x"}}, "", http.Header{"Accept": {"x"}}},
		{"both", http.Header{"Mcp-Session-Id": {mine}, "Last-Event-Id": {event}}, "", http.Header{"Mcp-Session-Id": {"s"}, "Last-Event-Id": {"7"}}},
		{"empty", http.Header{"Mcp-Session-Id": {""}, "Last-Event-Id": {""}}, "", http.Header{}},
		{"aliases", http.Header{"Mcp_session_id": {"x"}, "Mcp-Session_id": {"x"}, "Mcpsessionid": {"x"}, "Last_event_id": {"x"}, "Last.Event.Id": {"x"}}, "", http.Header{}},
		{"aliases of one's own", http.Header{"Mcp-Session-Id": {mine}, "Mcp_session_id": {mine}}, "", http.Header{"Mcp-Session-Id": {"s"}}},
		{"names that begin or end alike", http.Header{"Mcp-Session-Ids": {"x"}, "X-Mcp-Session-Id": {"x"}}, "", http.Header{"Mcp-Session-Ids": {"x"}, "X-Mcp-Session-Id": {"x"}}},

		{"twice", http.Header{"Mcp-Session-Id": {mine, mine}}, "Mcp-Session-Id: not exactly one", nil},
		{"no value", http.Header{"Mcp-Session-Id": {}}, "Mcp-Session-Id: not exactly one", nil},
		{"an event twice", http.Header{"Last-Event-Id": {event, event}}, "Last-Event-ID: not exactly one", nil},
		{"another and one's own in one", http.Header{"Mcp-Session-Id": {"x, " + mine}}, "Mcp-Session-Id: not of this caller", nil},
	} {
		handles, err := session.Read(tc.header, "")
		var binding session.Binding
		if err == nil {
			binding, err = s.Bind(t.Context(), alice, handles)
		}
		if tc.want != "" {
			if err == nil || err.Error() != tc.want {
				t.Errorf("%s: got %v, want %s", tc.name, err, tc.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: got %v", tc.name, err)
			continue
		}
		binding.Set(tc.header, "")
		if len(tc.header) != len(tc.passed) {
			t.Errorf("%s: got %v, want %v", tc.name, tc.header, tc.passed)
		}
		for name := range tc.passed {
			if tc.header.Get(name) != tc.passed.Get(name) {
				t.Errorf("%s: got %v, want %v", tc.name, tc.header, tc.passed)
			}
		}
	}
}

func TestReadQuery(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	tagged := func(id string) string {
		_, query, _ := strings.Cut(strings.TrimSuffix(s.stream(t, alice, "-", "event: endpoint\ndata: ?sessionId="+url.QueryEscape(id)+"\n\n"), "\n\n"), "sessionId=")
		return query
	}
	mine := tagged("abc")
	for _, tc := range []struct {
		name, query string
		want        session.Reason
		passed      string
	}{
		{"none", "a=b&c", "", "a=b&c"},
		{"the TypeScript SDK", "sessionId=" + mine, "", "sessionId=abc"},
		{"the Python SDK", "session_id=" + mine, "", "session_id=abc"},
		{"the Go SDK", "sessionid=" + mine, "", "sessionid=abc"},
		{"among others", "a=b&sessionId=" + mine + "&c=%64", "", "a=b&sessionId=abc&c=%64"},
		{"an escaped name", "session%49d=" + mine, "", "session%49d=abc"},
		{"an escaped value", "sessionId=" + strings.ReplaceAll(mine, ".", "%2e"), "", "sessionId=abc"},
		{"odd characters", "sessionId=" + tagged("a b&c=d+e/ä"), "", "sessionId=a+b%26c%3Dd%2Be%2F%C3%A4"},
		{"other names", "session=x&id=x&sessions=x&sessionIdx=x&x[sessionId]=x", "", "session=x&id=x&sessions=x&sessionIdx=x&x[sessionId]=x"},
		{"semicolons without a session", "a=b;c=d", "", "a=b;c=d"},

		{"without a tag", "sessionId=abc", session.Untagged, ""},
		{"another session", "sessionId=abd" + mine[3:], session.Foreign, ""},
		{"twice", "sessionId=" + mine + "&sessionId=" + mine, session.Ambiguous, ""},
		{"under two names", "sessionId=" + mine + "&session_id=abd", session.Ambiguous, ""},
		{"another after one's own", "sessionId=" + mine + "&a=b&SESSIONID=abd", session.Ambiguous, ""},
		{"hidden by a semicolon", "a=b;sessionId=abd", session.Ambiguous, ""},
		{"with a semicolon", "sessionId=" + mine + ";a=b", session.Ambiguous, ""},
		{"no value", "sessionId", session.Ambiguous, ""},
		{"an empty value", "sessionId=", session.Ambiguous, ""},
		{"a broken escape", "sessionId=" + mine + "%", session.Ambiguous, ""},
		{"letter case", "SessionID=abd", session.Untagged, ""},
		{"a hyphen", "session-id=abd", session.Untagged, ""},
		{"a dot, for PHP", "session.id=abd", session.Untagged, ""},
		{"blanks", "+session+id%20=abd", session.Untagged, ""},
		{"an array", "sessionId[]=abd", session.Untagged, ""},
		{"an array, escaped", "sessionId%5B0%5D=abd", session.Untagged, ""},
		{"a NUL", "sessionId%00x=abd", session.Untagged, ""},
		{"wide letters", "%EF%BD%93essionId=abd", session.Untagged, ""},
		{"a long s", "%C5%BFessionId=abd", session.Untagged, ""},
		{"a broken escape in another name", "%=x&sessionId=abd", session.Untagged, ""},
		{"a broken escape in the name", "sessionId%=abd", session.Untagged, ""},
	} {
		g := s.ask(t, alice, "-", "-", tc.query)
		if got := g.reason(t); got != tc.want || got == "" && g.query != tc.passed {
			t.Errorf("%s: got %q, %q, want %q, %q", tc.name, got, g.query, tc.want, tc.passed)
		}
	}
	if got := s.ask(t, bob, "-", "-", "sessionId="+mine).reason(t); got != session.Foreign {
		t.Errorf("another user: got %q", got)
	}
}

// FuzzRead checks that no request gets to the server with a handle that wasn't given to
// its sender.
func FuzzRead(f *testing.F) {
	f.Add("abc.AAAAAAAAAAAAAAAAAAAAAA", "x.AAAAAAAAAAAAAAAAAAAAAAAAAAA", "a=b&sessionId=x.AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("", "", "session_id[]=%00&;")
	f.Add(".", "..", "sessionId=%zz")
	s := newServer("key", storetest.New())
	f.Fuzz(func(t *testing.T, id, event, query string) {
		for _, owner := range []session.Owner{alice, nobody} {
			header := http.Header{"Mcp-Session-Id": {id}, "Last-Event-Id": {event}}
			handles, err := session.Read(header, query)
			if err == nil {
				var binding session.Binding
				if binding, err = s.Bind(t.Context(), owner, handles); err == nil {
					query = binding.Set(header, query)
				}
			}
			if err != nil {
				var refused *session.Error
				if !errors.As(err, &refused) {
					t.Fatal(err)
				}
				continue
			}
			values, _ := url.ParseQuery(query)
			if header.Get("Mcp-Session-Id")+header.Get("Last-Event-Id")+values.Get("sessionId")+values.Get("session_id") != "" {
				t.Errorf("got %v, %q", header, query)
			}
		}
	})
}
