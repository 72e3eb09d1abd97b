package sealed

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"
)

func TestSeal(t *testing.T) {
	t.Parallel()
	k, other := New(bytes.Repeat([]byte{1}, 32)), New(bytes.Repeat([]byte{2}, 32))
	text := []byte("a text")
	s := k.Seal("purpose", text)
	if got, err := k.Open("purpose", s); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("got %q, %v", got, err)
	}
	if s != k.Seal("purpose", text) {
		t.Error("the same text is sealed in two ways")
	}
	if s == k.Seal("another", text) || s == k.Seal("purpose", []byte("another")) || s == other.Seal("purpose", text) {
		t.Error("two things are sealed alike")
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || bytes.Contains(b, text) {
		t.Errorf("the text can be read: %q", b)
	}
	for name, try := range map[string]func() ([]byte, error){
		"another purpose": func() ([]byte, error) { return k.Open("another", s) },
		"other keys":      func() ([]byte, error) { return other.Open("purpose", s) },
		"cut":             func() ([]byte, error) { return k.Open("purpose", s[:len(s)-2]) },
		"empty":           func() ([]byte, error) { return k.Open("purpose", "") },
		"padded":          func() ([]byte, error) { return k.Open("purpose", s+"=") },
		"line break":      func() ([]byte, error) { return k.Open("purpose", s[:4]+"\n"+s[4:]) },
	} {
		if got, err := try(); !errors.Is(err, ErrSeal) || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for i := range b {
		altered := bytes.Clone(b)
		altered[i] ^= 1
		if _, err := k.Open("purpose", base64.RawURLEncoding.EncodeToString(altered)); err == nil {
			t.Fatalf("byte %d can be altered", i)
		}
	}
	if bytes.Equal(k.MAC("a", text), k.MAC("b", text)) || len(k.MAC("a", text)) != 32 {
		t.Error("MACs of two purposes are the same, or short")
	}
}
