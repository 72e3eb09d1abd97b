package integration_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// clientKey is the key of a client, as JSON Web Keys.
type clientKey struct{ private, set string }

func newClientKey(t *testing.T, kid string) clientKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: "ES256"}
	return clientKey{
		private: mustJSON(t, k),
		set:     mustJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.Public()}}),
	}
}

// keyClientsSite is a site whose clients have keys, or other ways to get along without
// a browser.
const keyClientsSite = `
	handle /key-client.json {
		header Content-Type application/json
		respond <<JSON
			{
				"client_id": "SITE/key-client.json",
				"client_name": "A document with a key",
				"redirect_uris": ["http://127.0.0.1/callback"],
				"token_endpoint_auth_method": "private_key_jwt",
				"token_endpoint_auth_signing_alg": "ES256",
				"jwks_uri": "SITE/key-client-jwks.json"
			}
			JSON
	}
	handle /key-client-jwks.json {
		header Content-Type application/json
		respond ` + "`DOCUMENTKEYS`" + `
	}
	mcp_auth_server SITE {
		resource SITE/mcp
		scopes mcp:tools mcp:admin
` + embeddedUsers + `
		clients {
			nightly {
				jwks ` + "`NIGHTLYKEYS`" + `
				scopes mcp:tools
				client_credentials
			}
			agent {
				jwks_uri AGENTKEYS/agent
				client_credentials
			}
			away {
				jwks_uri AGENTKEYS/away
				client_credentials
			}
			bot {
				secret bot-secret-0123456789
				client_credentials
			}
			desk {
				jwks ` + "`NIGHTLYKEYS`" + `
				redirect_uris http://127.0.0.1/callback
			}
		}
		client_documents {
			trusted_roots "CAFILE"
			insecure_allow_private
		}
	}
	mcp_auth /mcp* SITE/mcp {
		issuer SITE
		scopes mcp:tools
	}
	mcp_whoami /mcp*
`

// Programs sign in with a key or a secret and call a tool, with the clients of both
// SDKs and with a client of a library of its own.
func TestKeyClients(t *testing.T) {
	t.Parallel()
	needNode(t)
	nightly, document, agent := newClientKey(t, "1"), newClientKey(t, "1"), newClientKey(t, "1")
	var published atomic.Value
	published.Store(agent.set)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(published.Load().(string)))
	}))
	t.Cleanup(keys.Close)
	c := startEmbedded(t, strings.NewReplacer("DOCUMENTKEYS", document.set, "NIGHTLYKEYS", nightly.set, "AGENTKEYS", keys.URL).Replace(keyClientsSite))

	metadata := c.do("GET", "/.well-known/oauth-authorization-server", "")
	for _, want := range []string{`"private_key_jwt"`, `"token_endpoint_auth_signing_alg_values_supported"`, `"client_credentials"`} {
		if !strings.Contains(metadata.body, want) {
			t.Errorf("the metadata has no %s: %s", want, metadata.body)
		}
	}
	type client struct {
		script string
		args   []string
		env    []string
	}
	run := func(t *testing.T, client client) (clientLine, map[string]any) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		defer cancel()
		cmd := node(ctx, c.CA, client.script, append([]string{c.URL + "/mcp"}, client.args...)...)
		cmd.Env = append(append(cmd.Env, "AS="+c.URL, "BROWSER_USER=ada"), client.env...)
		var line clientLine
		out := output(t, cmd)
		if err := json.Unmarshal(out, &line); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return line, toolText(t, line.Result)
	}
	machine := func(version, kind, id string, env ...string) client {
		return client{"client-machine.mjs", []string{version, kind, id}, env}
	}
	for name, test := range map[string]struct {
		client    client
		sub, id   string // empty id: the one that it was registered with
		wantScope string
	}{
		"SDK v1 with a key":                     {machine("v1", "key", "nightly", "CLIENT_KEY="+nightly.private), "nightly", "nightly", "mcp:tools"},
		"SDK v2 with a key":                     {machine("v2", "key", "nightly", "CLIENT_KEY="+nightly.private), "nightly", "nightly", "mcp:tools"},
		"SDK v1 with a key of its own address":  {machine("v1", "key", "agent", "CLIENT_KEY="+agent.private), "agent", "agent", "mcp:tools"},
		"SDK v1 with a secret":                  {machine("v1", "secret", "bot", "CLIENT_SECRET=bot-secret-0123456789"), "bot", "bot", "mcp:tools"},
		"SDK v2 with a secret":                  {machine("v2", "secret", "bot", "CLIENT_SECRET=bot-secret-0123456789"), "bot", "bot", "mcp:tools"},
		"oauth4webapi, registers itself":        {client{"client-key.mjs", []string{c.URL, "browser"}, []string{"CLIENT_KEY=" + nightly.private}}, "ada", "", "mcp:tools"},
		"oauth4webapi with a metadata document": {client{"client-key.mjs", []string{c.URL, "browser", c.URL + "/key-client.json"}, []string{"CLIENT_KEY=" + document.private}}, "ada", c.URL + "/key-client.json", "mcp:tools"},
		"oauth4webapi, the operator's":          {client{"client-key.mjs", []string{c.URL, "browser", "desk"}, []string{"CLIENT_KEY=" + nightly.private}}, "ada", "desk", "mcp:tools"},
	} {
		t.Run(name, func(t *testing.T) {
			line, who := run(t, test.client)
			id := test.id
			if id == "" {
				id = line.Registered
			}
			if who["sub"] != test.sub || who["client_id"] != id || line.Scope != test.wantScope {
				t.Errorf("whoami says %v, the scope is %q; want sub %s, client %s, scope %s", who, line.Scope, test.sub, id, test.wantScope)
			}
		})
	}

	t.Run("a new key works at once", func(t *testing.T) {
		next := newClientKey(t, "2")
		published.Store(next.set)
		if _, who := run(t, machine("v1", "key", "agent", "CLIENT_KEY="+next.private)); who["sub"] != "agent" {
			t.Errorf("whoami says %v", who)
		}
	})
	t.Run("refused", func(t *testing.T) {
		for name, client := range map[string]client{
			"another's key": machine("v2", "key", "nightly", "CLIENT_KEY="+document.private),
			"no such key":   machine("v2", "key", "agent", "CLIENT_KEY="+newClientKey(t, "x").private),
			"keys are away": machine("v2", "key", "away", "CLIENT_KEY="+agent.private),
			"wrong secret":  machine("v2", "secret", "bot", "CLIENT_SECRET=bot-secret-9876543210"),
		} {
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
			cmd := node(ctx, c.CA, client.script, append([]string{c.URL + "/mcp"}, client.args...)...)
			cmd.Env = append(append(cmd.Env, "AS="+c.URL), client.env...)
			out, err := cmd.Output()
			cancel()
			if err == nil || !strings.Contains(string(out), `"error"`) {
				t.Errorf("%s: got %s, %v, want an error", name, out, err)
			}
		}
		c.logs(`"mcp_auth_server_error":"invalid_client"`)
		// That keys can't be had isn't the client's fault.
		c.logs(`"mcp_auth_server_error":"temporarily_unavailable"`)
	})
	t.Run("log", func(t *testing.T) {
		c.logs(`"mcp_auth_server_grant":"client_credentials"`)
		c.logs(`"mcp_auth_server_client":"nightly"`)
		for _, secret := range []string{"bot-secret-0123456789", "client_assertion=", url.QueryEscape(nightly.private)} {
			if strings.Contains(c.log.String(), secret) {
				t.Errorf("the log has %q", secret)
			}
		}
	})
}
