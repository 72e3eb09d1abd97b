package session_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/session"
)

var (
	alice  = session.Owner{Issuer: "https://as.example", Subject: "alice"}
	bob    = session.Owner{Issuer: "https://as.example", Subject: "bob"}
	nobody = session.Owner{}
)

// server is a door with a clock that tests move.
type server struct {
	*session.Binder
	store *storetest.Memory
	now   time.Time
	away  error // why the key can't be had
	busy  bool
}

// newServer returns a door. Those with the same secret and store are in one cluster.
func newServer(secret string, store *storetest.Memory) *server {
	key := session.NewKey([]byte(secret))
	s := &server{store: store, now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return s.now }
	s.Binder = &session.Binder{
		Key: func(context.Context) (*session.Key, error) {
			if s.away != nil {
				return nil, s.away
			}
			return key, nil
		},
		Takeovers: &session.Takeovers{
			Store: store, Known: new(session.Known), Now: now,
			Allow: func(context.Context) bool { return !s.busy },
		},
		Now: now,
	}
	return s
}

// got is what the server behind got, or why it got nothing.
type got struct {
	session, event, query string
	err                   error
	*session.Binding
}

// ask sends a request. "-" stands for a header that isn't there.
func (s *server) ask(t *testing.T, owner session.Owner, sessionID, eventID, query string) got {
	t.Helper()
	header := make(http.Header)
	for name, value := range map[string]string{"Mcp-Session-Id": sessionID, "Last-Event-Id": eventID} {
		if value != "-" {
			header.Set(name, value)
		}
	}
	handles, err := session.Read(header, query)
	if err != nil {
		return got{err: err}
	}
	binding, err := s.Bind(t.Context(), owner, handles)
	if err != nil {
		return got{err: err}
	}
	query = binding.Set(header, query)
	return got{header.Get("Mcp-Session-Id"), header.Get("Last-Event-Id"), query, nil, &binding}
}

// begin returns what the client gets for a new session.
func (s *server) begin(t *testing.T, owner session.Owner, id string) string {
	t.Helper()
	g := s.ask(t, owner, "-", "-", "")
	if g.err != nil {
		t.Fatal(g.err)
	}
	tagged, begins, err := g.Session(t.Context(), id)
	if err != nil || !begins {
		t.Fatalf("got %q, %t, %v", tagged, begins, err)
	}
	return tagged
}

// stream returns what the client gets of a stream that answers a request in a session.
func (s *server) stream(t *testing.T, owner session.Owner, sessionID, text string) string {
	t.Helper()
	g := s.ask(t, owner, sessionID, "-", "")
	if g.err != nil {
		t.Fatal(g.err)
	}
	var to strings.Builder
	events := g.Events(t.Context(), &to)
	if _, err := events.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return to.String()
}

// eventID returns the tagged id of an event.
func (s *server) eventID(t *testing.T, owner session.Owner, sessionID, id string) string {
	t.Helper()
	text := s.stream(t, owner, sessionID, "id: "+id+"\n\n")
	return strings.TrimSuffix(strings.TrimPrefix(text, "id: "), "\n\n")
}

// reason returns why a request was refused; "unavailable" for an outage.
func (g got) reason(t *testing.T) session.Reason {
	t.Helper()
	if g.err == nil {
		return ""
	}
	if _, ok := errors.AsType[*session.UnavailableError](g.err); ok {
		return "unavailable"
	}
	refused, ok := errors.AsType[*session.Error](g.err)
	if !ok {
		t.Fatalf("got %v", g.err)
	}
	return refused.Reason
}

