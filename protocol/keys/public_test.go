package keys_test

import (
	"errors"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// The keys and their thumbprints are those of the RFCs.
func TestThumbprint(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, jwk, want string }{
		{
			"RFC 7638, section 3.1",
			`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
			"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		},
		{
			"RFC 8037, appendix A.3",
			`{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
		},
		{
			"RFC 9449, section 6.1",
			`{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`,
			"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
		},
	} {
		k, err := keys.ParsePublic([]byte(tc.jwk))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := k.Thumbprint(); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestParsePublicRefuses(t *testing.T) {
	t.Parallel()
	const ec = `"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"`
	for _, tc := range []struct {
		name, jwk string
		private   bool
	}{
		{"private", `{` + ec + `,"d":"AQAB"}`, true},
		{"private, null", `{` + ec + `,"d":null}`, true},
		{"prime", `{` + ec + `,"p":"AQAB"}`, true},
		{"symmetric", `{"kty":"oct","k":"AQAB"}`, true},
		{"D", `{` + ec + `,"D":"AQAB"}`, false},
		{"twice", `{` + ec + `,"kty":"EC"}`, false},
		{"a list", `[{` + ec + `}]`, false},
		{"nothing", ``, false},
		{"empty", `{}`, false},
		{"off the curve", `{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}`, false},
	} {
		k, err := keys.ParsePublic([]byte(tc.jwk))
		if k != nil || err == nil {
			t.Errorf("%s: got %v, %v, want an error", tc.name, k, err)
		}
		if got := errors.Is(err, keys.ErrPrivateKey); got != tc.private {
			t.Errorf("%s: got %v, private %t, want %t", tc.name, err, got, tc.private)
		}
	}
}
