package caddymcpauth

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/assertion"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// explainAssertion says what the server behind is told about the sender of an accepted
// request. It signs nothing: the user of the command may not have access to the keys,
// and must not make any.
func (e explainer) explainAssertion(x *explanation, d decision) {
	a := e.Assertion
	if a == nil || d.outcome != accepted {
		return
	}
	detail := fmt.Sprintf("%s for %s, at most %s", cmp.Or(a.headerName(), "Authorization"), discovery.Quote(a.Audience),
		cmp.Or(time.Duration(a.Lifetime), assertion.DefaultLifetime))
	reader := token.NewReader(d.token)
	var with, without []string
	for _, name := range a.Claims {
		if reader.Claim(name) != nil {
			with = append(with, name)
		} else {
			without = append(without, name)
		}
	}
	if len(with) > 0 {
		detail += ", with " + strings.Join(with, " ")
	}
	if len(without) > 0 {
		detail += "; the token has no " + strings.Join(without, " ")
	}
	x.add(token.Step{Rule: "assertion", Outcome: token.Passed, Detail: detail})
}
