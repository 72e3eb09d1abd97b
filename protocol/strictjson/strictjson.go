// Package strictjson reads JSON from strangers: member names are matched exactly, and
// no name may occur twice. Any two parsers read an accepted document alike. It knows
// nothing of Caddy.
//
// Where a struct is enough, github.com/go-json-experiment/json is as strict.
// encoding/json is for our own documents.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Members calls visit for every member of the JSON object data, which must hold
// nothing else. Names are matched exactly. encoding/json would match AUD to aud, or a
// name with U+017F to one with s, and take the last of two, so that the party that
// checks and the party that acts could read two different tokens. Duplicate names,
// invalid UTF-8 and trailing data are errors. value is a part of data, and valid
// until data is changed.
func Members(data []byte, visit func(name string, value jsontext.Value) error) error {
	return members(data, jsontext.NewDecoder(bytes.NewBuffer(data)), visit)
}

// MembersAgain is Members for an object that it has accepted before: it doesn't
// compare the names with each other again, which is most of the work.
func MembersAgain(data []byte, visit func(name string, value jsontext.Value) error) error {
	return members(data, jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true)), visit)
}

// members reads data. dec is at its beginning.
func members(data []byte, dec *jsontext.Decoder, visit func(name string, value jsontext.Value) error) error {
	if kind := dec.PeekKind(); kind != '{' {
		return errors.New("not a JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return errors.New("not a JSON object")
	}
	for dec.PeekKind() != '}' {
		tok, err := dec.ReadToken()
		if err != nil {
			return SyntaxError(err)
		}
		name := tok.String()
		value, err := dec.ReadValue()
		if err != nil {
			return SyntaxError(err)
		}
		// The decoder owns what it returns, and overwrites it when it goes on.
		end := dec.InputOffset()
		if err := visit(name, data[end-int64(len(value)):end:end]); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return SyntaxError(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("data after the JSON object")
	}
	return nil
}

// MembersOf is [Members] for a document of which only the members in names are read.
// It refuses members that differ from one of these in letter case only: a reader that
// uses encoding/json would see another document.
func MembersOf(data []byte, names []string, visit func(name string, value jsontext.Value) error) error {
	return Members(data, func(name string, value jsontext.Value) error {
		if slices.Contains(names, name) {
			return visit(name, value) // nearly all are
		}
		for _, exact := range names {
			if strings.EqualFold(name, exact) {
				return fmt.Errorf("a member differs from %s only in case", exact)
			}
		}
		return visit(name, value)
	})
}

// SyntaxError replaces a syntax error of jsontext, which quotes what it read.
func SyntaxError(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return errors.New("duplicate member name")
	}
	return errors.New("malformed JSON")
}

// String returns the JSON string v. Anything else, null included, is an error.
func String(v jsontext.Value) (string, error) {
	if v.Kind() != '"' {
		return "", errors.New("not a string")
	}
	var buf [128]byte
	b, err := jsontext.AppendUnquote(buf[:0], v)
	if err != nil {
		return "", errors.New("malformed string")
	}
	return string(b), nil
}

// Strings returns the JSON array of strings v.
func Strings(v jsontext.Value) ([]string, error) {
	if v.Kind() != '[' {
		return nil, errors.New("not an array of strings")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(v))
	if _, err := dec.ReadToken(); err != nil {
		return nil, SyntaxError(err)
	}
	var list []string
	for dec.PeekKind() != ']' {
		elem, err := dec.ReadValue()
		if err != nil {
			return nil, SyntaxError(err)
		}
		s, err := String(elem)
		if err != nil {
			return nil, errors.New("not an array of strings")
		}
		list = append(list, s)
	}
	return list, nil
}

// maxNumericDate is the end of the year 9999.
const maxNumericDate = 253402300799

// NumericDate returns the JSON number v as seconds since the epoch (RFC 7519,
// section 2), fractions cut off. A string is not a number.
func NumericDate(v jsontext.Value) (time.Time, error) {
	if v.Kind() != '0' {
		return time.Time{}, errors.New("not a number")
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > maxNumericDate {
		return time.Time{}, errors.New("out of range")
	}
	return time.Unix(int64(f), 0), nil
}
