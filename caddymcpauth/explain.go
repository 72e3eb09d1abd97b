package caddymcpauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// explainer says how a handler decides about a token.
type explainer struct {
	*Handler
	// verifiers are the names of the verifiers of each issuer.
	verifiers [][]string
	// request is what a client would send, without a token.
	request *http.Request
	// findings and broken are about where the handler stands.
	findings []layoutFinding
	broken   error
}

// explanation is how a front door judges a token.
type explanation struct {
	Resource string       `json:"resource"`
	Steps    []token.Step `json:"steps"`
	// Status is what the client gets; 200 stands for whatever the next handler
	// answers.
	Status   int    `json:"status"`
	Error    string `json:"error,omitempty"`
	Sentence string `json:"error_description,omitempty"`
	// Denied says that the request isn't let in, whatever the status is. RPCError is
	// the code of the JSON-RPC error in the answer.
	Denied   bool `json:"denied,omitempty"`
	RPCError int  `json:"rpc_error,omitempty"`
	// Subject is the user, if the token is accepted.
	Subject string `json:"subject,omitempty"`
}

func (x *explanation) add(steps ...token.Step) { x.Steps = append(x.Steps, steps...) }

// explain lets the handler decide about a request with the token raw.
func (e explainer) explain(ctx context.Context, raw string) *explanation {
	x := &explanation{Resource: e.Resource, Status: http.StatusOK}
	for _, iss := range e.Issuers {
		// Another mcp_auth of this resource may have accepted it just now, and nothing
		// is traced for a token that is remembered as good.
		iss.forget(raw)
	}
	var j judgement
	var sender senderTrace
	r := e.request.Clone(withSenderTrace(judge.WithTrace(ctx, j.trace()), &sender))
	r.Header.Set("Authorization", "Bearer "+raw)
	d := e.decide(r)
	if d.step == stepBearer && d.outcome == refused {
		x.add(token.Step{
			Rule: "form", Outcome: token.Failed, Detail: "not a bearer token: it has characters that bearer tokens can't contain",
			Cure: "pass the access token alone, without quotes and line breaks",
		})
	} else {
		e.explainToken(x, d, &j)
	}
	if d.token != nil {
		e.explainSender(x, d, sender)
	}
	if d.token != nil && d.step != stepSender {
		e.explainScopes(x, d)
		e.explainPolicy(x, d)
		e.explainSessions(x)
		e.explainAssertion(x, d)
	}
	ref := d.refusal
	if no := e.explainExchange(x, d); no != nil {
		ref = no
	}
	for _, f := range e.findings {
		x.add(token.Step{Rule: "layout", Outcome: token.Unknown, Detail: f.message, Cure: f.cure})
	}
	if e.broken != nil && ref == nil {
		x.add(token.Step{Rule: "layout", Outcome: token.Failed, Detail: e.broken.Error(), Cure: "give each mcp_auth a matcher of its own, so that no request passes two"})
		ref = refuseNoCredentials()
	}
	if ref == nil {
		x.Subject = d.token.Subject
		return x
	}
	x.Status, x.Error, x.Sentence = ref.status, ref.code, ref.sentence
	x.Denied, x.RPCError = true, ref.rpc
	return x
}

// judgement is what happened when a token was judged.
type judgement struct {
	presented *token.Presented // nil if the token is malformed
	err       error            // why it is
	answers   []judge.Answer
}

func (j *judgement) trace() *judge.Trace {
	return &judge.Trace{
		Presented: func(p *token.Presented, err error) { j.presented, j.err = p, err },
		Answered:  func(a judge.Answer) { j.answers = append(j.answers, a) },
	}
}

// print writes the explanation for people.
func (x *explanation) print(p *printer) {
	p.printf("MCP server %s\n\n", x.Resource)
	for _, s := range x.Steps {
		p.line(string(s.Outcome), s.Rule, s.Detail)
		if s.Cure != "" {
			p.line("", "", "-> "+s.Cure)
		}
	}
	switch {
	case !x.Denied:
		p.printf("\naccepted: the request goes on, for user %s\n", discovery.Quote(x.Subject))
	case x.Status == http.StatusServiceUnavailable:
		p.printf("\ncould not find out: the client gets %d %s: %s\n", x.Status, x.Error, x.Sentence)
	default:
		p.printf("\nrefused: the client gets %s: %s\n", x.refusedAs(), x.Sentence)
	}
}

// explainToken adds the result of judging the token.
func (e explainer) explainToken(x *explanation, d decision, j *judgement) {
	x.add(token.ExplainForm(d.raw, j.presented, j.err)...)
	if j.err != nil {
		return
	}
	if jws := j.presented.JWS; jws != nil && !slices.Contains(e.issuerNames(), jws.Issuer) {
		x.add(token.Step{
			Rule: "issuer", Outcome: token.Failed, Detail: fmt.Sprintf("iss is %s, which is not configured; configured are %q", discovery.Quote(jws.Issuer), e.issuerNames()),
			Cure: e.cure(token.UnknownIssuer),
		})
		return
	}
	now := time.Now()
	for i, answer := range j.answers {
		if issuer := e.issuers[answer.Issuer].Issuer; i == 0 || j.answers[i-1].Issuer != answer.Issuer {
			x.add(token.Step{Rule: "issuer", Outcome: token.Passed, Detail: issuer})
		}
		x.add(e.explainAnswer(j.presented, answer, now)...)
	}
	if d.token == nil && len(j.answers) == 0 {
		step := token.ExplainVerdict("verifier", nil, d.refusal.cause, now)
		step.Cure = "add a verifier for such tokens to the issuer: introspection or userinfo for opaque ones, jwt for signed JWTs"
		x.add(step)
	}
}

