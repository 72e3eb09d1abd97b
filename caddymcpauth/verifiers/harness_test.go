package verifiers_test

import (
	"context"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/verifiers"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// testResource is the resource of every issuer, and the audience of tokens that
// oauthtest mints.
const testResource = "https://mcp.example.com/mcp"

// issuer is an authorization server, and its verifier as written in a Caddyfile.
type issuer struct {
	url, verifier string
	off           bool
}

func issuerWith(url, verifier string) issuer { return issuer{url: url, verifier: verifier} }

func (iss issuer) withoutDiscovery() issuer {
	iss.off = true
	return iss
}

// read returns the module that the Caddyfile means.
func (iss issuer) read() (verifiers.Verifier, error) {
	name, _, _ := strings.Cut(iss.verifier, " ")
	info, err := caddy.GetModule("http.mcp_auth.verifiers." + name)
	if err != nil {
		return nil, err
	}
	module := info.New()
	return module.(verifiers.Verifier), module.(caddyfile.Unmarshaler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(iss.verifier))
}

// provision does with a module what the front door does.
func (iss issuer) provision(t *testing.T, module verifiers.Verifier) (token.Source, error) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if p, ok := module.(caddy.Provisioner); ok {
		if err := p.Provision(ctx); err != nil {
			return token.Source{}, err
		}
	}
	known, err := discovery.New(discovery.Config{Issuer: iss.url, Off: iss.off})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(known.Close)
	return module.TokenVerifier(verifiers.IssuerInfo{
		Issuer:    iss.url,
		Resource:  testResource,
		Audience:  []string{testResource},
		Discovery: known,
		Client:    known.Client(),
	})
}

// checkError fails the test unless the verifier is refused, either when adapted or
// when provisioned, without the text hush-hush in the message.
func checkError(t *testing.T, iss issuer, adapting, provisioning string) {
	t.Helper()
	want := adapting
	module, err := iss.read()
	if adapting == "" {
		if err != nil {
			t.Fatalf("adapting: %v", err)
		}
		want = provisioning
		_, err = iss.provision(t, module)
	}
	switch {
	case err == nil:
		t.Error("got no error")
	case !strings.Contains(err.Error(), want):
		t.Errorf("got %q, want in it %q", err, want)
	case strings.Contains(err.Error(), "hush-hush"):
		t.Errorf("a secret is in the message: %q", err)
	}
}
