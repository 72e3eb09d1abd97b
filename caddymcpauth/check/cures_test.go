package check_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/check"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// Broken setups, and what to do about them. One finding has both texts.
func TestCures(t *testing.T) {
	t.Parallel()
	nothing := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	answered := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, text)
		}
	}
	challenged := func(challenge string) http.HandlerFunc { return status(401, "WWW-Authenticate", challenge) }
	for _, tc := range []struct {
		name          string
		setup         func(w *world)
		code          string
		message, cure string
	}{
		{"open to anybody", func(w *world) { w.override["/mcp"] = answered("{}") }, "post_not_challenged", "anyone can use this server", "`caddy validate` warns of that"},
		{"open to POST", func(w *world) { w.override["POST /mcp"] = answered("{}") }, "post_not_challenged", "anyone can use", "have it match the path only"},
		{"open to GET", func(w *world) { w.override["GET /mcp"] = answered("{}") }, "get_not_challenged", "anyone can use", "have it match the path only"},
		{"open to DELETE", func(w *world) { w.override["DELETE /mcp"] = answered("{}") }, "not_challenged", "DELETE", "have it match the path only"},
		{"open below", func(w *world) { w.override["/mcp/x"] = answered("{}") }, "not_challenged", "/mcp/x", "cover what is below"},
		{"mistyped path", func(w *world) { w.override["/mcp"] = nothing }, "post_not_challenged", "200 with an empty body", "letter by letter"},
		{"nothing there", func(w *world) { w.override["/mcp"] = status(404) }, "post_not_challenged", "404", "check the URL"},
		{"405 first", func(w *world) { w.override["GET /mcp"] = status(405) }, "get_not_challenged", "405 comes before 401", "challenge every method"},
		{"redirect to itself", func(w *world) { w.override["/mcp"] = status(301, "Location", "/mcp") }, "post_not_challenged", "to itself", "behind a proxy"},
		{"redirect to itself, absolute", func(w *world) {
			w.override["/mcp"] = func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, w.URL+"/mcp", http.StatusPermanentRedirect)
			}
		}, "post_not_challenged", "to itself", "behind a proxy"},
		{"redirect", func(w *world) { w.override["/mcp"] = status(302, "Location", "/mcp/") }, "post_not_challenged", `302 to "/mcp/"`, "use the final address"},
		{"server error", func(w *world) { w.override["/mcp"] = status(502) }, "post_not_challenged", "502 instead of 401", "the server's log"},
		{"basic_auth in front", func(w *world) { w.override["/mcp"] = challenged(`Basic realm="restricted"`) }, "challenge_not_bearer", "the challenge is Basic", "basic_auth @rest, with @rest not path /mcp*"},
		{"Basic first", func(w *world) { w.override["/mcp"] = challenged(`Basic realm="x", Bearer scope="a"`) }, "challenge_not_bearer", "only look at that", "Bearer challenge first"},
		{"no challenge", func(w *world) { w.override["/mcp"] = status(401) }, "challenge_missing", "no WWW-Authenticate", "RFC 9728"},
		{"blanks around =", func(w *world) {
			w.override["/mcp"] = challenged(`Bearer resource_metadata = "` + w.URL + wellKnownPath + `"`)
		}, "challenge_not_quoted", "spaces around its =", "write it without spaces"},
		{"blank after =", func(w *world) {
			w.override["/mcp"] = challenged(`Bearer resource_metadata= "` + w.URL + wellKnownPath + `"`)
		}, "challenge_not_quoted", "spaces around its =", "write it without spaces"},
		{"no quotes", func(w *world) { w.override["/mcp"] = challenged(`Bearer resource_metadata=` + w.URL + wellKnownPath) }, "challenge_not_quoted", "not in quotes", "quote every parameter"},
		{"metadata in the clear", func(w *world) { w.override["/mcp"] = challenged(`Bearer resource_metadata="http://mcp.example.com/x"`) }, "resource_metadata_misplaced", "where clients don't go", "public URL"},
		{"no metadata", func(w *world) { w.override[wellKnownPath] = status(404) }, "resource_metadata_not_found", "answered 404", "serve the metadata there"},
		{"metadata elsewhere", func(w *world) { w.override[wellKnownPath] = status(302, "Location", "https://www.example.com/") }, "resource_metadata_not_found", `redirected to "https://www.example.com", another origin`, "on the resource's own origin"},
		{"another resource", func(w *world) {
			w.override[wellKnownPath] = answered(`{"resource":"https://x.example.com","authorization_servers":[]}`)
		}, "resource_mismatch", "clients refuse it", "clients use"},
		{"no server named", func(w *world) { w.override[wellKnownPath] = answered(`{"resource":"` + w.URL + `/mcp"}`) }, "no_authorization_servers", "names no authorization server", "issuer <url>"},
		{"origin of Logto", func(w *world) {
			w.override[wellKnownPath] = answered(`{"resource":"` + w.URL + `/mcp","authorization_servers":["` + w.URL + `"]}`)
			w.override["/oidc/.well-known/openid-configuration"] = answered(`{"issuer":"` + w.URL + `/oidc"}`)
		}, "server_metadata_not_found", "no metadata", `/oidc"`},
		{"no metadata of the server", func(w *world) { w.override["/.well-known/oauth-authorization-server/as"] = status(404) }, "server_metadata_not_found", "no metadata", "RFC 8414"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tc.setup(w)
			report, _ := run(t, w.URL+"/mcp")
			wantFinding(t, report, tc.code, tc.message, tc.cure)
		})
	}
}

