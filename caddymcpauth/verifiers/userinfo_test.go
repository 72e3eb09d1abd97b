package verifiers_test

import "testing"

func TestUserinfoErrors(t *testing.T) {
	t.Parallel()
	options := func(lines string) issuer {
		return issuerWith("https://as.example.com", "userinfo {\n"+lines+"\n}")
	}
	for _, test := range []struct {
		name                   string
		issuer                 issuer
		adapting, provisioning string
	}{
		{"argument", issuerWith("https://as.example.com", "userinfo x"), "takes no value", ""},
		{"unknown option", options("endpiont https://as.example.com/me"), "unrecognized option of userinfo: endpiont (known: endpoint, token_prefix, require)", ""},
		{"endpoint twice", options("endpoint https://as.example.com/me\nendpoint https://as.example.com/me"), "endpoint is given twice", ""},
		{"endpoint without value", options("endpoint"), "endpoint takes one value", ""},
		{"endpoint empty", options(`endpoint ""`), "endpoint takes one value", ""},
		{"two endpoints", options("endpoint https://as.example.com/a https://as.example.com/b"), "endpoint takes one value", ""},
		{"require without value", options("require hd"), "require takes a claim and the values that it may have, for example: require email_verified true", ""},
		{"require with an empty value", options(`require hd ""`), "require takes a claim", ""},
		{"require twice", options("require hd a\nrequire hd b"), "require hd is given twice: list all its values in one", ""},
		{"endpoint not https", options("endpoint http://as.example.com/me"), "", "endpoint: not https"},
		{"endpoint not a URL", options("endpoint as.example.com/me"), "", "endpoint: not an absolute URL: write it with https://"},
		{"endpoint with an unset placeholder", options("endpoint {env.NOT_SET}"), "", "endpoint: "},
		{"no discovery, no endpoint", issuerWith("https://as.example.com", "userinfo").withoutDiscovery(), "", "discovery is off, so the userinfo endpoint must be given: endpoint <url>"},
	} {
		t.Run(test.name, func(t *testing.T) { checkError(t, test.issuer, test.adapting, test.provisioning) })
	}
}
