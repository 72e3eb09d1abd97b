package discovery

import (
	"strings"
	"testing"
)

func FuzzMetadata(f *testing.F) {
	const issuer = "https://as.example"
	for _, seed := range []string{
		`{"issuer":"https://as.example","jwks_uri":"https://as.example/jwks"}`, `{"issuer":"https://as.example/"}`, `{}`, `null`, `[]`, ``, `<html>`,
		`{"issuer":"https://as.example","issuer":"https://as.example"}`, `{"ISSUER":"https://as.example"}`, `{"issuer":["https://as.example"]}`,
		`{"issuer":"https://as.example","jwks_uri":"http://as.example/jwks"}`, `{"issuer":"https:\/\/as.example","jwks_uri":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseMetadata(body, issuer)
		if (m == nil) == (err == nil) {
			t.Fatalf("got %v, %v, want metadata or an error", m, err)
		}
		if err != nil {
			return
		}
		if got := m.Text("issuer"); got != issuer {
			t.Errorf("got issuer %q, want %q", got, issuer)
		}
		address, err := m.endpoint("jwks_uri")
		if err == nil && !strings.HasPrefix(strings.ToLower(address), "https://") && !strings.HasPrefix(strings.ToLower(address), "http://") {
			t.Errorf("got jwks_uri %q, want an address that can be fetched from", address)
		}
		if !m.equal(m) {
			t.Errorf("got metadata that is not equal to itself")
		}
	})
}
