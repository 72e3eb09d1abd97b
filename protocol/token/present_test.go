package token_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// compact puts a token together that nobody has signed.
func compact(header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64([]byte("signature"))
}

func TestPresent(t *testing.T) {
	t.Parallel()
	const (
		opaque  = "opaque"
		jws     = "JWS"
		refused = "refused"
	)
	good := compact(`{"alg":"RS256"}`, `{}`)
	part := strings.Split(good, ".")
	tests := []struct {
		name, raw, want string
	}{
		{"empty", "", opaque},
		{"word", "gho_16C7e42F292c6912E7710c838347Ae178B4a", opaque},
		{"two words", "abc.def", opaque},
		{"three words", "abc.def.ghi", opaque},
		{"dots", "...", opaque},
		{"PASETO", "v4.public.eyJkYXRhIjoidGhpcyJ9", opaque},
		{"first part no JSON object", compact(`[]`, `{}`), opaque},
		{"JSON", `{"payload":"e30"}`, opaque},
		{"macaroon", "MDAxY2xvY2F0aW9uIGh0dHA6Ly9leGFtcGxlLw==", opaque},
		{"JWS", good, jws},
		{"JWS, header with white space", compact(" \n{\"alg\":\"RS256\"}", `{}`), jws},
		{"JWS, empty signature", part[0] + "." + part[1] + ".", jws},
		{"JWS of MaxSize", fit(token.MaxSize), jws},
		{"JWS beyond MaxSize", fit(token.MaxSize + 1), refused},
		{"opaque beyond MaxSize", strings.Repeat("a", token.MaxSize+1), refused},
		{"opaque of MaxSize", strings.Repeat("a", token.MaxSize), opaque},
		{"two parts", part[0] + "." + part[1], refused},
		{"JWS with two more parts", good + ".iv.tag", opaque},
		{"JWS with one more part", good + ".iv", refused},
		{"four parts", good + ".", refused},
		{"header twice the name", compact(`{"alg":"RS256","alg":"none"}`, `{}`), refused},
		{"header with rest", compact(`{"alg":"RS256"}{}`, `{}`), refused},
		{"header unfinished", compact(`{"alg":"RS256"`, `{}`), refused},
		{"header without alg", compact(`{}`, `{}`), refused},
		{"header with alg empty", compact(`{"alg":""}`, `{}`), refused},
		{"header with alg null", compact(`{"alg":null}`, `{}`), refused},
		{"header with ALG", compact(`{"ALG":"RS256"}`, `{}`), refused},
		{"crit", compact(`{"alg":"RS256","crit":["exp"]}`, `{}`), refused},
		{"crit null", compact(`{"alg":"RS256","crit":null}`, `{}`), refused},
		{"b64", compact(`{"alg":"RS256","b64":true}`, `{}`), refused},
		{"zip", compact(`{"alg":"RS256","zip":"DEF"}`, `{}`), refused},
		{"enc", compact(`{"alg":"dir","enc":"A256GCM"}`, `{}`), refused},
		{"JWE", compact(`{"alg":"dir","enc":"A256GCM","iss":"https://as.example/"}`, "x") + ".e30.e30", opaque},
		{"JWE, empty key", jwe(`{"alg":"dir","enc":"A256GCM"}`), opaque},
		{"five parts without enc", jwe(`{"alg":"dir"}`), opaque},
		{"six parts", jwe(`{"alg":"dir","enc":"A256GCM"}`) + ".e30", refused},
		{"payload no object", compact(`{"alg":"RS256"}`, `"x"`), refused},
		{"payload twice the name", compact(`{"alg":"RS256"}`, `{"a":1,"a":1}`), refused},
		{"payload with invalid UTF-8", compact(`{"alg":"RS256"}`, "{\"a\":\"\xff\"}"), refused},
		{"signature not base64url", part[0] + "." + part[1] + ".+/+/", refused},
		{"signature padded", good + "=", refused},
		{"line break in the signature", good[:len(good)-2] + "\n" + good[len(good)-2:], refused},
		{"line break at the end", good + "\r\n", refused},
		{"line break in the header", good[:2] + "\n" + good[2:], refused},
		{"line break in an opaque token", "opa\nque", refused},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, err := token.Present(tc.raw)
			var got string
			var inv *token.InvalidError
			switch {
			case errors.As(err, &inv):
				got = refused
			case err != nil:
				got = err.Error()
			case p.JWS != nil:
				got = jws
			default:
				got = opaque
			}
			if got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
			if err == nil && p.Raw != tc.raw {
				t.Errorf("got raw %q, want %q", p.Raw, tc.raw)
			}
		})
	}
}

// jwe returns what has the form of a JWE with the header.
func jwe(header string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "..aXY.Y2lwaGVydGV4dA.dGFn"
}

// fit returns a JWS that is size bytes long.
func fit(size int) string {
	bare := compact(`{"alg":"RS256"}`, `{}`)
	return bare + strings.Repeat("A", (size-len(bare))/4*4) + strings.Repeat("A", (size-len(bare))%4)
}

func TestPresentHeader(t *testing.T) {
	t.Parallel()
	p, err := token.Present(compact(`{"alg":"ES256","kid":"a\u002fb","typ":"Application/AT+JWT","iss":"https://evil.example"}`,
		`{"iss":"https://as.example","ISS":"https://evil.example"}`))
	if err != nil {
		t.Fatal(err)
	}
	got := [4]string{p.JWS.Algorithm, p.JWS.KeyID, p.JWS.Type, p.JWS.Issuer}
	if want := [4]string{"ES256", "a/b", "at+jwt", "https://as.example"}; got != want {
		t.Errorf("got alg, kid, typ, iss %q, want %q", got, want)
	}
}

func FuzzPresent(f *testing.F) {
	for _, seed := range []string{
		"", "opaque", "a.b.c", compact(`{"alg":"RS256"}`, `{}`),
		compact(`{"alg":"ES256","kid":"k","typ":"JWT"}`, `{"iss":"i","sub":"s","aud":["a"],"exp":1e9,"scope":"a b"}`),
		compact(`{"alg":"none"}`, `{"aud":"a","nbf":-1,"scp":["x"]}`), "eyJhbGciOiJSUzI1NiJ9.e30.\n",
		compact(`{"alg":"RS256","alg":"none"}`, `{"exp":"1"}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := token.Present(raw)
		if err != nil {
			var inv *token.InvalidError
			if p != nil || !errors.As(err, &inv) {
				t.Fatalf("got %v, %v, want nil and an *InvalidError", p, err)
			}
			return
		}
		if p.Raw != raw {
			t.Fatalf("got raw %q, want %q", p.Raw, raw)
		}
		if p.JWS == nil {
			return
		}
		// The one spelling of what it says.
		var again []string
		for part := range strings.SplitSeq(raw, ".") {
			b, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil {
				t.Fatalf("accepted %q, whose part %q is not base64url", raw, part)
			}
			again = append(again, base64.RawURLEncoding.EncodeToString(b))
		}
		if got := strings.Join(again, "."); got != raw || len(again) != 3 {
			t.Errorf("accepted %q, want only its canonical spelling %q", raw, got)
		}
	})
}
