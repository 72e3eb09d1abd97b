package mcp

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// short is how far a string is searched in one go.
const short = 64

// text reads a string. It takes eight bytes at a time while none of them is special,
// and searches a long string with the functions of package bytes.
func (s *scanner) text(at int) (end int, escaped bool, rule Rule) {
	b := s.b
	at++
	from, quote := at, at
	for {
		for at+8 <= len(b) {
			if n := end8(binary.LittleEndian.Uint64(b[at:])); n < 8 {
				at += n
				break
			}
			if at += 8; at-from < short {
				continue
			}
			if quote < at {
				n := bytes.IndexByte(b[at:], '"')
				if n < 0 {
					return at, escaped, Syntax
				}
				quote = at + n
			}
			at += plain(b[at:quote])
			break
		}
		switch c := s.first(at); {
		case c == '"':
			return at + 1, escaped, ""
		case c == '\\':
			escaped = true
			if at, rule = s.escape(at); rule != "" {
				return at, escaped, rule
			}
			from = at
		case c < ' ': // or the end
			return at, escaped, Syntax
		default:
			at++
		}
	}
}

// plain returns how many bytes come before a backslash or control character.
func plain(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	if n := bytes.IndexByte(b, '\\'); n >= 0 {
		b = b[:n]
	}
	at := 0
	for ; at+32 <= len(b); at += 32 {
		w := (*[32]byte)(b[at:])
		w0, w1 := binary.LittleEndian.Uint64(w[0:]), binary.LittleEndian.Uint64(w[8:])
		w2, w3 := binary.LittleEndian.Uint64(w[16:]), binary.LittleEndian.Uint64(w[24:])
		if ((w0-ones*' ')&^w0|(w1-ones*' ')&^w1|(w2-ones*' ')&^w2|(w3-ones*' ')&^w3)&tops != 0 {
			break
		}
	}
	for at < len(b) && b[at] >= ' ' {
		at++
	}
	return at
}

// end8 returns how many bytes of w, from the lowest, come before a quote, a backslash or
// a control character.
func end8(w uint64) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^ones*'"', w^ones*'\\'
	// This sets the top bit of each of them. Above the first, a borrow may set others.
	special := ((w-ones*' ')&^w | (quote-ones)&^quote | (backslash-ones)&^backslash) & tops
	return bits.TrailingZeros64(special) / 8
}

func (s *scanner) escape(at int) (int, Rule) {
	switch s.first(at + 1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 2, ""
	case 'u':
		r, ok := unit(s.b[at:])
		if !ok {
			return at, Syntax
		}
		if !utf16.IsSurrogate(r) {
			return at + 6, ""
		}
		if low, ok := unit(s.b[at+6:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
			return at + 12, ""
		}
		if s.loose {
			return at + 6, ""
		}
		return at, Encoding
	}
	return at, Syntax
}

// unit reads a \u escape.
func unit(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unquoted returns the text that a string stands for; see unquote.
func unquoted(text []byte) string {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text)
	}
	return string(unquote(nil, text))
}

// unquote appends the text that a string stands for, without quotes. text has checked
// the string.
func unquote(to, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return append(to, text...)
		}
		to = append(to, text[:i]...)
		text = text[i:]
		switch c := text[1]; c {
		case 'b':
			to = append(to, '\b')
		case 'f':
			to = append(to, '\f')
		case 'n':
			to = append(to, '\n')
		case 'r':
			to = append(to, '\r')
		case 't':
			to = append(to, '\t')
		case 'u':
			r, _ := unit(text)
			if utf16.IsSurrogate(r) {
				low, _ := unit(text[6:])
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					text = text[6:]
				}
			}
			to = utf8.AppendRune(to, r)
			text = text[4:]
		default:
			to = append(to, c)
		}
		text = text[2:]
	}
}