// explainAnswer returns what a verifier said.
func (e explainer) explainAnswer(p *token.Presented, answer judge.Answer, now time.Time) []token.Step {
	name := e.verifiers[answer.Issuer][answer.Verifier]
	steps := []token.Step{token.ExplainVerdict(name, answer.Token, answer.Err, now)}
	if name == "jwt" && p.JWS != nil {
		steps = token.ExplainJWT(p, answer.Err, now)
		for i := range steps {
			steps[i].Rule = "jwt: " + steps[i].Rule
		}
	}
	cure := ""
	if inv, ok := errors.AsType[*token.InvalidError](answer.Err); ok {
		cure = e.cure(inv.Reason)
	} else if answer.Err != nil {
		cure = "check that the authorization server is running and reachable from here: caddy mcp-auth check " + e.issuers[answer.Issuer].Issuer
	}
	for i := range steps {
		if steps[i].Outcome == token.Failed || steps[i].Outcome == token.Unknown {
			steps[i].Cure = cure
		}
	}
	return steps
}

// cure says what to do about a token that was refused for a reason.
func (e explainer) cure(reason token.Reason) string {
	switch reason {
	case token.WrongAudience:
		return "have the authorization server put " + e.Resource + " into aud: clients ask for it with the parameter resource (RFC 8707), some servers have a setting for audiences; if it can't, name what it puts there with `audience` in the block of the issuer"
	case token.Expired:
		return "get a new token; if it is new, set the clocks of this machine and of the authorization server"
	case token.NotYetValid:
		return "set the clocks of this machine and of the authorization server; `leeway` of jwt tolerates a few seconds"
	case token.UnknownIssuer:
		return "write `issuer` exactly as the token has it, a slash at the end included, if that is your authorization server"
	case token.WrongAlgorithm:
		return "have the authorization server sign with an asymmetric algorithm, such as ES256 or RS256, that `algorithms` of jwt allows"
	case token.WrongType:
		return "send an access token, not an ID token or a refresh token"
	case token.UnknownKey:
		return "check that this authorization server signed the token, and that its jwks_uri has the key"
	case token.BadSignature:
		return "copy the whole token; if it is whole, it was not signed by this authorization server"
	case token.SenderConstrained:
		return "this token is bound to something other than a DPoP key or a client certificate: have the client ask for another"
	case token.BadClaims:
		return "have the authorization server put exp and sub into its access tokens (RFC 9068, section 2.2)"
	case token.Inactive:
		return "get a new token: this one has expired, was revoked, or comes from another authorization server"
	default:
		return "get a new token from the authorization server"
	}
}

// explainSender adds what the good token is bound to. The proof isn't here, nor is the
// client's connection.
func (e explainer) explainSender(x *explanation, d decision, sender senderTrace) {
	if d.step == stepSender {
		cure := "set `dpop accepted`, so that clients can prove that they have the key"
		switch {
		case d.refusal.reason == reasonUnbound:
			cure = "have the client ask for a token with a DPoP proof, at an authorization server that issues bound ones; or set `dpop accepted`"
		case d.token.Binding.Certificate != "" && !e.ClientCertificates:
			cure = "set `client_certificates`, and have the site ask for certificates: tls { client_auth { mode request } }"
		}
		x.add(token.Step{Rule: "sender", Outcome: token.Failed, Detail: d.refusal.cause.Error(), Cure: cure})
		return
	}
	if sender.key {
		x.add(token.Step{Rule: "sender", Outcome: token.Unknown, Detail: "bound to a key: each request needs a DPoP proof of it, which can't be checked here"})
	}
	if sender.certificate {
		x.add(token.Step{Rule: "sender", Outcome: token.Unknown, Detail: "bound to a client certificate, which can't be checked here"})
	}
}

func (h *Handler) issuerNames() (names []string) {
	for _, iss := range h.issuers {
		names = append(names, iss.Issuer)
	}
	return names
}

// explainScopes adds the result of checking the good token's scopes.
func (e explainer) explainScopes(x *explanation, d decision) {
	granted := "granted " + discovery.Quote(strings.Join(d.token.Scopes, " "))
	switch {
	case d.outcome == refused && d.step == stepScopes:
		var missing []string
		for _, scope := range d.refusal.scopes {
			if !e.hierarchy.Satisfied(d.token.Scopes, []string{scope}) {
				missing = append(missing, scope)
			}
		}
		x.add(token.Step{
			Rule: "scopes", Outcome: token.Failed, Detail: "missing " + strings.Join(missing, " ") + "; " + granted,
			Cure: "have the client ask for it, and the authorization server grant it to this user and client; or take it out of `scopes`",
		})
	case len(e.Scopes) == 0:
		x.add(token.Step{Rule: "scopes", Outcome: token.Passed, Detail: "none needed; " + granted})
	default:
		x.add(token.Step{Rule: "scopes", Outcome: token.Passed, Detail: granted})
	}
}
