package token_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// BenchmarkReader is what three claims of a known JWT cost a request.
func BenchmarkReader(b *testing.B) {
	srv := oauthtest.New(b, oauthtest.Options{Algorithm: "ES256"})
	tok := token.New(token.Token{}, []byte(`{"aud":"https://mcp.example.com/mcp","azp":"client-1","client_id":"client-1","email":"ada@example.com","exp":1795645439,"iat":1795645139,"iss":"`+srv.Issuer()+`","jti":"0123456789abcdef","name":"Ada Lovelace","scope":"read write","sub":"user-1"}`))
	b.ReportAllocs()
	for b.Loop() {
		r := token.NewReader(tok)
		r.Text("email")
		r.Text("name")
		r.Text("groups")
	}
}
