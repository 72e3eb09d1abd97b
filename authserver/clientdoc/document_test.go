package clientdoc_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
)

const someID = "https://client.example.com/c"

func TestCheckDocument(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, want string }{
		{"least", `{"client_id":"https://client.example.com/c"}`, ""},
		{"blanks", " \n{ \"x\" : [1, {}], \"client_id\" : \"https://client.example.com/c\" }\n", ""},
		{"escaped letters", `{"client\u005fid":"https:\/\/client.example.com\/c"}`, ""},
		{"another name that folds to it", `{"Client_ID":"https://evil.example/c","client_id":"https://client.example.com/c"}`, ""},
		{"deeper client_id is another", `{"x":{"client_id":1},"client_id":"https://client.example.com/c"}`, ""},
		{"empty", ``, "not a JSON object"},
		{"array", `[{"client_id":"https://client.example.com/c"}]`, "not a JSON object"},
		{"string", `"https://client.example.com/c"`, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"HTML", `<!doctype html>`, "not a JSON object"},
		{"byte order mark", "\ufeff" + document(someID), "not a JSON object"},
		{"no client_id", `{}`, "no client_id"},
		{"case-folded name", `{"Client_ID":"https://client.example.com/c"}`, "no client_id"},
		{"nested only", `{"x":{"client_id":"https://client.example.com/c"}}`, "no client_id"},
		{"other client_id", `{"client_id":"https://client.example.com/d"}`, "not its URL"},
		{"uppercase", `{"client_id":"https://client.example.com/C"}`, "not its URL"},
		{"slash more", `{"client_id":"https://client.example.com/c/"}`, "not its URL"},
		{"default port", `{"client_id":"https://client.example.com:443/c"}`, "not its URL"},
		{"null client_id", `{"client_id":null}`, "not its URL"},
		{"list of client_id", `{"client_id":["https://client.example.com/c"]}`, "not its URL"},
		{"duplicate client_id", `{"client_id":"https://client.example.com/c","client_id":"https://client.example.com/c"}`, "duplicate"},
		{"duplicate, wrong last", `{"client_id":"https://client.example.com/c","client_id":"https://evil.example/c"}`, "duplicate"},
		{"duplicate by escapes", `{"client_id":"https://client.example.com/c","client\u005fid":"https://evil.example/c"}`, "duplicate"},
		{"duplicate of another", `{"client_id":"https://client.example.com/c","redirect_uris":[],"redirect_uris":["https://evil.example"]}`, "duplicate"},
		{"duplicate deeper", `{"client_id":"https://client.example.com/c","jwks":{"keys":[],"keys":[]}}`, "duplicate"},
		{"invalid UTF-8", "{\"client_id\":\"https://client.example.com/c\",\"x\":\"\xff\"}", "malformed"},
		{"lone surrogate", `{"client_id":"https://client.example.com/c","x":"\ud800"}`, "malformed"},
		{"comma at the end", `{"client_id":"https://client.example.com/c",}`, "malformed"},
		{"comment", `{"client_id":"https://client.example.com/c"/**/}`, "malformed"},
		{"cut", `{"client_id":"https://client.example.com/c"`, "malformed"},
		{"second object", document(someID) + document(someID), "after the JSON object"},
		{"garbage after", document(someID) + "x", "after the JSON object"},
		{"too deep", `{"x":` + strings.Repeat("[", 15000), "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := clientdoc.CheckDocument([]byte(tt.body), someID)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "example") {
				t.Errorf("%v quotes the body", err)
			}
		})
	}
}

// FuzzCheckDocument: what is accepted is what a lenient parser reads too.
func FuzzCheckDocument(f *testing.F) {
	for _, seed := range []string{
		document(someID), `{"client_id":"https:\/\/client.example.com/c","client_id":1}`, `{"a":[{"client_id":{}}],"client_id":""}`,
		"{\"\xff\":0}", `[]`, `{"client_id":"https://client.example.com/c"}{}`, `{"client\u005Fid":"https://client.example.com/c"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if clientdoc.CheckDocument(body, someID) != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("accepted %q: %v", body, err)
		}
		var id string
		if err := json.Unmarshal(members["client_id"], &id); err != nil || id != someID {
			t.Fatalf("accepted %q, whose client_id is %q (%v)", body, id, err)
		}
		if !utf8.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
	})
}

func TestIsJSON(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]bool{
		"application/json":                     true,
		"application/json; charset=utf-8":      true,
		"Application/JSON":                     true,
		"application/oauth-client+json":        true,
		"application/ld+json;profile=x":        true,
		"":                                     false,
		"application":                          false,
		"application/":                         false,
		"application/+json":                    false,
		"application/jsonp":                    false,
		"application/json-seq":                 false,
		"application/json+xml":                 false,
		"application/javascript":               false,
		"application/octet-stream":             false,
		"text/json":                            false,
		"text/plain":                           false,
		"text/html; x=application/json":        false,
		"image/svg+json":                       false,
		"application/json, text/html":          false,
		"application/json; charset=a; charset": false,
	} {
		if got := clientdoc.IsJSON(contentType); got != want {
			t.Errorf("%q: got %t, want %t", contentType, got, want)
		}
	}
}
