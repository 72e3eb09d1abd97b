package oauthtest

import (
	"fmt"
	"strings"
)

// compact is about the serialization: one token, one spelling, three parts.
func (m *matrix) compact() {
	m.group = "compact"
	good := m.mint(WithKey(m.rsa))
	part := strings.Split(good, ".")
	header, payload, signature := part[0], part[1], part[2]

	const parts = "a compact JWS has exactly three parts"
	m.add("no token", parts, "")
	m.add("one part", parts, header)
	m.add("two parts", parts, header+"."+payload)
	m.add("four parts", parts, good+"."+signature)
	m.add("four parts, the last one empty", parts, good+".")
	m.add("four parts, the first one empty", parts, "."+good)
	m.add("five parts", parts, good+"."+payload+"."+signature)
	m.add("dots only", parts, "..")
	m.add("thousands of dots", parts, good+strings.Repeat(".", 50_000))
	m.add("nothing but thousands of dots", parts, strings.Repeat(".", 50_000))
	m.add("thousands of parts", parts, strings.Repeat(header+".", 1_000)+signature)
	m.add("JWE", "encrypted tokens are not supported",
		b64([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM","kid":"hostile-rsa"}`))+"."+signature+".AAAAAAAAAAAAAAAA."+payload+".AAAAAAAAAAAAAAAAAAAAAA")
	m.add("JWE header on three parts", "encrypted tokens are not supported",
		m.signText(b64([]byte("{"+m.header(map[string]any{"alg": "dir", "enc": "A256GCM"})+"}")), payload))

	const empty = "no part may be empty"
	m.add("empty header", empty, m.signText("", payload))
	m.add("empty payload", empty, m.signText(header, ""))
	m.add("detached payload", empty, header+".."+signature)
	m.add("empty header and payload", empty, m.signText("", ""))

	const json = "only the compact serialization is a bearer token"
	m.add("JSON, flattened", json,
		fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, payload, header, signature))
	m.add("JSON, general", json,
		fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, payload, header, signature))
	m.add("JSON, general, a bad signature first", json,
		fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":"AAAA"},{"protected":%[2]q,"signature":%[3]q}]}`, payload, header, signature))
	m.add("JSON that holds the compact form", json, fmt.Sprintf("%q", good))

	m.spellings(header, payload, signature)

	const space = "no character outside the base64url alphabet belongs in a token"
	m.add("leading space", space, " "+good)
	m.add("trailing space", space, good+" ")
	m.add("trailing newline", space, good+"\n")
	m.add("trailing CRLF", space, good+"\r\n")
	m.add("trailing NUL", space, good+"\x00")
	m.add("trailing tab", space, good+"\t")
	m.add("newline in the signature", space, header+"."+payload+"."+signature[:8]+"\n"+signature[8:])
	m.add("carriage return in the signature", space, header+"."+payload+"."+signature[:8]+"\r"+signature[8:])
	m.add("newline in the header", space, m.signText(header[:4]+"\n"+header[4:], payload))
	m.add("newline in the payload", space, m.signText(header, payload[:4]+"\n"+payload[4:]))
	m.add("space around a dot", space, m.signText(header+" ", " "+payload))
	m.add("scheme repeated", space, "Bearer "+good)
	m.add("two tokens with a comma", space, good+","+good)
	m.add("two tokens with a space", space, good+" "+good)
	m.add("percent-encoded dots", space, strings.ReplaceAll(good, ".", "%2E"))
	m.add("dots of Unicode", space, strings.ReplaceAll(good, ".", "\u2024"))
	m.add("full-width letters", space, "\uff45"+good[1:])
	m.add("parameter appended", space, good+";a=b")

	m.add("a mebibyte long", "a token's size has a bound",
		m.srv.Mint(map[string]any{"aud": m.resource, "pad": strings.Repeat("a", 1<<20)}))
}

// spellings are alternative spellings of a good token. They evade checks that
// recognize tokens by their text, such as a list of revoked tokens.
func (m *matrix) spellings(header, payload, signature string) {
	const tail = "base64url's unused bits must be zero: else one token has many spellings"
	ownTail := m.signText(
		respell(unaligned(func(pad string) string { return "{" + m.header(map[string]any{"pad": pad}) + "}" })), payload)
	m.add("second spelling of the header", tail, ownTail)
	m.add("second spelling of the payload", tail, m.signText(header,
		respell(unaligned(func(pad string) string { return "{" + m.members(map[string]any{"pad": pad}) + "}" }))))
	m.add("second spelling of the signature", tail, header+"."+payload+"."+respell(signature))

	const padding = "base64url has no padding in a JWS"
	pad := strings.Repeat("=", 4-len(signature)%4) // 256 bytes of RSA always need some
	m.add("padded signature", padding, header+"."+payload+"."+signature+pad)
	m.add("padded header", padding, m.signText(
		unaligned(func(pad string) string { return "{" + m.header(map[string]any{"pad": pad}) + "}" })+"==", payload))
	m.add("padded payload", padding, m.signText(header,
		unaligned(func(pad string) string { return "{" + m.members(map[string]any{"pad": pad}) + "}" })+"=="))
	m.add("signature with a lonely last character", "no encoding has a rest of one character",
		header+"."+payload+"."+signature+"AAA")

	const alphabet = "the alphabet is base64url's, not base64's"
	standard := strings.NewReplacer("-", "+", "_", "/")
	token := m.mint(WithKey(m.rsa))
	for !strings.ContainsAny(token[strings.LastIndex(token, "."):], "-_") {
		token = m.mint(WithKey(m.rsa))
	}
	i := strings.LastIndex(token, ".")
	m.add("signature in the standard alphabet", alphabet, token[:i]+standard.Replace(token[i:]))
	wide := b64([]byte("{" + m.members(map[string]any{"pad": "???>>>???>>>"}) + "}"))
	for shift := ""; !strings.ContainsAny(wide, "-_"); shift += "a" {
		wide = b64([]byte("{" + m.members(map[string]any{"pad": shift + "~~~ÿÿÿ"}) + "}"))
	}
	m.add("payload in the standard alphabet", alphabet, m.signText(header, standard.Replace(wide)))
}

// unaligned returns the encoding of an object whose length leaves four unused
// bits in the last character. text makes the object longer by its argument.
func unaligned(text func(pad string) string) string {
	for pad := ""; ; pad += "a" {
		if object := text(pad); len(object)%3 == 1 {
			return b64([]byte(object))
		}
	}
}

// respell sets an unused bit of the last character.
func respell(segment string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, segment[len(segment)-1])
	return segment[:len(segment)-1] + alphabet[last|1:last|1+1]
}
