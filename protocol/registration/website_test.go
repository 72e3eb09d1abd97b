package registration

import "testing"

func TestLeadsToWebSite(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"https://claude.ai/api/mcp/auth_callback", "https://a.example:8443/cb", "https://a.localhost.example/cb",
		"https://192.0.2.1/cb", "https://[2001:db8::1]/cb", "https://intranet.corp/cb", "https://xn--bcher-kva.example/cb", "https://1password.com/cb",
	} {
		if !LeadsToWebSite(uri) {
			t.Errorf("%s is taken for a program", uri)
		}
	}
	for _, uri := range []string{
		"http://127.0.0.1/cb", "http://localhost:1234/cb", "http://[::1]/cb", "http://a.example/cb",
		"https://localhost/cb", "https://LOCALHOST/cb", "https://localhost./cb", "https://localhost../cb", "https://app.localhost/cb", "https://app.localhost./cb",
		"https://localhost.localdomain/cb", "https://localhost6/cb", "https://localhost6.localdomain6/cb", "https://ip6-loopback/cb", "https://kubernetes.docker.internal/cb", "https://intranet/cb", "https://127.0.0.1/cb", "https://127.0.0.1./cb", "https://127.8.9.1:8443/cb", "https://127.1/cb", "https://0x7f.1/cb",
		"https://0x7f000001/cb", "https://2130706433/cb", "https://0177.0.0.1/cb", "https://0/cb", "https://0.0.0.0/cb", "https://[::1]/cb", "https://[::]/cb",
		"https://[::ffff:127.0.0.1]/cb", "https://[::ffff:7f00:1]/cb", "https://[fe80::1%25lo]/cb",
		"cursor://anysphere.cursor-mcp/oauth/callback", "httpss://a.example/cb", "https-app://a.example/cb", "com.example.https://a.example/cb", "web+https://a.example/cb",
		"https:a.example/cb", "https:///cb", "https://", "https://user@a.example/cb", "//a.example/cb", "", "urn:ietf:wg:oauth:2.0:oob",
	} {
		if LeadsToWebSite(uri) {
			t.Errorf("%s is taken for a web site", uri)
		}
	}
}

// Every address leads to exactly one of the three.
func TestWhereAddressesLead(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://claude.ai/callback":          "web site",
		"https://192.0.2.1/callback":          "web site",
		"http://127.0.0.1:3000/callback":      "program",
		"http://[::1]/callback":               "program",
		"http://localhost/callback":           "program",
		"https://localhost:8443/callback":     "program",
		"https://127.1/callback":              "program",
		"cursor://anysphere.cursor-mcp/oauth": "scheme",
		"com.example.app:/callback":           "scheme",
		"https://u@claude.ai/":                "program", // in doubt
		"://":                                 "program",
	} {
		got := map[bool]string{true: "web site"}[LeadsToWebSite(uri)] +
			map[bool]string{true: "program"}[LeadsToProgram(uri)] +
			map[bool]string{true: "scheme"}[IsPrivateScheme(uri)]
		if got != want {
			t.Errorf("%s: got %q, want %s", uri, got, want)
		}
	}
}
