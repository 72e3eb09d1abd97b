package oauthtest

import (
	"bytes"
	"compress/flate"
	"strings"
	"time"
	"unicode/utf16"
)

// payloadJSON is about the payload as a JSON text.
func (m *matrix) payloadJSON() {
	m.group = "payload"
	good := m.members(nil)
	const object = "the payload is one JSON object"
	m.payload("array", object, "[{"+good+"}]")
	m.payload("string", object, `"user-1"`)
	m.payload("JSON in a string", object, string(mustJSON("{"+good+"}")))
	m.payload("null", object, "null")
	m.payload("number", object, "1")
	m.payload("true", object, "true")
	m.payload("empty object", "iss, aud and exp are required", "{}")
	m.payload("plain text", object, "user-1")
	m.payload("unfinished", object, "{"+good)
	m.payload("followed by another", object, "{"+good+"}{}")
	m.payload("followed by garbage", object, "{"+good+"}x")
	m.payload("followed by NUL", object, "{"+good+"}\x00")
	m.payload("preceded by another", object, "{}{"+good+"}")
	m.payload("byte order mark", object, "\xef\xbb\xbf{"+good+"}")
	m.payload("comment", object, "{"+good+"/**/}")
	m.payload("trailing comma", object, "{"+good+",}")
	m.payload("no comma", object, "{"+good+` "x":1}`)
	m.payload("single quotes", object, strings.ReplaceAll("{"+good+"}", `"`, "'"))
	m.payload("NaN", object, "{"+m.members(map[string]any{"exp": Absent})+`,"exp":NaN}`)
	m.payload("Infinity", object, "{"+m.members(map[string]any{"exp": Absent})+`,"exp":Infinity}`)
	m.payload("leading zero", object, "{"+strings.Replace(good, `"exp":`, `"exp":0`, 1)+"}")
	m.payload("plus sign", object, "{"+strings.Replace(good, `"exp":`, `"exp":+`, 1)+"}")
	m.payload("hexadecimal", object, "{"+m.members(map[string]any{"exp": Absent})+`,"exp":0x7fffffff}`)
	m.payload("raw newline in a string", object, "{"+good+",\"x\":\"a\nb\"}")
	m.payload("unknown escape", object, "{"+good+`,"x":"\x41"}`)
	m.payload("name without quotes", object, "{"+good+",x:1}")
	m.payload("deep nesting", "nesting, or else size, has a bound",
		"{"+good+`,"x":`+strings.Repeat("[", 50_000)+strings.Repeat("]", 50_000)+"}")

	const utf8 = "JSON is UTF-8"
	m.payload("invalid UTF-8 in a claim", utf8, "{"+good+",\"name\":\"\xff\"}")
	m.payload("invalid UTF-8 in sub", utf8, "{"+m.members(map[string]any{"sub": Absent})+",\"sub\":\"user\xc3\"}")
	m.payload("invalid UTF-8 in a name", utf8, "{"+good+",\"x\xff\":1}")
	m.payload("overlong slash", utf8, "{"+good+",\"name\":\"\xc0\xaf\"}")
	m.payload("surrogate half in UTF-8", utf8, "{"+good+",\"name\":\"\xed\xa0\x80\"}")
	m.payload("surrogate half, escaped", utf8, "{"+good+`,"name":"\ud800"}`)
	var wide bytes.Buffer
	for _, unit := range utf16.Encode([]rune("{" + good + "}")) {
		wide.Write([]byte{byte(unit >> 8), byte(unit)})
	}
	m.payload("UTF-16", utf8, wide.String())

	var packed bytes.Buffer
	deflate, _ := flate.NewWriter(&packed, flate.DefaultCompression)
	_, _ = deflate.Write([]byte("{" + good + "}"))
	_ = deflate.Close()
	m.add("compressed", "a JWS is never compressed",
		m.mint(WithRawPayload(packed.Bytes()), WithHeader("zip", "DEF")))

	m.duplicates()
}

// duplicates are claim sets in which two readers see two different things.
func (m *matrix) duplicates() {
	const twice = "claim names are unique"
	now := m.srv.opts.Now()
	evil := map[string]string{
		"iss":       `"https://other.example"`,
		"aud":       `"https://other.example/mcp"`,
		"exp":       string(mustJSON(now.Add(-time.Hour).Unix())),
		"sub":       `"admin"`,
		"client_id": `"other-client"`,
		"scope":     `"admin"`,
		"iat":       string(mustJSON(now.Add(24 * time.Hour).Unix())),
	}
	for claim, value := range evil {
		m.payload(claim+" twice, the good one last", twice, `{"`+claim+`":`+value+","+m.members(nil)+"}")
		m.payload(claim+" twice, the good one first", twice, "{"+m.members(nil)+`,"`+claim+`":`+value+"}")
	}
	m.payload("aud twice, the same", twice, "{"+m.members(nil)+`,"aud":`+string(mustJSON(m.resource))+"}")
	m.payload("aud twice, once escaped", twice, "{"+m.members(nil)+`,"\u0061ud":"https://other.example/mcp"}`)
	m.payload("unknown claim twice", twice, "{"+m.members(nil)+`,"x":1,"x":2}`)
	m.payload("twice, deep inside", twice, "{"+m.members(nil)+`,"realm_access":{"roles":["user"],"roles":["admin"]}}`)
}