func TestSessionIsItsOwners(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	const id = "1868a90c-5f17-4a5c-b5f5-3c1e7d5d4d5a"
	mine := s.begin(t, alice, id)
	if g := s.ask(t, alice, mine, "-", ""); g.err != nil || g.session != id {
		t.Errorf("the owner: got %q, %v", g.session, g.err)
	}
	if !strings.HasPrefix(mine, id+".") || len(mine) != len(id)+1+22 {
		t.Errorf("got %q", mine)
	}
	tag := mine[len(id)+1:]
	for _, tc := range []struct {
		name  string
		owner session.Owner
		id    string
		want  session.Reason
	}{
		{"another user", bob, mine, session.Foreign},
		{"the same subject of another issuer", session.Owner{Issuer: "https://other.example", Subject: "alice"}, mine, session.Foreign},
		{"issuer and subject divided elsewhere", session.Owner{Issuer: "https://as.examplea", Subject: "lice"}, mine, session.Foreign},
		{"nobody", nobody, mine, session.Foreign},
		{"without a tag", alice, id, session.Untagged},
		{"without a tag, with dots", alice, "a.b.c", session.Untagged},
		{"only a tag", alice, "." + tag, session.Untagged},
		{"only a dot", alice, ".", session.Untagged},
		{"another session", alice, id[:len(id)-1] + "b." + tag, session.Foreign},
		{"a longer session", alice, "x" + mine, session.Foreign},
		{"letter case of the session", alice, strings.ToUpper(id) + "." + tag, session.Foreign},
		{"a blank before", alice, " " + mine, session.Foreign},
		{"a blank after", alice, mine + " ", session.Untagged},
		{"cut", alice, mine[:len(mine)-1], session.Untagged},
		{"longer", alice, mine + "A", session.Untagged},
		{"padded", alice, mine + "==", session.Untagged},
		{"another tag", alice, id + "." + strings.Repeat("A", 22), session.Foreign},
		{"not base64", alice, id + "." + strings.Repeat("!", 22), session.Foreign},
		{"letter case of the tag", alice, id + "." + strings.ToUpper(tag), session.Foreign},
		{"tagged twice", alice, mine + "." + tag, session.Foreign},
		{"two in one", alice, mine + ", " + mine, session.Foreign},
		{"the form of one that began without a user", alice, id + "." + tag + "AAAAA", session.Foreign},
		{"nobody, in the form of one that began without a user", nobody, id + "." + tag + "AAAAA", session.Foreign},
		{"nobody, without a tag", nobody, id, session.Untagged},
	} {
		if got := s.ask(t, tc.owner, tc.id, "-", "").reason(t); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
	if got := newServer("another key", s.store).ask(t, alice, mine, "-", "").reason(t); got != session.Foreign {
		t.Errorf("at another server: got %q", got)
	}
	// The last character of a tag has spare bits, which must not make a second spelling.
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		other := mine[:len(mine)-1] + string(c)
		if g := s.ask(t, alice, other, "-", ""); (g.err == nil) != (other == mine) {
			t.Errorf("%s: got %v", other, g.err)
		}
	}
}

// Whatever a server calls its sessions comes back as it is.
func TestSessionIDsOfServers(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	for _, id := range []string{
		"a", "a.b", ".", "..", "a.", ".a", "-", "a=b&c;d", `"quoted"`, "a, b", strings.Repeat("x", 20_000),
		"x." + strings.Repeat("A", 22), "x." + strings.Repeat("A", 27), s.begin(t, alice, "x"), s.begin(t, bob, "x"), s.begin(t, nobody, "x"),
	} {
		for _, owner := range []session.Owner{alice, nobody} {
			mine := s.begin(t, owner, id)
			if g := s.ask(t, owner, mine, "-", ""); g.err != nil || g.session != id {
				t.Errorf("%.80q of %q: got %.80q, %v", id, owner.Subject, g.session, g.err)
			}
			if g := s.ask(t, bob, mine, "-", ""); owner == alice && g.reason(t) != session.Foreign {
				t.Errorf("%.80q: another user got %.80q, %v", id, g.session, g.err)
			}
		}
	}
}

// Clients give up when the id of their session changes: what the server repeats is what
// the client has sent.
func TestSessionIsRepeated(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	for name, owner := range map[string]session.Owner{"with a user": alice, "without a user": nobody} {
		mine := s.begin(t, owner, "s")
		s.now = s.now.Add(time.Hour)
		for _, later := range []session.Owner{owner, alice} {
			g := s.ask(t, later, mine, "-", "")
			if g.err != nil {
				t.Fatal(g.err)
			}
			if tagged, begins, err := g.Session(t.Context(), "s"); tagged != mine || begins || err != nil {
				t.Errorf("%s: got %q, %t, %v, want %q", name, tagged, begins, err, mine)
			}
			// A server that begins another session gives it to the one who asks.
			other, begins, err := g.Session(t.Context(), "s2")
			if err != nil || !begins {
				t.Fatalf("%s: got %t, %v", name, begins, err)
			}
			if g := s.ask(t, later, other, "-", ""); g.err != nil || g.session != "s2" {
				t.Errorf("%s: got %q, %v", name, g.session, g.err)
			}
		}
	}
}

