package clientdoc

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// checkDocument returns an error unless body is one JSON object whose client_id
// is id, byte for byte (section 4 of the draft). The names of members are exact:
// encoding/json would take Client_ID for it. Duplicate names, which let two
// parsers see two documents, invalid UTF-8 and trailing data are errors, at any
// depth. The errors don't quote the body.
func checkDocument(body []byte, id string) error {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if dec.PeekKind() != '{' {
		return errors.New("the document is not a JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return errors.New("the document is not a JSON object")
	}
	found := false
	for dec.PeekKind() != '}' {
		token, err := dec.ReadToken()
		if err != nil {
			return syntaxError(err)
		}
		if token.String() != "client_id" {
			if err := dec.SkipValue(); err != nil {
				return syntaxError(err)
			}
			continue
		}
		token, err = dec.ReadToken()
		if err != nil {
			return syntaxError(err)
		}
		if token.Kind() != '"' || token.String() != id {
			return errors.New("client_id in the document is not its URL")
		}
		found = true
	}
	if _, err := dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("there is data after the JSON object")
	}
	if !found {
		return errors.New("the document has no client_id")
	}
	return nil
}

// syntaxError replaces an error of jsontext, which quotes what it read.
func syntaxError(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return errors.New("the document has a duplicate member name")
	}
	return errors.New("the document is malformed JSON")
}
