package sealed

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"
)

const testIssuer = "https://a.example/test"

func TestSeal(t *testing.T) {
	t.Parallel()
	k := New(bytes.Repeat([]byte{1}, 32), testIssuer)
	text := []byte("a text")
	for _, purpose := range Purposes() {
		s := k.Seal(purpose, text)
		if got, err := k.Open(purpose, s); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%s: got %q, %v", purpose, got, err)
		}
		if same := s == k.Seal(purpose, text); same != (purpose == ClientID) {
			t.Errorf("%s: sealed the same way twice: %t", purpose, same)
		}
		if s == k.Seal(purpose, []byte("another")) {
			t.Errorf("%s: two texts are sealed alike", purpose)
		}
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || bytes.Contains(b, text) {
			t.Errorf("%s: the text can be read: %q", purpose, b)
		}
		for name, altered := range map[string]string{
			"cut":        s[:len(s)-2],
			"empty":      "",
			"short":      s[:40],
			"padded":     s + "=",
			"line break": s[:4] + "\n" + s[4:],
		} {
			if got, err := k.Open(purpose, altered); !errors.Is(err, ErrSeal) || got != nil {
				t.Errorf("%s, %s: got %q, %v", purpose, name, got, err)
			}
		}
		for i := range b {
			altered := bytes.Clone(b)
			altered[i] ^= 1
			if _, err := k.Open(purpose, base64.RawURLEncoding.EncodeToString(altered)); err == nil {
				t.Fatalf("%s: byte %d can be altered", purpose, i)
			}
		}
	}
}

// What one server seals or hashes for one purpose means nothing to another
// server, and nothing for another purpose, even with the same master secret.
func TestSealSaysForWhom(t *testing.T) {
	t.Parallel()
	master := bytes.Repeat([]byte{1}, 32)
	here := New(master, testIssuer)
	text := []byte("a text")
	others := map[string]*Keys{
		"another secret":      New(bytes.Repeat([]byte{2}, 32), testIssuer),
		"another issuer":      New(master, "https://b.example/test"),
		"slash":               New(master, testIssuer+"/"),
		"slash inside":        New(master, "https://a.example/te/st"),
		"letter case":         New(master, "https://a.example/TEST"),
		"no issuer":           New(master, ""),
		"purpose in issuer":   New(master, testIssuer+"session"),
		"issuer with a NUL":   New(master, testIssuer+"\x00"),
		"another port":        New(master, "https://a.example:8443/test"),
		"another scheme":      New(master, "http://a.example/test"),
		"the issuer and more": New(master, testIssuer+"1"),
	}
	for _, purpose := range Purposes() {
		s := here.Seal(purpose, text)
		for name, other := range others {
			if got, err := other.Open(purpose, s); !errors.Is(err, ErrSeal) || got != nil {
				t.Errorf("%s, %s: opens: %q, %v", purpose, name, got, err)
			}
			if bytes.Equal(here.MAC(purpose, text), other.MAC(purpose, text)) {
				t.Errorf("%s, %s: the keyed hashes are the same", purpose, name)
			}
		}
		for _, other := range Purposes() {
			if other == purpose {
				continue
			}
			if got, err := here.Open(other, s); !errors.Is(err, ErrSeal) || got != nil {
				t.Errorf("sealed for %s, opened for %s: %q, %v", purpose, other, got, err)
			}
			if bytes.Equal(here.MAC(purpose, text), here.MAC(other, text)) {
				t.Errorf("%s and %s: the keyed hashes are the same", purpose, other)
			}
		}
	}
}

// No two lists of parts are one context, wherever their borders are.
func TestContext(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, issuer := range []string{"", "a", "ab", "a\x00b", "\x00\x00\x00\x00\x00\x00\x00\x01"} {
		for _, name := range []string{"", "b", "ba", "ab", "\x00"} {
			for _, use := range []string{"seal", "mac"} {
				c := New(nil, issuer).context(use, Purpose{name: name})
				if seen[c] {
					t.Errorf("%q, %q, %q has the context of another", use, issuer, name)
				}
				seen[c] = true
			}
		}
	}
}

func TestMAC(t *testing.T) {
	t.Parallel()
	k := New(bytes.Repeat([]byte{1}, 32), testIssuer)
	if got := k.MAC(RefreshToken, []byte("a")); len(got) != 32 || bytes.Equal(got, k.MAC(RefreshToken, []byte("b"))) {
		t.Errorf("got %x", got)
	}
}

func TestPurposesAreDifferent(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("two purposes may have one name")
		}
	}()
	register(Purpose{name: Session.name})
}
