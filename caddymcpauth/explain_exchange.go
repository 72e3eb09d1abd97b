package caddymcpauth

import (
	"fmt"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/exchange"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// explainExchange says whether the token of an accepted request would be exchanged. It
// exchanges nothing. The result is the refusal of a token that isn't, nil if it would be.
func (e explainer) explainExchange(x *explanation, d decision) *refusal {
	if e.Exchange == nil || d.outcome != accepted {
		return nil
	}
	iss, err := e.Exchange.issuerOf(e.Handler)
	if err != nil {
		return nil // provisioning would have failed
	}
	t := token.NewReader(d.token).Token()
	if t.Issuer != iss.Issuer || t.Type != token.UserSubject {
		x.add(token.Step{
			Rule: "exchange", Outcome: token.Failed, Detail: fmt.Sprintf("the token is not that of a user of %s, so there is nobody to exchange it for", iss.Issuer),
			Cure: "use the token of a user; give API keys and clients a door of their own, without exchange",
		})
		return e.refuseExchange(d, &exchange.Error{Kind: exchange.NoUser})
	}
	x.add(token.Step{Rule: "exchange", Outcome: token.Passed, Detail: fmt.Sprintf("at %s, for %s; not tried here", iss.Issuer, discovery.Quote(e.Exchange.target()))})
	return nil
}
