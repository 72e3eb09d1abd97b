package token_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func TestCheckPrefixes(t *testing.T) {
	t.Parallel()
	for _, good := range [][]string{nil, {"a"}, {"ory_at_"}, {"a_", "a_b"}, {"00D!"}, {"m"}} {
		if err := token.CheckPrefixes(good); err != nil {
			t.Errorf("%q: got %v, want no error", good, err)
		}
	}
	for _, bad := range [][]string{{""}, {"a", ""}, {"a", "a"}, {"a,b"}, {"a b"}, {"a\n"}, {"é"}, {`"a"`}, {`a\`}, {"mcpk_"}, {"mcpk_x"}} {
		if err := token.CheckPrefixes(bad); err == nil {
			t.Errorf("%q: got no error, want one", bad)
		}
	}
}
