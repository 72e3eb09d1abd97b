package guard

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// After the scrubbing nothing is left that folds to the name, and everything
// else is.
func FuzzScrub(f *testing.F) {
	f.Add("X-User", "X_User", "close, X-User")
	f.Add("x", "", ",,")
	f.Add("X-User", "X-Users", "keep-alive")
	f.Add("1", "١", "1")
	f.Fuzz(func(t *testing.T, name, sent, connection string) {
		names := NewHeaders(name)
		if names.Check() != nil {
			t.Skip()
		}
		r := &http.Request{Header: http.Header{sent: {"x"}, "Connection": {connection, connection}}}
		keep := fold(sent) != fold(name) && sent != "Connection"
		names.Scrub(r)
		for key := range r.Header {
			if fold(key) == fold(name) {
				t.Fatalf("%q is left", key)
			}
		}
		for _, value := range r.Header["Connection"] {
			for option := range strings.SplitSeq(value, ",") {
				if fold(option) == fold(name) {
					t.Fatalf("Connection: %q is left", option)
				}
			}
		}
		if _, ok := r.Header[sent]; keep && !ok {
			t.Fatalf("%q was removed for %q", sent, name)
		}
	})
}

// The headers that are found at a glance are all that the rules are about: to look at
// every one of them changes nothing.
func FuzzFind(f *testing.F) {
	f.Add("X-User", "upgrade", "X_user", "close, x-user, upgrade", false)
	f.Add("X-User", "Up-grade", ":protocol", "upgrade", true)
	f.Add("A", "HTTP2_SETTINGS", "a", "keep-alive", true)
	f.Add("Upgrades", "Accept", "Connection", " , ,", false)
	f.Fuzz(func(t *testing.T, name, one, other, connection string, handshake bool) {
		g := &Handler{headers: NewHeaders(name)}
		if g.headers.Check() != nil {
			t.Skip()
		}
		scrubbed := func(find func(http.Header) []string) http.Header {
			r := &http.Request{Method: "GET", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{one: {"x"}, other: {"y"}, "Connection": {connection}}}
			if handshake {
				r.Header["Upgrade"], r.Header[key], r.Header[version] = []string{"websocket"}, []string{nonce}, []string{"13"}
			}
			found := find(r.Header)
			scrubUpgrade(r, found)
			g.headers.scrub(r, found)
			return r.Header
		}
		fast := scrubbed(g.find)
		slow := scrubbed(func(header http.Header) []string { return slices.Collect(maps.Keys(header)) })
		if !reflect.DeepEqual(fast, slow) {
			t.Errorf("got %v, want %v", fast, slow)
		}
	})
}

// fold says the same as sameFolded in another way.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return -1
	}, name)
}
