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
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// explainer retells how a handler judges a token.
type explainer struct {
	*Handler
	// verifiers are the names of the verifiers of each issuer.
	verifiers [][]string
	// findings and broken are about where the handler stands.
	findings []layoutFinding
	broken   error
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
		e.findings, e.broken = layoutIn(ctx, config, e.Handler)
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

// layoutIn looks at where a handler stands in a configuration, of which only the
// matchers are set up for that.
func layoutIn(ctx caddy.Context, config []byte, h *Handler) ([]layoutFinding, error) {
	var parsed struct {
		Apps struct {
			HTTP struct {
				Servers map[string]json.RawMessage `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if json.Unmarshal(config, &parsed) != nil {
		return nil, nil
	}
	var findings []layoutFinding
	for _, name := range slices.Sorted(maps.Keys(parsed.Apps.HTTP.Servers)) {
		server := new(caddyhttp.Server)
		if json.Unmarshal(parsed.Apps.HTTP.Servers[name], server) != nil {
			continue
		}
		tree, err := routing.New(ctx, server)
		if err != nil {
			continue // Caddy itself will say what is wrong with the routes
		}
		found, err := h.layout(tree)
		if err != nil {
			return nil, err
		}
		findings = append(findings, found...)
	}
	return findings, nil
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

// explanation is how a front door judges a token.
type explanation struct {
	Resource string       `json:"resource"`
	Steps    []token.Step `json:"steps"`
	// Status is what the client gets; 200 stands for whatever the next handler
	// answers.
	Status   int    `json:"status"`
	Error    string `json:"error,omitempty"`
	Sentence string `json:"error_description,omitempty"`
	// Subject is the user, if the token is accepted.
	Subject string `json:"subject,omitempty"`
}

func (x *explanation) add(steps ...token.Step) { x.Steps = append(x.Steps, steps...) }

// explain judges the token raw as the handler does.
func (e explainer) explain(ctx context.Context, raw string) *explanation {
	x := &explanation{Resource: e.Resource, Status: http.StatusOK}
	t, ref := e.judge(ctx, x, raw)
	if ref == nil {
		ref = e.explainScopes(x, t)
	}
	for _, f := range e.findings {
		x.add(token.Step{Rule: "layout", Outcome: token.Unknown, Detail: f.message, Cure: f.cure})
	}
	if e.broken != nil && ref == nil {
		x.add(token.Step{Rule: "layout", Outcome: token.Failed, Detail: e.broken.Error(), Cure: "give each mcp_auth a matcher of its own, so that no request passes two"})
		ref = refuseNoCredentials()
	}
	if ref == nil {
		x.Subject = t.Subject
		return x
	}
	x.Status, x.Error, x.Sentence = ref.status, ref.code, ref.sentence
	return x
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
	switch x.Status {
	case http.StatusOK:
		p.printf("\naccepted: the request goes on, for user %s\n", discovery.Quote(x.Subject))
	case http.StatusServiceUnavailable:
		p.printf("\ncould not find out: the client gets %d %s: %s\n", x.Status, x.Error, x.Sentence)
	default:
		p.printf("\nrefused: the client gets %s: %s\n", strings.TrimSpace(fmt.Sprint(x.Status, " ", x.Error)), x.Sentence)
	}
}

func (e explainer) judge(ctx context.Context, x *explanation, raw string) (*token.Token, *refusal) {
	if !tokenCharacters(e.issuers).make(raw) {
		x.add(token.Step{
			Rule: "form", Outcome: token.Failed, Detail: "not a bearer token: it has characters that bearer tokens can't contain",
			Cure: "pass the access token alone, without quotes and line breaks",
		})
		return nil, refuseRequest("malformed")
	}
	presented, err := token.Present(raw)
	x.add(token.ExplainForm(raw, presented, err)...)
	if err != nil {
		return nil, refuseToken(err)
	}
	answers, t, err := e.issuers.Explain(ctx, presented)
	if jws := presented.JWS; jws != nil && !slices.ContainsFunc(e.issuers, func(iss token.IssuerVerifiers) bool { return iss.Issuer == jws.Issuer }) {
		x.add(token.Step{
			Rule: "issuer", Outcome: token.Failed, Detail: fmt.Sprintf("iss is %s, which is not configured; configured are %q", discovery.Quote(jws.Issuer), e.issuerNames()),
			Cure: e.cure(token.UnknownIssuer),
		})
		return nil, refuseToken(err)
	}
	now := time.Now()
	for i, answer := range answers {
		if issuer := e.issuers[answer.Issuer].Issuer; i == 0 || answers[i-1].Issuer != answer.Issuer {
			x.add(token.Step{Rule: "issuer", Outcome: token.Passed, Detail: issuer})
		}
		cure := ""
		if inv, ok := errors.AsType[*token.InvalidError](answer.Err); ok {
			cure = e.cure(inv.Reason)
		} else if answer.Err != nil {
			cure = "check that the authorization server is running and reachable from here: caddy mcp-auth check " + e.issuers[answer.Issuer].Issuer
		}
		name := e.verifiers[answer.Issuer][answer.Verifier]
		steps := []token.Step{token.ExplainVerdict(name, answer.Token, answer.Err, now)}
		if name == "jwt" && presented.JWS != nil {
			steps = token.ExplainJWT(presented, answer.Err, now)
			for i := range steps {
				steps[i].Rule = "jwt: " + steps[i].Rule
			}
		}
		for i := range steps {
			if steps[i].Outcome == token.Failed || steps[i].Outcome == token.Unknown {
				steps[i].Cure = cure
			}
		}
		x.add(steps...)
	}
	if err != nil {
		if len(answers) == 0 {
			step := token.ExplainVerdict("verifier", nil, err, now)
			step.Cure = "add a verifier for such tokens to the issuer: introspection or userinfo for opaque ones, jwt for signed JWTs"
			x.add(step)
		}
		return nil, refuseToken(err)
	}
	return t, nil
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
		return "have the client ask for a token that isn't bound to a key"
	case token.BadClaims:
		return "have the authorization server put exp and sub into its access tokens (RFC 9068, section 2.2)"
	case token.Inactive:
		return "get a new token: this one has expired, was revoked, or comes from another authorization server"
	default:
		return "get a new token from the authorization server"
	}
}

func (h *Handler) issuerNames() (names []string) {
	for _, iss := range h.issuers {
		names = append(names, iss.Issuer)
	}
	return names
}

func (e explainer) explainScopes(x *explanation, t *token.Token) *refusal {
	var missing []string
	for _, scope := range e.Scopes {
		if !e.hierarchy.Satisfied(t.Scopes, []string{scope}) {
			missing = append(missing, scope)
		}
	}
	granted := "granted " + discovery.Quote(strings.Join(t.Scopes, " "))
	switch {
	case len(missing) > 0:
		x.add(token.Step{
			Rule: "scopes", Outcome: token.Failed, Detail: "missing " + strings.Join(missing, " ") + "; " + granted,
			Cure: "have the client ask for it, and the authorization server grant it to this user and client; or take it out of `scopes`",
		})
		return refuseScope()
	case len(e.Scopes) == 0:
		x.add(token.Step{Rule: "scopes", Outcome: token.Passed, Detail: "none needed; " + granted})
	default:
		x.add(token.Step{Rule: "scopes", Outcome: token.Passed, Detail: granted})
	}
	return nil
}
