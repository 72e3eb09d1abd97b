package caddymcpauth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

func TestAssertionMetrics(t *testing.T) {
	t.Parallel()
	resource := ownResource()
	s := serve(t, strings.Replace(guestDoor(asserting), testResource, resource, 1), nil)
	for range 3 {
		s.do(t, "POST", "/mcp", bearer(guestToken(`{"sub":"ada"}`))...)
	}
	if got := counts(t, s.config, "caddy_mcp_auth_assertions_total", resource); len(got) != 1 || got["resource=IT result=ok"] < 1 || got["resource=IT result=ok"] > 2 {
		t.Errorf("got %v", got)
	}
}

// Errors of meaning are found at Provision, for users of JSON too.
func TestAssertionProvisionErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, options, assertion, want string }{
		{"no audience", ``, `{}`, "assertion: no audience"},
		{"the resource as audience", ``, `{"audience":"https://mcp.example.com/mcp"}`, "choose another name"},
		{"a claim that it sets", ``, `{"audience":"x","claims":["sub"]}`, "claim sub: it has a meaning of its own"},
		{"too long", ``, `{"audience":"x","lifetime":"1h"}`, "between 10s and 10m0s"},
		{"two places", ``, `{"audience":"x","header":"X-A","authorization":true}`, "keep one"},
		{"with forward_token", `"forward_token":true,`, `{"audience":"x","authorization":true}`, "authorization and forward_token both set"},
		{"the name of a header", `"header":{"X_Who":"{http.auth.user.id}"},`, `{"audience":"x","header":"X-Who"}`, "are the same to servers"},
		{"a header of the protocol", ``, `{"audience":"x","header":"Mcp-Assertion"}`, "belongs to the MCP protocol"},
		{"Authorization by name", ``, `{"audience":"x","header":"Authorization"}`, "cannot be set here"},
		{"a header that means something", ``, `{"audience":"x","header":"Cookie"}`, "cannot carry an identity"},
		{"no header name", ``, `{"audience":"x","header":"X Y"}`, "is not a header name"},
	} {
		route := `[{"handle":[{"handler":"mcp_auth_guard"},{"handler":"mcp_auth","resource":"https://mcp.example.com/mcp",` +
			`"issuers":[{"issuer":"https://as.example.com"}],` + tc.options + `"assertion":` + tc.assertion + `}]}]`
		if _, err := provision(t, json.RawMessage(route)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

// Mistakes in the form are found when the Caddyfile is adapted.
func TestAssertionAdaptErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, options, want string }{
		{"no block", "assertion", "assertion needs an audience: what the server behind expects in aud"},
		{"a value", "assertion https://backend.internal", "assertion takes a block, with at least: audience"},
		{"an empty block", "assertion {\n}", "assertion needs an audience"},
		{"no audience", "assertion {\nclaims email\n}", "assertion needs an audience"},
		{"audience without value", "assertion {\naudience\n}", "audience takes one value, and has none"},
		{"two audiences", "assertion {\naudience a b\n}", "audience takes one value, not 2"},
		{"audience twice", "assertion {\naudience a\naudience b\n}", "audience is given twice"},
		{"claims without value", "assertion {\naudience a\nclaims\n}", "claims needs at least one value"},
		{"claims twice", "assertion {\naudience a\nclaims b\nclaims c\n}", "claims is given twice"},
		{"claims with commas", "assertion {\naudience a\nclaims b, c\n}", "separate values by spaces"},
		{"lifetime that is none", "assertion {\naudience a\nlifetime soon\n}", `lifetime: "soon" is not a duration`},
		{"authorization with a value", "assertion {\naudience a\nauthorization on\n}", "authorization takes no value"},
		{"header and authorization", "assertion {\naudience a\nheader X-A\nauthorization\n}", "keep one"},
		{"unknown", "assertion {\naudience a\nclaim b\n}", "unrecognized option of assertion: claim (known: audience, header, authorization, claims, lifetime)"},
		{"twice", asserting + "\n" + asserting, "assertion is given twice"},
	} {
		if _, err := adapt(door(tc.options)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestExplainAssertion(t *testing.T) {
	t.Parallel()
	issuer := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	site := "http://mcp.example.com {\n" + frontDoor(issuer.Issuer(), "assertion {\naudience https://backend.internal\nclaims email department\n}") + "\n}\n"
	code, out, stderr := explain(t, site, issuer.Mint(map[string]any{"email": "ada@example.com"}))
	if want := `ok    assertion           X-Mcp-Auth-Assertion for "https://backend.internal", at most 1m0s, with email; the token has no department`; code != 0 || !strings.Contains(out, want) {
		t.Errorf("got %d\n%s%s\nwant %s", code, out, stderr, want)
	}
	if strings.Contains(out, "ada@example.com") {
		t.Errorf("a claim is in the output: %s", out)
	}
}
