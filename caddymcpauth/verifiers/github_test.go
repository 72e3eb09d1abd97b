package verifiers_test

import "testing"

func TestGitHubErrors(t *testing.T) {
	t.Parallel()
	options := func(lines string) issuer {
		return issuerWith("https://github.com/login/oauth", "github {\n"+lines+"\n}")
	}
	const application = "client_id a\nclient_secret hush-hush\n"
	for _, test := range []struct {
		name                   string
		issuer                 issuer
		adapting, provisioning string
	}{
		{"argument", issuerWith("https://github.com", "github x"), "takes no value", ""},
		{"unknown option", options("client a"), "unrecognized option of github: client (known: client_id, client_secret, endpoint, token_prefix, groups, insecure_any_application)", ""},
		{"client_id twice", options("client_id a\nclient_id b"), "client_id is given twice", ""},
		{"client_secret twice", options("client_secret hush-hush\nclient_secret hush-hush"), "client_secret is given twice", ""},
		{"client_secret empty", options(`client_secret ""`), "client_secret takes one value", ""},
		{"endpoint twice", options("endpoint https://a.example.com\nendpoint https://a.example.com"), "endpoint is given twice", ""},
		{"any application with an argument", options("insecure_any_application on"), "takes no value", ""},
		{"any application twice", options("insecure_any_application\ninsecure_any_application"), "insecure_any_application is given twice", ""},
		{"groups of nothing", options("groups"), "groups needs at least one value", ""},
		{"groups twice", options("groups acme\ngroups other"), "groups is given twice", ""},
		{"groups of a team", options(application + "groups acme/maintainers"), "", "groups: \"acme/maintainers\" is not the name of an organization"},
		{"groups of all and one", options(application + "groups * acme"), "", "groups: * stands for all organizations"},
		{"bare", issuerWith("https://github.com", "github"), "", "no client_id: tokens of any application would be accepted. Give client_id and client_secret of yours"},
		{"no secret", options("client_id a"), "", "no client_secret"},
		{"no id", options("client_secret hush-hush"), "", "no client_id"},
		{"both", options(application + "insecure_any_application"), "", "insecure_any_application contradicts client_id and client_secret"},
		{"unset secret", options("client_id a\nclient_secret {env.NOT_SET}"), "", "client_secret: "},
		{"missing file", options("client_id a\nclient_secret {file./no/such/file}"), "", "client_secret: "},
		{"endpoint not https", options(application + "endpoint http://api.example.com"), "", "endpoint: not https"},
		{"enterprise without endpoint", issuerWith("https://git.example.com", "github {\n"+application+"}"), "", "the issuer is not github.com, so say where its API is"},
	} {
		t.Run(test.name, func(t *testing.T) { checkError(t, test.issuer, test.adapting, test.provisioning) })
	}
}
