package caddymcpauth_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// command runs `caddy mcp-auth` in this process and returns its exit code and
// what it wrote.
func command(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	root := &cobra.Command{Use: "mcp-auth"}
	caddycmd.Commands()["mcp-auth"].CobraFunc(root)
	var out, errs bytes.Buffer
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	err := root.ExecuteContext(t.Context())
	return exitCode(err), out.String(), errs.String()
}

// exitCode is what Caddy makes of a command's error, which for codes other than
// 1 is of a type that isn't exported.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		if code := v.Elem().FieldByName("ExitCode"); code.IsValid() {
			return int(code.Int())
		}
	}
	return 1
}

func TestCheckCommand(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	// The front door's resource must be what is dialed, so the site comes
	// first, and gets its handler afterwards.
	var behind http.Handler
	server := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { behind.ServeHTTP(w, r) })
	routes, err := adapt("mcp_auth " + server.URL + "/mcp {\n\tissuer " + issuer.Issuer() + "\n\tscopes read\n}")
	if err != nil {
		t.Fatal(err)
	}
	config, err := provision(t, routes)
	if err != nil {
		t.Fatal(err)
	}
	behind = config.handler(func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "served")
		return err
	})

	// The front door leaves nothing to be desired; the fake issuer knows no
	// CORS.
	code, out, _ := command(t, "", "check", "--json", server.URL+"/mcp")
	var report struct {
		Target, Kind       string
		Failures, Warnings int
		Findings           []struct{ About, Step, Code, Level, Message, Cure string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if code != 0 || report.Target != server.URL+"/mcp" || report.Kind != "resource" || report.Failures != 0 || report.Warnings == 0 {
		t.Errorf("got %d and %+v", code, report)
	}
	for _, f := range report.Findings {
		if f.About != issuer.Issuer() && f.Level != "ok" || f.About == issuer.Issuer() && f.Level == "error" {
			t.Errorf("got %+v", f)
		}
	}

	code, out, _ = command(t, "", "check", server.URL+"/mcp")
	if code != 0 || !strings.Contains(out, "ok    GET without token   401\n") || !strings.Contains(out, "\nwarn  token CORS") || strings.Contains(out, "FAIL") {
		t.Errorf("got %d and\n%s", code, out)
	}

	issuer.SetFault(oauthtest.Metadata, oauthtest.WrongIssuer("https://evil.example.com"))
	code, out, _ = command(t, "", "check", server.URL+"/mcp")
	if code != 1 || !strings.Contains(out, "FAIL  issuer") || !strings.Contains(out, "1 failed, ") {
		t.Errorf("wrong issuer: got %d and\n%s", code, out)
	}
	if code, out, _ = command(t, "", "check", issuer.Issuer()); code != 1 || !strings.HasPrefix(out, "authorization server ") {
		t.Errorf("wrong issuer, by its URL: got %d and\n%s", code, out)
	}
}

func TestCheckCommandUsage(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"no URL", nil, "accepts 1 arg"},
		{"two URLs", []string{"https://a.example.com", "https://b.example.com"}, "accepts 1 arg"},
		{"not a URL", []string{"mcp.example.com"}, "not an absolute URL"},
		{"in the clear", []string{"http://mcp.example.com"}, "not https"},
		{"no such file", []string{"https://a.example.com", "--ca", "/does/not/exist"}, "--ca: "},
		{"no certificate", []string{"https://a.example.com", "--ca", empty}, "has no certificate in PEM"},
		{"no time", []string{"https://a.example.com", "--timeout", "0s"}, "--timeout is not positive"},
		{"unknown flag", []string{"https://a.example.com", "--x"}, "unknown flag"},
	} {
		code, out, stderr := command(t, "", append([]string{"check"}, tc.args...)...)
		if code != 2 || out != "" || !strings.Contains(stderr, tc.want) {
			t.Errorf("%s: got %d, %q and %q, want 2, nothing and %q", tc.name, code, out, stderr, tc.want)
		}
	}
}
