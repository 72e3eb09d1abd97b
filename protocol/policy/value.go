package policy

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"math/bits"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

var (
	errNotObject  = errors.New("not a JSON object")
	errOutOfRange = errors.New("a number is out of range")
	errTooMany    = errors.New("more values than an expression may look at")
	errRounded    = errors.New("an argument has an integer that servers in JavaScript round")
)

func newBuffer(b []byte) *bytes.Buffer { return bytes.NewBuffer(b) }

// decodeObject decodes a JSON object for expressions. Integers are exact: a float64
// would make 2^53+1 equal to 2^53. An integer that fits neither int64 nor uint64, and
// every other number, becomes a float64. A number that doesn't fit a float64 either,
// such as 1e400, is an error: to one reader it would be infinity, and another would
// refuse it.
//
// It also returns the names of the members in which there are integers that readers
// with float64 round, such as those in JavaScript: 2^53+1 is 2^53 to them.
func decodeObject(data []byte) (object map[string]any, rounded []string, err error) {
	d := newDecoder(data)
	if d.PeekKind() != '{' {
		return nil, nil, errNotObject
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, nil, strictjson.SyntaxError(err)
	}
	object, err = d.object(func(name string) {
		if d.rounds {
			rounded = append(rounded, name)
		}
		d.rounds = false
	})
	return object, rounded, err
}

// maxValues bounds how many values are decoded for one expression: each takes many
// times the memory of its text.
const maxValues = 100_000

// decoder decodes JSON for expressions.
type decoder struct {
	*jsontext.Decoder
	left   int  // how many values more there may be
	rounds bool // whether there was an integer that some readers round
}

func newDecoder(data []byte) *decoder {
	return &decoder{Decoder: jsontext.NewDecoder(newBuffer(data)), left: maxValues}
}

func (d *decoder) value() (any, error) {
	if d.left--; d.left < 0 {
		return nil, errTooMany
	}
	tok, err := d.ReadToken()
	if err != nil {
		return nil, strictjson.SyntaxError(err)
	}
	switch tok.Kind() {
	case '{':
		return d.object(func(string) {})
	case '[':
		array := []any{}
		for d.PeekKind() != ']' {
			elem, err := d.value()
			if err != nil {
				return nil, err
			}
			array = append(array, elem)
		}
		_, err = d.ReadToken()
		return array, err
	case '"':
		return tok.String(), nil
	case '0':
		value, rounds, err := number(tok.String())
		d.rounds = d.rounds || rounds
		return value, err
	case 't', 'f':
		return tok.Bool(), nil
	default:
		return nil, nil
	}
}

// object decodes what follows the brace of an object, and calls read after each member.
func (d *decoder) object(read func(name string)) (map[string]any, error) {
	object := make(map[string]any)
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, strictjson.SyntaxError(err)
		}
		key := name.String()
		if object[key], err = d.value(); err != nil {
			return nil, err
		}
		read(key)
	}
	_, err := d.ReadToken()
	return object, err
}

// number returns the value of a number, and whether it is an integer that a float64
// doesn't hold.
func number(text string) (value any, rounds bool, err error) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		abs := uint64(i)
		if i < 0 {
			abs = -abs
		}
		return i, !fits(bits.Len64(abs), bits.TrailingZeros64(abs)), nil
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return u, !fits(bits.Len64(u), bits.TrailingZeros64(u)), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, false, errOutOfRange
	}
	// It has at most 309 digits, or it would be out of range.
	if n, integer := new(big.Int).SetString(text, 10); integer {
		rounds = !fits(n.BitLen(), int(n.TrailingZeroBits()))
	}
	return f, rounds, nil
}

// fits reports whether a float64 holds an integer of so many bits, the last of which
// are zeros.
func fits(length, zeros int) bool { return length-zeros <= 53 }
