package caddymcpauth

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// newKeyCommand returns the command that makes an API key for [Static].
func newKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new-key [--name <name>] [--scope <scope>]...",
		Short: "Makes an API key and its line for the Caddyfile",
		Long: `
Makes a random API key for a caller that can't do OAuth. The first line on stdout
is the key, for the caller to send as a bearer token. The second line goes into
the block of the verifier 'static'; it has the key's SHA-256 only.

The key is not stored: if you lose it, make a new one.

--name
    Who the key is for. It is the user of the key's requests, so each key needs
    another one.

--scope
    A scope of the key. May be repeated. If omitted, the key has none.
`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := cmd.Flags().GetString("name")
			if err != nil {
				return err
			}
			scopes, err := cmd.Flags().GetStringArray("scope")
			if err != nil {
				return err
			}
			cmd.SilenceUsage = true
			key := token.NewAPIKey()
			line, err := keyLine(name, key, strings.Fields(strings.Join(scopes, " ")))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", key, line)
			return err
		},
	}
	cmd.Flags().StringP("name", "n", "ci", "Who the key is for")
	cmd.Flags().StringArrayP("scope", "s", nil, "A scope of the key; may be repeated")
	return cmd
}

// keyLine returns the line of a Caddyfile that accepts key.
func keyLine(name, key string, scopes []string) (string, error) {
	hash := token.HashAPIKey(key)
	if _, err := token.NewAPIKeys("any", []token.APIKey{{Name: name, Hash: hash, Scopes: scopes}}); err != nil {
		return "", err
	}
	words := append([]string{"key", name, hex.EncodeToString(hash[:])}, scopes...)
	for _, word := range words {
		if strings.ContainsAny(word, " \"`{}#\\") || strings.Contains(word, "<<") {
			return "", fmt.Errorf("%q is not a plain word in a Caddyfile: use letters, digits, and punctuation such as - . _ : /", word)
		}
	}
	return strings.Join(words, " "), nil
}
