package mcp

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// The headers that repeat what the body says, in Go's spelling.
const (
	methodHeader  = "Mcp-Method"
	nameHeader    = "Mcp-Name"
	versionHeader = "Mcp-Protocol-Version"
	paramPrefix   = "Mcp-Param-"
)

// IsJSON reports whether a Content-Type is that of a message: application/json, in
// UTF-8. The only parameter may be charset. In UTF-7 the same bytes are another
// message. With charset*, which is charset to readers that know RFC 2231, or with one
// parameter inside another, a server could read another charset than the one judged
// here.
func IsJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "application/json" || strings.Contains(contentType, "*") {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// CheckHeaders compares the headers Mcp-Method, Mcp-Name and MCP-Protocol-Version
// with the message (transports, "Server Validation", 2026-07-28), in every version: a
// client that sends one of them relies on it. The error is an [*Error].
func (m *Message) CheckHeaders(h http.Header) error {
	// The value of Mcp-Method is never encoded.
	if values, ok := h[methodHeader]; ok && (len(values) != 1 || m.Method == "" || values[0] != m.Method) {
		return refuse(Header, m.ID)
	}
	if values, ok := h[nameHeader]; ok {
		if len(values) != 1 || m.Kind == NoKind {
			return refuse(Header, m.ID)
		}
		if name, ok := decode(values[0]); !ok || name != m.Name {
			return refuse(Header, m.ID)
		}
	}
	if values, ok := h[versionHeader]; ok && (len(values) != 1 || m.Version != "" && values[0] != m.Version) {
		return refuse(Header, m.ID)
	}
	return nil
}

// decode returns what a value stands for: itself, or, within =?base64?…?=, the text
// whose UTF-8 is encoded in standard, canonical base64.
func decode(value string) (string, bool) {
	const prefix, suffix = "=?base64?", "?="
	encoded, ok := strings.CutPrefix(value, prefix)
	if !ok {
		// Other letter case and the other encoded words of RFC 2047 are refused: they
		// aren't this encoding, but another reader could decode them.
		return value, !strings.HasPrefix(value, "=?") && utf8.ValidString(value)
	}
	encoded, ok = strings.CutSuffix(encoded, suffix)
	if !ok || strings.ContainsAny(encoded, "\r\n") {
		return "", false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return string(text), err == nil && utf8.Valid(text)
}

// CheckParams compares the headers Mcp-Param-* with the arguments of a call. The
// tool's schema says which header stands for which argument, but it isn't known here.
// So a header is compared with the arguments that have its name, regardless of letter
// case and of characters between the letters. An argument deeper in the object counts
// if none above it has the name.
//
// A header without such an argument may stand for one of another name, and is the
// server's to check: who doesn't know a header ignores it (MCP 2026-07-28, transports,
// server behavior for custom headers). But it is refused if rules look up an argument of
// its name: a server could take the header for it. The error is an [*Error].
func (m *Message) CheckParams(h http.Header, rules Lookup) error {
	var params map[string]*param
	for header, values := range h {
		name, ok := strings.CutPrefix(header, paramPrefix)
		if !ok {
			continue
		}
		form := string(appendForm(nil, name))
		// No client sends two spellings of one header.
		if len(values) != 1 || form == "" || params[form] != nil {
			return refuse(Argument, m.ID)
		}
		value, ok := decode(values[0])
		if !ok {
			return refuse(Argument, m.ID)
		}
		if params == nil {
			params = make(map[string]*param)
		}
		params[form] = &param{value: value, depth: math.MaxInt}
	}
	if len(params) == 0 {
		return nil
	}
	if !findArguments(m.Arguments, params) {
		return refuse(Argument, m.ID)
	}
	for form, p := range params {
		if p.found() && !p.equal || !p.found() && rules.reads(form) {
			return refuse(Argument, m.ID)
		}
	}
	return nil
}

// A param is a header that stands for an argument.
type param struct {
	value string
	// depth is the depth of the outermost arguments with that name. All arguments at
	// that depth must have the value.
	depth int
	equal bool
}

// found reports whether there is an argument of the name.
func (p *param) found() bool { return p.depth < math.MaxInt }

// findArguments looks for the arguments of the params' names, which may be in objects,
// and compares their values. It reads them once, and returns false if it can't.
func findArguments(arguments json.RawMessage, params map[string]*param) bool {
	if len(arguments) == 0 {
		return true
	}
	s := &scanner{b: arguments}
	var form []byte
	var object func(at, level int) (int, Rule)
	object = func(at, level int) (int, Rule) {
		return s.object(at, level, func(argument []byte, at int) (end int, rule Rule) {
			form = appendForm(form[:0], string(argument))
			p := params[string(form)]
			if s.first(at) == '{' {
				end, rule = object(at, level+1)
			} else {
				end, rule = s.value(at, level+1)
			}
			if rule != "" || p == nil || level > p.depth {
				return end, rule
			}
			p.equal = (p.equal || level < p.depth) && isValue(arguments[at:end], p.value)
			p.depth = level
			return end, ""
		})
	}
	_, rule := object(s.blanks(0), 0)
	return rule == ""
}

// appendForm appends what names of headers have in common that are the same to
// [web.SameHeader].
func appendForm(to []byte, name string) []byte {
	for i := range len(name) {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z':
			to = append(to, c+'a'-'A')
		case 'a' <= c && c <= 'z', isDigit(c):
			to = append(to, c)
		}
	}
	return to
}

// isValue reports whether a string, an integer or a boolean is the value of a header.
func isValue(raw []byte, value string) bool {
	switch raw[0] {
	case '"':
		return string(unquote(nil, raw[1:len(raw)-1])) == value
	case 't', 'f':
		return string(raw) == value
	case '{', '[', 'n':
		return false
	}
	if string(raw) == value {
		return true
	}
	// Integers compare by value, as far as every reader can tell them apart.
	const safe = 1<<53 - 1
	argument, err := strconv.ParseFloat(string(raw), 64)
	header, err2 := strconv.ParseInt(value, 10, 64)
	return err == nil && err2 == nil && math.Abs(argument) <= safe && argument == float64(header) && max(header, -header) <= safe
}

// RemoveAliases deletes headers with other spellings that a server could take for
// Mcp-Method, Mcp-Name, Mcp-Param-* or MCP-Protocol-Version, such as Mcp_Name.
func RemoveAliases(h http.Header) {
	for name := range h {
		if !strings.HasPrefix(name, paramPrefix) && isAlias(name) {
			delete(h, name)
		}
	}
}

func isAlias(name string) bool {
	exact := []string{methodHeader, nameHeader, versionHeader}
	if slices.Contains(exact, name) {
		return false
	}
	if slices.ContainsFunc(exact, func(known string) bool { return web.SameHeader(known, name) }) {
		return true
	}
	// Names that begin like Mcp-Param, with any characters between the letters.
	for end := len("McpParam"); end < len(name) && end <= len(paramPrefix)+2; end++ {
		if web.SameHeader(name[:end], paramPrefix) {
			return true
		}
	}
	return false
}
