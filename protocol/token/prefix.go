package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// CheckPrefixes returns an error unless prefixes can be those of a verifier that
// asks an issuer.
func CheckPrefixes(prefixes []string) error {
	for i, prefix := range prefixes {
		switch {
		case prefix == "":
			return errors.New("an empty prefix, which every token has")
		case strings.HasPrefix(prefix, APIKeyPrefix):
			return fmt.Errorf("%q is for API keys, which are sent to nobody", prefix)
		case strings.ContainsFunc(prefix, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '"' || r == '\\' }):
			return fmt.Errorf("%q can't begin a token: separate prefixes by spaces, without quotes or commas inside", prefix)
		case slices.Contains(prefixes[:i], prefix):
			return fmt.Errorf("%q is given twice", prefix)
		}
	}
	return nil
}
