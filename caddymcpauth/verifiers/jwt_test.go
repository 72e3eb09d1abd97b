package verifiers_test

import "testing"

func TestJWTErrors(t *testing.T) {
	t.Parallel()
	const as = "https://as.example.com"
	for _, test := range []struct {
		name                   string
		issuer                 issuer
		adapting, provisioning string
	}{
		{"jwt with an argument", issuerWith(as, "jwt RS256"), "jwt takes no value, but a block", ""},
		{"unknown option of jwt", issuerWith(as, "jwt {\nalgorithm RS256\n}"), "unrecognized option of jwt: algorithm (known: algorithms, leeway)", ""},
		{"algorithms without value", issuerWith(as, "jwt {\nalgorithms\n}"), "algorithms needs at least one value", ""},
		{"algorithms twice", issuerWith(as, "jwt {\nalgorithms RS256\nalgorithms ES256\n}"), "algorithms is given twice: list everything in one place", ""},
		{"leeway without value", issuerWith(as, "jwt {\nleeway\n}"), "leeway takes a duration", ""},
		{"leeway negative", issuerWith(as, "jwt {\nleeway -5s\n}"), `leeway "-5s" is not a duration such as 30s`, ""},
		{"leeway zero", issuerWith(as, "jwt {\nleeway 0s\n}"), `leeway "0s" is not a duration such as 30s`, ""},
		{"leeway not a duration", issuerWith(as, "jwt {\nleeway 30\n}"), `leeway "30" is not a duration such as 30s`, ""},
		{"leeway twice", issuerWith(as, "jwt {\nleeway 5s\nleeway 6s\n}"), "leeway is given twice", ""},
		{"unknown algorithm", issuerWith(as, "jwt {\nalgorithms RS257\n}"), "", `"RS257"`},
		{"HS256", issuerWith(as, "jwt {\nalgorithms HS256\n}"), "", `"HS256"`},
		{"none", issuerWith(as, "jwt {\nalgorithms none\n}"), "", `"none"`},
		{"leeway too long", issuerWith(as, "jwt {\nleeway 10m\n}"), "", "leeway 10m0s is not between 0 and 5m0s"},
		{"no discovery, no keys", issuerWith(as, "jwt").withoutDiscovery(), "", "discovery is off, so the issuer's keys must be given: metadata jwks_uri <url>"},
	} {
		t.Run(test.name, func(t *testing.T) { checkError(t, test.issuer, test.adapting, test.provisioning) })
	}
}
