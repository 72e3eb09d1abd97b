package judge_test

import (
	"errors"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// What verifiers said is told, and they are asked as ever.
func TestExplainIssuers(t *testing.T) {
	t.Parallel()
	key := "key-0123456789abcdef"
	keys, err := token.NewAPIKeys("https://mcp.example.com/mcp", []token.APIKey{{Name: "ci", Hash: token.HashAPIKey(key)}})
	if err != nil {
		t.Fatal(err)
	}
	server := oauthtest.New(t, oauthtest.Options{})
	remote, err := token.NewUserinfo(token.UserinfoConfig{Issuer: server.Issuer(), Endpoint: server.Endpoint(oauthtest.Userinfo)})
	if err != nil {
		t.Fatal(err)
	}
	list := judge.Issuers{{Issuer: server.Issuer(), Verifiers: []*judge.Verifier{{Source: remote.Source()}, {Source: keys.Source()}}}}
	var answers []judge.Answer
	var presented *token.Presented
	ctx := judge.WithTrace(t.Context(), &judge.Trace{
		Presented: func(p *token.Presented, _ error) { presented = p },
		Answered:  func(a judge.Answer) { answers = append(answers, a) },
	})
	got, err := list.Judge(ctx, key)
	if presented == nil || presented.Raw != key {
		t.Errorf("got %+v as what was presented", presented)
	}
	if err != nil || got.Subject != "ci" || len(answers) != 1 || answers[0].Verifier != 1 || answers[0].Token != got {
		t.Errorf("got %+v, %+v, %v", answers, got, err)
	}
	if n := server.Count(oauthtest.Userinfo); n != 0 {
		t.Errorf("the issuer was shown an API key")
	}
	answers = nil
	_, err = list.Judge(ctx, "nobodys")
	if inv, ok := errors.AsType[*token.InvalidError](err); !ok || len(answers) != 2 || answers[0].Verifier != 1 || answers[1].Verifier != 0 {
		t.Errorf("got %+v, %v (%v)", answers, err, inv)
	}
}
