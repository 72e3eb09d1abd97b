package policy

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

var (
	errNotObject  = errors.New("not a JSON object")
	errOutOfRange = errors.New("a number is out of range")
	errTooMany    = errors.New("more values than an expression may look at")
)

func newBuffer(b []byte) *bytes.Buffer { return bytes.NewBuffer(b) }

// decodeObject decodes a JSON object for expressions. Integers are exact: a float64
// would make 2^53+1 equal to 2^53. An integer that fits neither int64 nor uint64, and
// every other number, becomes a float64. A number that doesn't fit a float64 either,
// such as 1e400, is an error: to one reader it would be infinity, and another would
// refuse it.
func decodeObject(data []byte) (map[string]any, error) {
	dec := jsontext.NewDecoder(newBuffer(data))
	if dec.PeekKind() != '{' {
		return nil, errNotObject
	}
	v, err := decodeValue(dec)
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil
}

// maxValues bounds how many values are decoded for one expression: each takes many
// times the memory of its text.
const maxValues = 100_000

func decodeValue(dec *jsontext.Decoder) (any, error) {
	left := maxValues
	return decodeValues(dec, &left)
}

func decodeValues(dec *jsontext.Decoder, left *int) (any, error) {
	if *left--; *left < 0 {
		return nil, errTooMany
	}
	tok, err := dec.ReadToken()
	if err != nil {
		return nil, strictjson.SyntaxError(err)
	}
	switch tok.Kind() {
	case '{':
		object := make(map[string]any)
		for dec.PeekKind() != '}' {
			name, err := dec.ReadToken()
			if err != nil {
				return nil, strictjson.SyntaxError(err)
			}
			key := name.String()
			if object[key], err = decodeValues(dec, left); err != nil {
				return nil, err
			}
		}
		_, err = dec.ReadToken()
		return object, err
	case '[':
		array := []any{}
		for dec.PeekKind() != ']' {
			elem, err := decodeValues(dec, left)
			if err != nil {
				return nil, err
			}
			array = append(array, elem)
		}
		_, err = dec.ReadToken()
		return array, err
	case '"':
		return tok.String(), nil
	case '0':
		return number(tok.String())
	case 't', 'f':
		return tok.Bool(), nil
	default:
		return nil, nil
	}
}

func number(text string) (any, error) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, nil
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return u, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, errOutOfRange
	}
	return f, nil
}
