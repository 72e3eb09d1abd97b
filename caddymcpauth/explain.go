package caddymcpauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/token"
)

// explainer retells how a handler judges a token.
type explainer struct {
	*Handler
	// verifiers are the names of the verifiers of each issuer.
	verifiers [][]string
}

// loadExplainers provisions the handlers of a configuration, those of one
// resource if only is not empty, and nothing else of it: the user of the command
// may not be the one that may read the server's certificates and logs. Call
// the returned function when done.
func loadExplainers(config []byte, only string) ([]explainer, context.CancelFunc, error) {
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, nil, fmt.Errorf("reading the configuration: %w", err)
	}
	base, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "WARN"}}}},
		AppsRaw: caddy.ModuleMap{"events": json.RawMessage(`{}`)},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("provisioning a context: %w", err)
	}
	ctx, cancel := caddy.NewContext(base)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	var list []explainer
	var resources []string
	for _, raw := range findHandlers(doc) {
		var e explainer
		var module any
		if module, err = ctx.LoadModuleByID("http.handlers.mcp_auth", raw); err != nil {
			return nil, nil, fmt.Errorf("provisioning mcp_auth: %w", err)
		}
		e.Handler = module.(*Handler)
		if e.verifiers, err = verifierNames(raw); err != nil {
			return nil, nil, err
		}
		resources = append(resources, e.Resource)
		if only == "" || resource.Same(only, e.Resource) {
			list = append(list, e)
		}
	}
	switch {
	case len(resources) == 0:
		err = errors.New("the configuration has no mcp_auth")
	case len(list) == 0:
		err = fmt.Errorf("the configuration has no mcp_auth for %q, only for %q", only, resources)
	}
	if err != nil {
		return nil, nil, err
	}
	return list, cancel, nil
}

// findHandlers returns the different mcp_auth handlers in a configuration,
// wherever they are: in routes, subroutes, named routes, other handlers.
func findHandlers(doc any) (found []json.RawMessage) {
	switch v := doc.(type) {
	case map[string]any:
		if v["handler"] == "mcp_auth" {
			delete(v, "handler") // what Caddy does before it loads the module
			if raw, err := json.Marshal(v); err == nil {
				found = append(found, raw)
			}
			return found
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			found = append(found, findHandlers(v[key])...)
		}
	case []any:
		for _, elem := range v {
			found = append(found, findHandlers(elem)...)
		}
	}
	var different []json.RawMessage
	for _, raw := range found {
		if !slices.ContainsFunc(different, func(other json.RawMessage) bool { return bytes.Equal(raw, other) }) {
			different = append(different, raw)
		}
	}
	return different
}

func verifierNames(handler json.RawMessage) ([][]string, error) {
	var settings struct {
		Issuers []struct {
			Verifiers []struct {
				Verifier string `json:"verifier"`
			} `json:"verifiers"`
		} `json:"issuers"`
	}
	if err := json.Unmarshal(handler, &settings); err != nil {
		return nil, err
	}
	var names [][]string
	for _, iss := range settings.Issuers {
		var list []string
		for _, v := range iss.Verifiers {
			list = append(list, v.Verifier)
		}
		if len(list) == 0 {
			list = []string{"jwt"}
		}
		names = append(names, list)
	}
	return names, nil
}

// explain prints how the handler judges the token raw, and returns the status
// that a client would get; 200 stands for whatever the next handler answers.
func (e explainer) explain(ctx context.Context, p *printer, raw string) int {
	p.printf("MCP server %s\n\n", e.Resource)
	t, ref := e.judge(ctx, p, raw)
	if ref == nil {
		ref = e.explainScopes(p, t)
	}
	if ref == nil {
		p.printf("\naccepted: the request goes on, for user %s\n", discovery.Quote(t.Subject))
		return http.StatusOK
	}
	verdict := "refused"
	if ref.status == http.StatusServiceUnavailable {
		verdict = "could not find out"
	}
	p.printf("\n%s: the client gets %d %s: %s\n", verdict, ref.status, ref.code, ref.sentence)
	return ref.status
}

func (e explainer) judge(ctx context.Context, p *printer, raw string) (*token.Token, *refusal) {
	if !tokenCharacters(e.issuers).make(raw) {
		p.step(token.Step{Rule: "form", Outcome: token.Failed, Detail: "not a bearer token: it has characters that can't be in one"})
		return nil, refuseRequest("malformed")
	}
	presented, err := token.Present(raw)
	p.steps(token.ExplainForm(raw, presented, err))
	if err != nil {
		return nil, refuseToken(err)
	}
	answers, t, err := e.issuers.Explain(ctx, presented)
	if jws := presented.JWS; jws != nil && !slices.ContainsFunc(e.issuers, func(iss token.IssuerVerifiers) bool { return iss.Issuer == jws.Issuer }) {
		p.step(token.Step{Rule: "issuer", Outcome: token.Failed, Detail: fmt.Sprintf("iss is %s, which is not configured; configured are %q", discovery.Quote(jws.Issuer), e.issuerNames())})
		return nil, refuseToken(err)
	}
	now := time.Now()
	for i, answer := range answers {
		if issuer := e.issuers[answer.Issuer].Issuer; i == 0 || answers[i-1].Issuer != answer.Issuer {
			p.step(token.Step{Rule: "issuer", Outcome: token.Passed, Detail: issuer})
		}
		name := e.verifiers[answer.Issuer][answer.Verifier]
		if name != "jwt" || presented.JWS == nil {
			p.step(token.ExplainVerdict(name, answer.Token, answer.Err, now))
			continue
		}
		steps := token.ExplainJWT(presented, answer.Err, now)
		for i := range steps {
			steps[i].Rule = "jwt: " + steps[i].Rule
		}
		p.steps(steps)
	}
	if err != nil {
		if len(answers) == 0 {
			p.step(token.ExplainVerdict("verifier", nil, err, now))
		}
		return nil, refuseToken(err)
	}
	return t, nil
}

func (e explainer) issuerNames() (names []string) {
	for _, iss := range e.issuers {
		names = append(names, iss.Issuer)
	}
	return names
}

func (e explainer) explainScopes(p *printer, t *token.Token) *refusal {
	var missing []string
	for _, scope := range e.Scopes {
		if !e.hierarchy.Satisfied(t.Scopes, []string{scope}) {
			missing = append(missing, scope)
		}
	}
	granted := "granted " + discovery.Quote(strings.Join(t.Scopes, " "))
	switch {
	case len(missing) > 0:
		p.step(token.Step{Rule: "scopes", Outcome: token.Failed, Detail: "missing " + strings.Join(missing, " ") + "; " + granted})
		return refuseScope()
	case len(e.Scopes) == 0:
		p.step(token.Step{Rule: "scopes", Outcome: token.Passed, Detail: "none needed; " + granted})
	default:
		p.step(token.Step{Rule: "scopes", Outcome: token.Passed, Detail: granted})
	}
	return nil
}

func (p *printer) step(s token.Step) { p.line(string(s.Outcome), s.Rule, s.Detail) }

func (p *printer) steps(steps []token.Step) {
	for _, s := range steps {
		p.step(s)
	}
}
