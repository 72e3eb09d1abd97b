package guard

import (
	"net/http"
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
		names := Headers{name}
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
