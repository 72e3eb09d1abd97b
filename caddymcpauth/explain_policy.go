package caddymcpauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// question is the message that explain asks about.
type question struct {
	tool, prompt, uri, method string
	arguments                 string
}

// message returns the message in JSON-RPC. Without any flag, it is the first
// request of every client.
func (q question) message() ([]byte, error) {
	type params map[string]any
	method, p := "initialize", params{}
	asked := 0
	for _, one := range []struct{ value, method, name string }{
		{q.tool, "tools/call", "name"},
		{q.prompt, "prompts/get", "name"},
		{q.uri, "resources/read", "uri"},
		{q.method, q.method, ""},
	} {
		if one.value == "" {
			continue
		}
		asked++
		method = one.method
		if one.name != "" {
			p[one.name] = one.value
		}
	}
	if asked > 1 {
		return nil, errors.New("--tool, --prompt, --uri and --method ask about different things: give one of them")
	}
	if q.arguments != "" {
		if q.tool == "" && q.prompt == "" && q.method == "" {
			return nil, errors.New("--args are the arguments of a --tool or a --prompt")
		}
		if !json.Valid([]byte(q.arguments)) {
			return nil, errors.New(`--args is not JSON: write an object, such as '{"amount":5}'`)
		}
		p["arguments"] = json.RawMessage(q.arguments)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": p})
	return bytes.TrimSpace(b.Bytes()), err
}

// ask puts message into the explainer's request.
func (e *explainer) ask(message []byte) {
	if e.policy == nil {
		return
	}
	e.request.Header.Set("Content-Type", "application/json")
	e.request.Body, e.request.ContentLength = io.NopCloser(bytes.NewReader(message)), int64(len(message))
}

// explainPolicy adds how the rules judged the request.
func (e explainer) explainPolicy(x *explanation, d decision) {
	if d.outcome == refused && d.step != stepOperation || e.policy == nil {
		return
	}
	if d.judged == nil {
		if d.outcome == refused {
			x.add(token.Step{Rule: "message", Outcome: token.Failed, Detail: d.refusal.sentence, Cure: "ask for what a client would send"})
		}
		return
	}
	j := d.judged.decision
	step := token.Step{Rule: "rules", Outcome: token.Passed, Detail: reasonText(j), Cure: ruleCure(j)}
	if j.Outcome != policy.Allowed {
		step.Outcome = token.Failed
	}
	if j.Rule.Kind != "" {
		step.Detail = fmt.Sprintf("%s line %d (%s): %s", j.Rule.Kind, j.Rule.Number, j.Rule.Text, step.Detail)
	}
	if j.Missing != "" {
		step.Detail += "; missing " + j.Missing
	}
	if j.Cause != nil {
		step.Detail += "; " + j.Cause.Error()
	}
	x.add(step)
}

func reasonText(d policy.Decision) string {
	switch d.Reason {
	case policy.ReasonLine:
		return "allowed"
	case policy.ReasonOpen:
		return "no rule is about it, so every caller that gets in may"
	case policy.ReasonUnnamed:
		return "there are lines of this kind, and none names it"
	case policy.ReasonUnknown:
		return "not a method that is open to every caller, and no line of methods names it"
	case policy.ReasonNobody:
		return "nobody may"
	case policy.ReasonRequire:
		return "a condition of require doesn't hold"
	case policy.ReasonNeed:
		return "the conditions of need don't hold"
	case policy.ReasonWhen:
		return "the expression of when isn't true"
	case policy.ReasonScope:
		return "a scope is missing"
	case policy.ReasonFolded:
		return "the name fits another line but for letter case, width or blanks"
	case policy.ReasonURI:
		return "the URI is not in normal form (RFC 3986, section 6.2)"
	case policy.ReasonArguments:
		return "the name of an argument can be taken for another"
	default:
		return string(d.Reason)
	}
}

// ruleCure says what to do if the operator meant something else.
func ruleCure(d policy.Decision) string {
	switch d.Reason {
	case policy.ReasonUnnamed, policy.ReasonUnknown:
		return "write a line that names it"
	case policy.ReasonScope:
		if d.Outcome == policy.LacksScope {
			return "have the client ask for it: those that can step up do so by themselves when they get the challenge"
		}
		return "add the scope to the line of the API key"
	case policy.ReasonFolded:
		return "write the name as the server has it; if that is how it is written, name it in a line without *"
	case policy.ReasonNeed, policy.ReasonRequire:
		return "have the authorization server put it into the token; a claim that is absent meets neither claim nor not claim"
	case policy.ReasonWhen:
		return "give the arguments with --args, if it reads them"
	default:
		return ""
	}
}

// printRules writes the rules as the front door understands them.
func (e explainer) printRules(p *printer) {
	p.printf("MCP server %s\n\n", e.Resource)
	if e.policy == nil {
		p.printf("no rules: every caller that gets in may do everything\n")
		return
	}
	if e.Anonymous {
		p.printf("%-12s the base protocol and the lists are open without a token\n", "anonymous")
	}
	if scopes := e.firstScopes(nil); len(scopes) > 0 {
		p.printf("%-12s clients that sign in are asked for: %s\n", "sign-in", strings.Join(scopes, " "))
	}
	for i, need := range e.Require {
		p.printf("require:%d    require %s\n", i+1, need)
	}
	for _, kind := range []struct {
		name  string
		lines []policy.Line
		open  string
	}{
		{"tools", e.Tools, "every tool is open to every caller that gets in"},
		{"prompts", e.Prompts, "every prompt is open to every caller that gets in"},
		{"resources", e.Resources, "every resource is open to every caller that gets in"},
		{"methods", e.Methods, ""},
	} {
		for i, line := range kind.lines {
			p.printf("%-12s %s %s\n", fmt.Sprintf("%s:%d", kind.name, i+1), kind.name, line)
		}
		switch {
		case len(kind.lines) == 0 && kind.open != "":
			p.printf("%-12s no lines: %s\n", kind.name, kind.open)
		case kind.name != "methods":
			p.printf("%-12s what no line names is denied\n", kind.name)
		case e.policy.ReadsMessages():
			p.printf("%-12s the base protocol, the lists and tasks are open unless a line names them; others are denied\n", kind.name)
		}
	}
}

// refusedAs says what the client gets.
func (x *explanation) refusedAs() string {
	switch {
	case x.RPCError != 0 && x.Status == http.StatusOK:
		return fmt.Sprintf("200 with the JSON-RPC error %d", x.RPCError)
	case x.Denied && x.Status == http.StatusOK:
		return "200 with an empty result"
	}
	return strings.TrimSpace(fmt.Sprint(x.Status, " ", x.Error))
}
