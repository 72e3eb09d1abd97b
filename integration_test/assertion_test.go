package integration_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// guideLines returns the lines that the guide shows for a language: those for the
// assertion in a header of its own, or those for a bearer token. The front door in
// them is c.
func guideLines(t *testing.T, c *caddyServer, language, form string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "guides", "identity.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```" + language + " " + form + "\n(.*?)^```").FindSubmatch(text)
	if block == nil {
		t.Fatalf("the guide has no lines in %s for %s", language, form)
	}
	return strings.ReplaceAll(string(block[1]), "https://mcp.example.com", c.URL)
}

// checker is a program around lines of the guide. It reads assertions, one a line,
// and answers each with the subject, or an empty line if it refuses.
type checker struct {
	name string
	cmd  func(t *testing.T, c *caddyServer) *exec.Cmd
}

// inNode returns a program whose modules are those of the Node side.
func inNode(t *testing.T, c *caddyServer, program string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	modules, err := filepath.Abs(filepath.Join(nodeDir, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", file(t, dir, "program.mjs", program))
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+c.CA, "NODE_NO_WARNINGS=1")
	return cmd
}

func inPython(t *testing.T, c *caddyServer, program string) *exec.Cmd {
	t.Helper()
	if err := exec.Command("/usr/bin/python3", "-c", "import jwt, cryptography").Run(); err != nil {
		skip(t, "PyJWT is not installed: apt-get install python3-jwt, or `make test` as root")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/bin/python3", file(t, t.TempDir(), "program.py", program))
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+c.CA, "PYTHONPATH="+here, "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var headerCheckers = []checker{
	{"jose", func(t *testing.T, c *caddyServer) *exec.Cmd {
		needNode(t)
		return inNode(t, c, guideLines(t, c, "js", "header")+`
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  console.log(await sender(line).then((claims) => claims.sub, () => ""));
}`)
	}},
	{"PyJWT", func(t *testing.T, c *caddyServer) *exec.Cmd {
		return inPython(t, c, guideLines(t, c, "python", "header")+`
import sys
for line in sys.stdin:
    try:
        print(sender(line.strip())["sub"])
    except jwt.PyJWTError:
        print()
`)
	}},
	{"go-oidc, with go-jose", func(t *testing.T, c *caddyServer) *exec.Cmd {
		program := "package main\n\nimport (\n\t\"bufio\"\n\t\"context\"\n\t\"fmt\"\n\t\"os\"\n\n\t\"github.com/coreos/go-oidc/v3/oidc\"\n)\n\n" +
			guideLines(t, c, "go", "header") + `
func main() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		subject := ""
		if token, err := sender(context.Background(), lines.Text()); err == nil {
			subject = token.Subject
		}
		fmt.Println(subject)
	}
}
`
		cmd := exec.Command("go", "run", file(t, t.TempDir(), "main.go", program))
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+c.CA)
		return cmd
	}},
}

var bearerCheckers = []checker{
	{"the TypeScript SDK", func(t *testing.T, c *caddyServer) *exec.Cmd {
		needNode(t)
		return inNode(t, c, guideLines(t, c, "js", "bearer")+`
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  console.log(await new Promise((done) => {
    const req = { headers: { authorization: "Bearer " + line } };
    const res = { set() {}, status(code) { return { json() { done(code === 401 ? "" : "status " + code) } } } };
    auth(req, res, () => done(req.auth.extra.sub));
  }));
}`)
	}},
	{"a verifier like FastMCP's", func(t *testing.T, c *caddyServer) *exec.Cmd {
		return inPython(t, c, guideLines(t, c, "python", "bearer")+`
import asyncio, sys
for line in sys.stdin:
    token = asyncio.run(auth.verify_token(line.strip()))
    print(token.claims["sub"] if token else "")
`)
	}},
}

// What the guide shows checks an assertion, and refuses all that isn't one for this
// server from this door.
func TestGuideOfAssertions(t *testing.T) {
	t.Parallel()
	for form, checkers := range map[string][]checker{"header": headerCheckers, "bearer": bearerCheckers} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			options := map[string]string{"header": "", "bearer": "authorization\n"}[form]
			header := map[string]string{"header": "X-Mcp-Auth-Assertion", "bearer": "Authorization"}[form]
			f := startFakeIssuer(t)
			behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write([]byte(strings.TrimPrefix(r.Header.Get(header), "Bearer ")))
			}))
			t.Cleanup(behind.Close)
			door := func(path, audience string) string {
				return f.fill("mcp_auth " + path + "* SITE" + path + " {\nissuer ISSUER\nassertion {\naudience " + audience + "\nclaims email\n" + options + "}\n}\n")
			}
			proxy := "reverse_proxy " + behind.Listener.Addr().String() + "\n"
			c := startCaddy(t, door("/mcp", "https://backend.internal")+door("/other", "https://backend.internal")+proxy)
			get := func(path string, claims map[string]any) string {
				t.Helper()
				claims["aud"] = c.URL + path
				got := c.do("POST", path, initialize, "Authorization", "Bearer "+f.token(c, claims))
				if got.status != 200 || strings.Count(got.body, ".") != 2 {
					t.Fatalf("%s: got %d %s", path, got.status, got.body)
				}
				return got.body
			}
			good := get("/mcp", map[string]any{"sub": "ada"})
			expiry := time.Now().Add(3 * time.Second)
			refused := map[string]string{
				"of another door":            get("/other", map[string]any{"sub": "ada"}),
				"that has expired":           get("/mcp", map[string]any{"sub": "ada", "exp": expiry.Unix()}),
				"the user's own token":       f.token(c, map[string]any{"sub": "ada"}),
				"one of the issuer's for us": f.token(c, map[string]any{"sub": "ada", "iss": c.URL + "/mcp", "aud": "https://backend.internal"}),
				"nothing":                    "",
				"something else":             "a.b.c",
				"with other claims":          replaced(good, 1, strings.Replace(part(t, good, 1), `"ada"`, `"eve"`, 1)),
				"without a signature":        good[:strings.LastIndex(good, ".")+1],
				"with alg none":              replaced(replaced(good, 0, strings.Replace(part(t, good, 0), "ES256", "none", 1)), 2, ""),
				"for another server behind":  "", // below
			}
			for name, forged := range forgeries(t, c, good) {
				refused[name] = forged
			}
			c.reload(door("/mcp", "https://other.internal") + door("/other", "https://backend.internal") + proxy)
			refused["for another server behind"] = get("/mcp", map[string]any{"sub": "ada"})
			c.reload(door("/mcp", "https://backend.internal") + door("/other", "https://backend.internal") + proxy)
			again := get("/mcp", map[string]any{"sub": "bob"})

			names := []string{"good", "of another user"}
			lines := []string{good, again}
			want := []string{"ada", "bob"}
			for name, text := range refused {
				names, lines, want = append(names, name), append(lines, text), append(want, "")
			}
			// PyJWT is told to tolerate five seconds.
			time.Sleep(time.Until(expiry.Add(6 * time.Second)))
			for _, ch := range checkers {
				t.Run(ch.name, func(t *testing.T) {
					cmd := ch.cmd(t, c)
					cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
					got := strings.Split(strings.TrimSuffix(string(output(t, cmd)), "\n"), "\n")
					if len(got) != len(want) {
						t.Fatalf("got %q, want %d lines", got, len(want))
					}
					for i := range want {
						if got[i] != want[i] {
							t.Errorf("%s: got %q, want %q", names[i], got[i], want[i])
						}
					}
				})
			}
		})
	}
}

