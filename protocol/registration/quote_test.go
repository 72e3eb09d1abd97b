package registration

import (
	"strings"
	"testing"
)

// An error_description has printable ASCII without quotation marks and
// backslashes (RFC 6749, section 5.2), whatever it repeats.
func TestQuoted(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://a.example/cb":            "'https://a.example/cb'",
		"":                                "''",
		`https://a.example/"\`:            `'https://a.example/'/'`,
		"https://a.example/\r\nX: y\x00":  "'https://a.example/ X: y'",
		"https://a.example/\u202eü\xff":   "'https://a.example/???'",
		"x:" + strings.Repeat("a", 1000):  "'x:" + strings.Repeat("a", 198) + "...'",
		"<script>alert(1)</script>":       "'<script>alert(1)</script>'",
		"  https://a.example/ \t b\u2028": "'https://a.example/ b?'",
	} {
		if got := Quoted(uri); got != want {
			t.Errorf("%q: got %q, want %q", uri, got, want)
		}
	}
	if got := Described(strings.Repeat("a ", 1000)); len(got) > 2*maxQuoted+4 {
		t.Errorf("%d bytes", len(got))
	}
}

// The redirect URI that is wrong is named: clients register several.
func TestParseNames(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte(`{"redirect_uris":["https://a.example/cb","https://b.example/#x"]}`), &Policy{})
	refused, ok := err.(*Error)
	if !ok || !strings.Contains(refused.Description, "'https://b.example/#x' has a fragment") || !strings.Contains(refused.Error(), "b.example") {
		t.Errorf("got %+v", err)
	}
	_, err = Parse([]byte(`{"redirect_uris":["cursor://x/cb"]}`), &Policy{})
	if refused, ok := err.(*Error); !ok || !strings.Contains(refused.Description, "'cursor://x/cb' has the scheme cursor, which is not one of private_schemes") {
		t.Errorf("got %+v", err)
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	for member, want := range map[string]string{
		`"a b"`: "a b", `" a  b "`: "a b", `""`: "", `null`: "", `["a"]`: "", `7`: "", `"a\"b"`: "", `"a ü"`: "", `"a\\b c"`: "",
	} {
		m, err := Parse([]byte(`{"redirect_uris":["https://a.example/cb"],"scope":`+member+`}`), &Policy{})
		if err != nil || string(m.Scope) != want {
			t.Errorf("%s: got %+v, %v, want %q", member, m, err, want)
		}
	}
}
