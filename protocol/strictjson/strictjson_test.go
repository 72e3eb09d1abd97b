package strictjson_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

func TestMembers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, doc, want string }{
		{"empty object", `{}`, ""},
		{"blanks", " \n{ \"a\" : 1 }\t", "a=1"},
		{"escaped name", `{"\u0061ud":"x"}`, `aud="x"`},
		{"names that differ in case", `{"aud":1,"AUD":2}`, "aud=1 AUD=2"},
		{"nested", `{"a":{"b":[1]}}`, `a={"b":[1]}`},
		{"empty", ``, "not a JSON object"},
		{"array", `[{}]`, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"byte order mark", "\ufeff{}", "not a JSON object"},
		{"name twice", `{"a":1,"a":2}`, "duplicate member name"},
		{"name twice, once escaped", `{"a":1,"\u0061":2}`, "duplicate member name"},
		{"name twice, deeper", `{"x":[{"a":1,"a":2}]}`, "duplicate member name"},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "malformed JSON"},
		{"lone surrogate", `{"a":"\ud800"}`, "malformed JSON"},
		{"comma at the end", `{"a":1,}`, "malformed JSON"},
		{"comment", `{"a":1/**/}`, "malformed JSON"},
		{"cut", `{"a":1`, "malformed JSON"},
		{"second object", `{}{}`, "data after the JSON object"},
		{"too deep", `{"a":` + strings.Repeat("[", 15000), "malformed JSON"},
	} {
		var seen []string
		err := strictjson.Members([]byte(tc.doc), func(name string, value jsontext.Value) error {
			seen = append(seen, name+"="+string(value))
			return nil
		})
		got := strings.Join(seen, " ")
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestMembersOf(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]bool{
		`{"aud":"a","other":1,"OTHER":2}`: true,
		`{"Aud":"a"}`:                     false,
		`{"aud":"a","AUD":"b"}`:           false,
		`{"ſub":"a"}`:                     false, // U+017F folds to s
	} {
		err := strictjson.MembersOf([]byte(doc), []string{"aud", "sub"}, func(string, jsontext.Value) error { return nil })
		if got := err == nil; got != want {
			t.Errorf("%s: got %v, want accepted %t", doc, err, want)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ value, text, list, date string }{
		{`"a"`, "a", "", ""},
		{`""`, "", "", ""},
		{`"\u00e9"`, "é", "", ""},
		{`["a","b"]`, "not a string", "a,b", ""},
		{`[]`, "not a string", "", ""},
		{`["a",1]`, "not a string", "not an array of strings", ""},
		{`null`, "not a string", "not an array of strings", "not a number"},
		{`1764000000.9`, "not a string", "not an array of strings", "2025-11-24T16:00:00Z"},
		{`"1764000000"`, "1764000000", "not an array of strings", "not a number"},
		{`1e300`, "not a string", "not an array of strings", "out of range"},
		{`1e999`, "not a string", "not an array of strings", "out of range"},
	} {
		v := jsontext.Value(tc.value)
		if s, err := strictjson.String(v); s != tc.text && (err == nil || err.Error() != tc.text) {
			t.Errorf("%s as a string: got %q (%v), want %q", tc.value, s, err, tc.text)
		}
		if list, err := strictjson.Strings(v); v.Kind() != '"' && strings.Join(list, ",") != tc.list && (err == nil || err.Error() != tc.list) {
			t.Errorf("%s as a list: got %q (%v), want %q", tc.value, list, err, tc.list)
		}
		if tc.date == "" {
			continue
		}
		if d, err := strictjson.NumericDate(v); (err != nil || d.UTC().Format("2006-01-02T15:04:05Z") != tc.date) && (err == nil || err.Error() != tc.date) {
			t.Errorf("%s as a date: got %v (%v), want %s", tc.value, d, err, tc.date)
		}
	}
}

// What is accepted here is what a lenient parser reads as well.
// What was accepted is read the same again, and values stay after the call.
func TestMembersAgain(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`{}`, " {\"a\" : [1, {\"b\":null}] ,\n\"c\":\"\\u00e9\"}\t", `{"A":1,"a":{"x":{}},"\u0061b":"c"}`} {
		read := func(members func([]byte, func(string, jsontext.Value) error) error) (names []string, values []jsontext.Value) {
			err := members([]byte(doc), func(name string, value jsontext.Value) error {
				names, values = append(names, name), append(values, value)
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", doc, err)
			}
			return names, values
		}
		names, values := read(strictjson.Members)
		again, same := read(strictjson.MembersAgain)
		if !slices.Equal(names, again) || !slices.EqualFunc(values, same, func(a, b jsontext.Value) bool { return string(a) == string(b) }) {
			t.Errorf("%s: got %q and %s, again %q and %s", doc, names, values, again, same)
		}
	}
	for _, doc := range []string{``, `[]`, `{"a":1,}`, `{"a":1}{}`, "{\"a\":\"\xff\"}"} {
		if strictjson.MembersAgain([]byte(doc), func(string, jsontext.Value) error { return nil }) == nil {
			t.Errorf("%q was read", doc)
		}
	}
}

func FuzzMembers(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,{"b":null}]}`, `{"a":1,"a":2}`, `{"a":1}{}`, "{\"\xff\":0}", `[]`, `{"\u0061":"\ud83d\ude00"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var names []string
		if strictjson.Members(doc, func(name string, _ jsontext.Value) error { names = append(names, name); return nil }) != nil {
			return
		}
		var lenient map[string]json.RawMessage
		if err := json.Unmarshal(doc, &lenient); err != nil || len(lenient) != len(names) {
			t.Fatalf("accepted %q: a lenient parser reads %d members (%v), here %d", doc, len(lenient), err, len(names))
		}
		for name := range lenient {
			if !slices.Contains(names, name) {
				t.Errorf("accepted %q, in which a lenient parser finds %q", doc, name)
			}
		}
	})
}
