//go:build bench

package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// measureAssertion compares a door that sends an assertion, which was signed before,
// with the same door without.
func measureAssertion(t *testing.T, results *table) {
	behind := httptest.NewServer(newPolicyServer())
	defer behind.Close()
	plain, header, bearer := newKind(t, "ES256", false), newKind(t, "ES256", false), newKind(t, "ES256", false)
	plain.name, header.name, bearer.name = "plain", "assertion", "bearer"
	header.options = "assertion {\naudience https://backend.internal\n}\n"
	bearer.options = "assertion {\naudience https://backend.internal\nauthorization\n}\n"
	c := startCaddy(t, []*kind{plain, header, bearer}, strings.TrimPrefix(behind.URL, "http://"))
	q := question{body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","arguments":{}}}`}
	compareDoors(t, results, c, plain, header, q, "an assertion that was signed before: CPU per request, against none", "<= 1.08 x")
	compareDoors(t, results, c, plain, bearer, q, "the same as bearer token", "<= 1.08 x")
}

// measureExchange compares a door that sends a token of its own, which was exchanged
// before, with the same door without.
func measureExchange(t *testing.T, results *table) {
	behind := httptest.NewServer(newPolicyServer())
	defer behind.Close()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"`+strings.Repeat("x", 700)+`","token_type":"Bearer","expires_in":3600}`)
	}))
	defer endpoint.Close()
	plain, exchanging := newKind(t, "ES256", false), newKind(t, "ES256", false)
	plain.name, exchanging.name = "plain", "exchange"
	exchanging.options = "exchange {\nendpoint " + endpoint.URL + "/token\nclient_id door\nclient_secret secret\naudience backend\n}\n"
	c := startCaddy(t, []*kind{plain, exchanging}, strings.TrimPrefix(behind.URL, "http://"))
	q := question{body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","arguments":{}}}`}
	compareDoors(t, results, c, plain, exchanging, q, "a token that was exchanged before: CPU per request, against none", "<= 1.05 x")
}

// compareDoors adds the ratio of two doors' CPU per request.
func compareDoors(t *testing.T, results *table, c *caddyProcess, without, with *kind, q question, what, goal string) {
	tokens := map[string]string{without.name: without.mint(c.resource(without.name)), with.name: with.mint(c.resource(with.name))}
	t.Run(with.name, func(t *testing.T) {
		c.policyTurn(t, without.name, tokens[without.name], q)
		c.policyTurn(t, with.name, tokens[with.name], q)
		var cpu ratios
		var each float64
		for range rounds {
			a, b := c.policyTurn(t, without.name, tokens[without.name], q), c.policyTurn(t, with.name, tokens[with.name], q)
			cpu = append(cpu, b.cpuPer()/a.cpuPer())
			each += a.cpuPer() / rounds
		}
		results.add(what, goal, "%s of %.0f µs", cpu, each)
	})
}