// part returns a part of a JWS, decoded.
func part(t *testing.T, jws string, i int) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(jws, ".")[i])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// replaced returns a JWS with another part.
func replaced(jws string, i int, with string) string {
	parts := strings.Split(jws, ".")
	parts[i] = base64.RawURLEncoding.EncodeToString([]byte(with))
	return strings.Join(parts, ".")
}

// forgeries returns tokens with the claims of an assertion that others have signed.
func forgeries(t *testing.T, c *caddyServer, good string) map[string]string {
	t.Helper()
	var header struct{ Kid, Typ string }
	if err := json.Unmarshal([]byte(part(t, good, 0)), &header); err != nil {
		t.Fatal(err)
	}
	set := c.do("GET", "/.well-known/mcp-auth/jwks.json", "").body
	var public jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(set), &public); err != nil || len(public.Keys) != 1 {
		t.Fatalf("got the keys %s, %v", set, err)
	}
	key, err := public.Keys[0].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(alg jose.SignatureAlgorithm, with any, embed bool) string {
		t.Helper()
		if alg == jose.ES256 {
			with = jose.JSONWebKey{Key: with, KeyID: header.Kid}
		}
		options := (&jose.SignerOptions{EmbedJWK: embed}).WithType(jose.ContentType(header.Typ)).WithHeader("kid", header.Kid)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: with}, options)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(part(t, good, 1)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	return map[string]string{
		"by another key of that name":    sign(jose.ES256, other, false),
		"by a key that it brings along":  sign(jose.ES256, other, true),
		"by the public key as a secret":  sign(jose.HS256, key, false),
		"by the set of keys as a secret": sign(jose.HS256, []byte(set), false),
		"by the public key, with HS512":  sign(jose.HS512, append(key, make([]byte, 64)...), false),
		"by the identifier of the key":   sign(jose.HS256, []byte(header.Kid), false),
	}
}
