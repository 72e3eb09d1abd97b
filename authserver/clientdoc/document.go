package clientdoc

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

var errOtherClient = errors.New("client_id in the document is not its URL")

// checkDocument returns an error unless body is one JSON object whose client_id
// is exactly id (section 4 of the draft). The errors don't quote the body.
func checkDocument(body []byte, id string) error {
	found := false
	err := strictjson.Members(body, func(name string, value jsontext.Value) error {
		if name != "client_id" {
			return nil
		}
		if s, err := strictjson.String(value); err != nil || s != id {
			return errOtherClient
		}
		found = true
		return nil
	})
	switch {
	case errors.Is(err, errOtherClient):
		return err
	case err != nil:
		return fmt.Errorf("the document: %w", err)
	case !found:
		return errors.New("the document has no client_id")
	}
	return nil
}