// A handle of one kind is no handle of another kind.
func TestKindsAreApart(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	for _, owner := range []session.Owner{alice, nobody} {
		inHeader := s.begin(t, owner, "x")
		endpoint := s.stream(t, owner, "-", "event: endpoint\ndata: /m?sessionId=x\n\n")
		_, inQuery, _ := strings.Cut(strings.TrimSpace(endpoint), "sessionId=")
		event := s.eventID(t, owner, inHeader, "x")
		for _, tc := range []struct {
			name                  string
			session, event, query string
			want                  session.Reason
		}{
			{"all are good", inHeader, event, "sessionId=" + inQuery, ""},
			{"of a query in the header", inQuery, "-", "", session.Foreign},
			{"of an event in the header", event, "-", "", session.Foreign},
			{"of the header in a query", "-", "-", "sessionId=" + inHeader, session.Foreign},
			{"of an event in a query", "-", "-", "sessionId=" + event, session.Foreign},
			{"of the header as an event", inHeader, inHeader, "", session.Foreign},
			{"of a query as an event", inHeader, inQuery, "", session.Foreign},
		} {
			got := s.ask(t, owner, tc.session, tc.event, tc.query).reason(t)
			if owner == nobody && got == session.Untagged {
				got = session.Foreign // the tags have different lengths
			}
			if got != tc.want {
				t.Errorf("%q: %s: got %q, want %q", owner.Subject, tc.name, got, tc.want)
			}
		}
	}
}

func TestEventIsItsOwners(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	mine, theirs := s.begin(t, alice, "a"), s.begin(t, bob, "b")
	first, second := s.begin(t, nobody, "n1"), s.begin(t, nobody, "n2")
	event, stateless := s.eventID(t, alice, mine, "7"), s.eventID(t, alice, "-", "7")
	early := s.eventID(t, nobody, first, "7")
	for _, tc := range []struct {
		name           string
		owner          session.Owner
		session, event string
		want           session.Reason
	}{
		{"the owner", alice, mine, event, ""},
		{"without a session", alice, "-", stateless, ""},
		{"in another session of the owner", alice, s.begin(t, alice, "a2"), event, ""},
		{"another user", bob, theirs, event, session.Foreign},
		{"another user without a session", bob, "-", event, session.Foreign},
		{"nobody", nobody, first, event, session.Foreign},
		{"another event", alice, mine, "8" + event[1:], session.Foreign},
		{"without a tag", alice, mine, "7", session.Untagged},
		{"the form of a session that began without a user", alice, mine, event + "AAAAA", session.Untagged},
		{"one's own event in another user's session", bob, mine, s.eventID(t, bob, theirs, "7"), session.Foreign},

		{"nobody's, in its session", nobody, first, early, ""},
		{"nobody's, in another session of nobody", nobody, second, early, session.Foreign},
		{"nobody's, in a user's session", alice, mine, early, session.Foreign},
		{"nobody's, without a session", alice, "-", early, session.Foreign},
	} {
		g := s.ask(t, tc.owner, tc.session, tc.event, "")
		if got := g.reason(t); got != tc.want || got == "" && g.event != "7" {
			t.Errorf("%s: got %q, %q, want %q", tc.name, got, g.event, tc.want)
		}
	}
	// Without a session nothing says whose stream it was, so the stream isn't resumed.
	for _, event := range []string{"7", event, early} {
		if g := s.ask(t, nobody, "-", event, ""); g.err != nil || g.event != "" {
			t.Errorf("nobody without a session: got %q, %v", g.event, g.err)
		}
	}
}

// A request of a session costs one tag.
func BenchmarkBind(b *testing.B) {
	s := newServer("key", storetest.New())
	g, err := s.Bind(b.Context(), alice, session.Handles{})
	if err != nil {
		b.Fatal(err)
	}
	mine, _, err := g.Session(b.Context(), "1868a90c-5f17-4a5c-b5f5-3c1e7d5d4d5a")
	if err != nil {
		b.Fatal(err)
	}
	header := http.Header{"Mcp-Session-Id": {mine}}
	for name, header := range map[string]http.Header{"session": header, "none": {"Accept": {"x"}}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				handles, err := session.Read(header, "")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Bind(b.Context(), alice, handles); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