func wantFinding(t *testing.T, report *check.Report, code, message, cure string) {
	t.Helper()
	for _, f := range report.Findings {
		if f.Code == code && strings.Contains(f.Message, message) && strings.Contains(f.Cure, cure) {
			return
		}
	}
	t.Errorf("got %+v, want %s with %q and %q", report.Findings, code, message, cure)
}

// Clients that go by the challenge find metadata at the root, and so do those that
// look there after the place for the path.
func TestMetadataAtTheRoot(t *testing.T) {
	t.Parallel()
	const root = "/.well-known/oauth-protected-resource"
	w := newWorld(t)
	w.override[wellKnownPath] = status(404)
	w.override[root] = func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, w.resourceMetadata()) }
	w.override["/mcp"] = func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			w.honest(rw, r)
			return
		}
		status(401, "WWW-Authenticate", `Bearer resource_metadata="`+w.URL+root+`", scope="read"`, "Access-Control-Allow-Origin", "*", "Access-Control-Expose-Headers", "WWW-Authenticate")(rw, r)
	}
	if _, bad := run(t, w.URL+"/mcp"); len(bad) > 0 {
		t.Errorf("got %q", bad)
	}
}

// The origin of an authorization server is told from its issuer.
func TestOriginOfAnAuthorizationServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.override["/oidc/.well-known/openid-configuration"] = func(rw http.ResponseWriter, _ *http.Request) {
		writeJSON(rw, map[string]any{"issuer": w.URL + "/oidc"})
	}
	report, _ := run(t, w.URL)
	wantFinding(t, report, "issuer_below", `/oidc"`, "check that URL")
}

// Failures to connect each have a cure of their own.
func TestConnectionCures(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, config *tls.Config) string {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = config
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	roots := x509.NewCertPool()
	certificate := func(from, until time.Time, usage x509.ExtKeyUsage) tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		roots.AddCert(leaf)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	now := time.Now()
	good := certificate(now.Add(-time.Hour), now.Add(time.Hour), x509.ExtKeyUsageServerAuth)
	for _, tc := range []struct {
		name, cure string
		url        func(t *testing.T) string
	}{
		{"expired", "renew the certificate", func(t *testing.T) string {
			return start(t, &tls.Config{Certificates: []tls.Certificate{certificate(now.Add(-2*time.Hour), now.Add(-time.Hour), x509.ExtKeyUsageServerAuth)}})
		}},
		{"not yet valid", "set the clock", func(t *testing.T) string {
			return start(t, &tls.Config{Certificates: []tls.Certificate{certificate(now.Add(time.Hour), now.Add(2*time.Hour), x509.ExtKeyUsageServerAuth)}})
		}},
		{"of a client", "server certificate", func(t *testing.T) string {
			return start(t, &tls.Config{Certificates: []tls.Certificate{certificate(now.Add(-time.Hour), now.Add(time.Hour), x509.ExtKeyUsageClientAuth)}})
		}},
		{"unknown authority", "--ca", func(t *testing.T) string { return start(t, nil) }},
		{"another name", "for this host name", func(t *testing.T) string {
			return strings.Replace(start(t, &tls.Config{Certificates: []tls.Certificate{good}}), "127.0.0.1", "localhost", 1)
		}},
		{"wants a certificate", "refuses the TLS handshake", func(t *testing.T) string {
			return start(t, &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12})
		}},
		{"no certificate for the name", "refuses the TLS handshake", func(t *testing.T) string {
			return start(t, &tls.Config{Certificates: []tls.Certificate{good}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, io.EOF }})
		}},
		{"no TLS", "does not speak TLS", func(t *testing.T) string {
			s := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return strings.Replace(s.URL, "http:", "https:", 1)
		}},
		{"nothing listens", "nothing listens there", func(t *testing.T) string {
			s := httptest.NewServer(http.NotFoundHandler())
			s.Close()
			return s.URL
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			report, err := check.Run(t.Context(), tc.url(t)+"/mcp", check.Config{Timeout: 5 * time.Second, Roots: roots})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Findings) != 1 || report.Count(discovery.Error) != 1 {
				t.Fatalf("got %+v", report.Findings)
			}
			wantFinding(t, report, "unreachable", "no answer", tc.cure)
		})
	}
}
