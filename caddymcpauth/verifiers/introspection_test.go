package verifiers_test

import (
	"os"
	"path/filepath"
	"testing"
)

// introspection is the verifier with credentials and the given further lines.
func introspection(lines string) string {
	return "introspection {\nclient_id front-door\nclient_secret \"s3cr3t & more: 100%\"\n" + lines + "\n}"
}

func TestIntrospectionErrors(t *testing.T) {
	t.Parallel()
	const as = "https://as.example.com"
	bare := func(lines string) issuer { return issuerWith(as, "introspection {\n"+lines+"\n}") }
	full := func(lines string) issuer { return issuerWith(as, introspection(lines)) }
	notAKey := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(notAKey, []byte("hush-hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name                   string
		issuer                 issuer
		adapting, provisioning string
	}{
		{"argument", issuerWith(as, "introspection x"), "takes no value", ""},
		{"unknown option", full("endpiont https://as.example.com/i"), "unrecognized option of introspection: endpiont (known: endpoint,", ""},
		{"endpoint twice", full("endpoint https://as.example.com/i\nendpoint https://as.example.com/i"), "endpoint is given twice", ""},
		{"client_id twice", full("client_id a"), "client_id is given twice", ""},
		{"client_secret empty", bare(`client_secret ""`), "client_secret takes one value", ""},
		{"confirm_jwt twice", full("confirm_jwt\nconfirm_jwt"), "confirm_jwt is given twice", ""},
		{"confirm_jwt with an argument", full("confirm_jwt yes"), "takes no value", ""},
		{"leeway not a duration", full("leeway soon"), `leeway "soon" is not a duration such as 30s`, ""},
		{"leeway twice", full("leeway 1s\nleeway 2s"), "leeway is given twice", ""},
		{"leeway too long", full("leeway 10m"), "", "leeway 10m0s is not between 0 and 5m0s"},
		{"token_prefix twice", full("token_prefix a_\ntoken_prefix b_"), "token_prefix is given twice", ""},
		{"token_prefix of nothing", full("token_prefix"), "token_prefix needs at least one value", ""},
		{"token_prefix of API keys", full("token_prefix mcpk_"), "", `token_prefix: "mcpk_" is for API keys, which are sent to nobody`},
		{"token_prefix with a comma", full("token_prefix a_,b_"), "", `token_prefix: "a_,b_" can't begin a token: separate prefixes by spaces`},
		{"nothing", issuerWith(as, "introspection"), "", "client_id is missing: the front door needs credentials of its own"},
		{"no secret", bare("client_id a"), "", "client_secret is missing or empty"},
		{"secret of an unset placeholder", bare("client_id a\nclient_secret {env.NOT_SET}"), "", "client_secret: "},
		{"unknown method", full("client_auth tls_client_auth"), "", `client_auth "tls_client_auth" is none of client_secret_basic, client_secret_post, private_key_jwt`},
		{"secret and key", bare("client_id a\nclient_secret hush-hush\nprivate_key /k.pem"), "", "client_secret is not for private_key_jwt"},
		{"key for basic", full("client_auth client_secret_basic\nprivate_key /k.pem"), "", "private_key and key_id are for private_key_jwt"},
		{"key id for basic", full("key_id k"), "", "private_key and key_id are for private_key_jwt"},
		{"no key", bare("client_id a\nclient_auth private_key_jwt"), "", "private_key is missing: name the file"},
		{"key file away", bare("client_id a\nprivate_key " + filepath.Join(t.TempDir(), "none.pem")), "", "private_key: open"},
		{"not a key", bare("client_id a\nprivate_key " + notAKey), "", "private key: no PEM block"},
		{"endpoint not https", full("endpoint http://as.example.com/i"), "", "endpoint: not https"},
		{"no discovery, no endpoint", issuerWith(as, introspection("")).withoutDiscovery(), "", "discovery is off, so the endpoint must be given: endpoint <url>"},
		{"no discovery, no keys", issuerWith(as, introspection("endpoint https://as.example.com/i\nconfirm_jwt")).withoutDiscovery(), "", "metadata jwks_uri <url>"},
	} {
		t.Run(test.name, func(t *testing.T) { checkError(t, test.issuer, test.adapting, test.provisioning) })
	}
}
