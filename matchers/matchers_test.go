package matchers_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the directives of fixtures

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/identity"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/matchers"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func TestAdapt(t *testing.T) { adapttest.Fixtures(t, "") }

// What isn't a name is refused, with the cure.
func TestRefusedNames(t *testing.T) {
	for _, test := range []struct{ name, site, want string }{
		{"no name", "@a mcp_tool", "wrong argument count"},
		{"an unset variable", "@a mcp_tool {$NOT_SET_ANYWHERE}", "wrong argument count"},
		{"an empty name", `@a mcp_tool ""`, "an empty name"},
		{"a placeholder", "@a mcp_tool {path}", "write *"},
		{"a comma", "@a mcp_prompt a,b", "separate names by blanks"},
		{"twice", "@a mcp_method ping ping", "ping is given twice"},
		{"a block", "@a mcp_tool delete_* {\n\tx\n}", "no block"},
		{"no URI", "@a mcp_resource secret", "normal form"},
		{"in an expression", "@a expression mcp_tool('a,b')", "separate names by blanks"},
		{"none in an expression", "@a expression mcp_tool()", "at least one argument"},
	} {
		t.Run(test.name, func(t *testing.T) {
			adapttest.Refused(t, test.site+"\nrespond @a 403", test.want)
		})
	}
}

// newRequest returns a request as Caddy's matchers get it.
func newRequest(method, body string) *http.Request {
	r := httptest.NewRequest(method, "https://mcp.example.com/mcp", strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, make(map[string]any))
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewReplacer())
	ctx = context.WithValue(ctx, caddyhttp.ExtraLogFieldsCtxKey, new(caddyhttp.ExtraLogFields))
	return r.WithContext(ctx)
}

// matcher returns the matcher of a line as in a Caddyfile.
func matcher(t *testing.T, line string) caddyhttp.RequestMatcherWithError {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	name, _, _ := strings.Cut(line, " ")
	module, err := caddy.GetModule("http.matchers." + name)
	if err != nil {
		t.Fatal(err)
	}
	m := module.New()
	if err := m.(caddyfile.Unmarshaler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(line)); err != nil {
		t.Fatal(err)
	}
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	if err := m.(caddy.Provisioner).Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return m.(caddyhttp.RequestMatcherWithError)
}

func request(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
}

func call(tool string) string { return request("tools/call", `{"name":"`+tool+`"}`) }

func read(uri string) string { return request("resources/read", `{"uri":"`+uri+`"}`) }

func TestMatch(t *testing.T) {
	const (
		completion = `{"ref":{"type":"ref/prompt","name":"review_go"},"argument":{"name":"x","value":""}}`
		template   = `{"ref":{"type":"ref/resource","uri":"file:///{path}"},"argument":{"name":"path","value":""}}`
		listen     = `{"notifications":{"resourceSubscriptions":["file:///a","file:///public/b"]}}`
	)
	for _, test := range []struct {
		name, matcher, body string
		want                bool
	}{
		{"a tool", "mcp_tool delete_*", call("delete_user"), true},
		{"one of several tools", "mcp_tool get drop delete_*", call("drop"), true},
		{"another tool", "mcp_tool delete_*", call("get_user"), false},
		{"a part of the name", "mcp_tool delete", call("delete_user"), false},
		{"another case", "mcp_tool delete_*", call("DELETE_user"), false},
		{"a prompt of that name", "mcp_tool *", request("prompts/get", `{"name":"delete_user"}`), false},
		{"the list", "mcp_tool *", request("tools/list", `{"name":"delete_user"}`), false},
		{"a notification", "mcp_tool *", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, false},
		{"a response", "mcp_method *", `{"jsonrpc":"2.0","id":1,"result":{}}`, false},
		{"a method", "mcp_method tools/call", call("x"), true},
		{"some methods", "mcp_method tasks/* resources/*", read("file:///a"), true},
		{"a notification's method", "mcp_method notifications/*", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, true},
		{"another method", "mcp_method tools/call", request("tools/list", "{}"), false},
		{"a prompt", "mcp_prompt review_*", request("prompts/get", `{"name":"review_go"}`), true},
		{"a prompt's completion", "mcp_prompt review_*", request("completion/complete", completion), true},
		{"another prompt", "mcp_prompt review_*", request("prompts/get", `{"name":"x"}`), false},
		{"a tool of that name", "mcp_prompt *", call("review_go"), false},
		{"a resource", "mcp_resource file:///public/*", read("file:///public/a"), true},
		{"a resource by its whole URI", "mcp_resource file:///public/a", read("file:///public/a"), true},
		{"another resource", "mcp_resource file:///public/*", read("file:///secret/a"), false},
		{"a subscription", "mcp_resource file:///public/*", request("resources/subscribe", `{"uri":"file:///public/a"}`), true},
		{"one of a stream's resources", "mcp_resource file:///public/*", request("subscriptions/listen", listen), true},
		{"none of a stream's resources", "mcp_resource https://*", request("subscriptions/listen", listen), false},
		{"a template's completion", "mcp_resource file:///*", request("completion/complete", template), true},
		{"a prompt's completion", "mcp_resource *", request("completion/complete", completion), false},
		{"a task", "mcp_resource *", request("tasks/get", `{"taskId":"file:///public/a"}`), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRequest("POST", test.body)
			got, err := matcher(t, test.matcher).MatchWithError(r)
			if got != test.want || err != nil {
				t.Errorf("%s on %s: got %t, %v, want %t", test.matcher, test.body, got, err, test.want)
			}
			if left, err := io.ReadAll(r.Body); string(left) != test.body || err != nil {
				t.Errorf("the body is %q, %v, want it as it came", left, err)
			}
		})
	}
}

// A request without a body has no message.
func TestWithoutMessage(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS"} {
		for _, length := range []int64{0, -1} { // HTTP/3 doesn't know
			r := newRequest(method, "")
			r.ContentLength = length
			if ok, err := matcher(t, "mcp_method *").MatchWithError(r); ok || err != nil {
				t.Errorf("%s: got %t, %v, want no match", method, ok, err)
			}
		}
	}
	// A tunnel isn't waited for.
	r := newRequest("CONNECT", "")
	r.ContentLength, r.Body = -1, io.NopCloser(neverRead{t})
	if ok, err := matcher(t, "mcp_method *").MatchWithError(r); ok || err != nil {
		t.Errorf("CONNECT: got %t, %v, want no match", ok, err)
	}
}

// What can't be read is an error: the server behind might read it all the same.
func TestUnreadable(t *testing.T) {
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	as := func(method string) func(*http.Request) { return func(r *http.Request) { r.Method = method } }
	large := call(strings.Repeat("x", 64<<10))
	for _, test := range []struct {
		name, body string
		change     func(*http.Request)
		want       int
	}{
		{"nothing", "", with("Content-Type", "application/json"), 400},
		{"not JSON", "name=delete_user", nil, 400},
		{"a batch", "[" + call("delete_user") + "]", nil, 400},
		{"a name twice", request("tools/call", `{"name":"get","name":"delete_user"}`), nil, 400},
		{"a name in another case", request("tools/call", `{"Name":"delete_user"}`), nil, 400},
		{"a header that says otherwise", call("delete_user"), with("Mcp-Name", "get"), 400},
		{"another media type", call("delete_user"), with("Content-Type", "text/plain"), 415},
		{"another charset", call("delete_user"), with("Content-Type", "application/json; charset=utf-16"), 415},
		{"compressed", call("delete_user"), with("Content-Encoding", "gzip"), 415},
		{"too large", large, nil, 413},
		{"too large, of unknown length", large, func(r *http.Request) { r.ContentLength = -1 }, 413},
		{"a GET with a body", call("delete_user"), as("GET"), 400},
		{"a DELETE with a body of unknown length", call("delete_user"), func(r *http.Request) { r.Method, r.ContentLength = "DELETE", -1 }, 400},
		{"a PUT", call("delete_user"), as("PUT"), 400},
		{"cut short", call("delete_user"), func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"jsonrpc"`), brokenReader{}))
		}, 400},
	} {
		for _, line := range []string{"mcp_tool *", "mcp_method *", "mcp_prompt *", "mcp_resource *"} {
			t.Run(test.name+", "+line, func(t *testing.T) {
				r := newRequest("POST", test.body)
				if test.change != nil {
					test.change(r)
				}
				ok, err := matcher(t, line).MatchWithError(r)
				bad, isHTTP := errors.AsType[caddyhttp.HandlerError](err)
				if ok || !isHTTP || bad.StatusCode != test.want {
					t.Errorf("got %t, %v, want the status %d", ok, err, test.want)
				}
				if test.name == "cut short" {
					return
				}
				if left, err := io.ReadAll(r.Body); string(left) != test.body || err != nil {
					t.Errorf("the body is %d bytes, %v, want the %d that came", len(left), err, len(test.body))
				}
			})
		}
	}
}

// Callers that ask without an error find it where Caddy looks for it: a message that
// can't be read must not look like one that doesn't match.
func TestMatchWithoutError(t *testing.T) {
	for _, line := range []string{"mcp_tool *", "mcp_method *", "mcp_prompt *", "mcp_resource *"} {
		for body, want := range map[string]struct {
			match  bool
			status int
		}{
			request("completion/complete", `{"ref":{"type":"ref/prompt","name":"x"}}`): {line == "mcp_prompt *" || line == "mcp_method *", 0},
			"{": {false, 400},
		} {
			r := newRequest("POST", body)
			got := matcher(t, line).(caddyhttp.RequestMatcher).Match(r)                   //nolint:staticcheck // deprecated, and still asked for
			err, _ := caddyhttp.GetVar(r.Context(), caddyhttp.MatcherErrorVarKey).(error) //nolint:staticcheck // as is where the error is
			bad, _ := errors.AsType[caddyhttp.HandlerError](err)
			if got != want.match || bad.StatusCode != want.status {
				t.Errorf("%s on %s: got %t, %v, want %+v", line, body, got, err, want)
			}
		}
	}
}

type neverRead struct{ t *testing.T }

func (n neverRead) Read([]byte) (int, error) {
	n.t.Error("the body is read")
	return 0, io.EOF
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A URI that servers read in several ways is neither a match nor none.
func TestURIsInSeveralReadings(t *testing.T) {
	for _, uri := range []string{"file:///public/../secret", "FILE:///public/a", "file:///public/%61", "file:///public//a", "secret"} {
		ok, err := matcher(t, "mcp_resource file:///public/*").MatchWithError(newRequest("POST", read(uri)))
		if bad, isHTTP := errors.AsType[caddyhttp.HandlerError](err); ok || !isHTTP || bad.StatusCode != 400 {
			t.Errorf("%s: got %t, %v, want 400", uri, ok, err)
		}
	}
	// Matchers that aren't about resources have no opinion.
	if ok, err := matcher(t, "mcp_method resources/read").MatchWithError(newRequest("POST", read("secret"))); !ok || err != nil {
		t.Errorf("by method: got %t, %v, want a match", ok, err)
	}
}

// Who was let in may send more.
func TestLimits(t *testing.T) {
	for _, test := range []struct {
		name     string
		size     int
		admitted bool
		want     int // 0 for a match
	}{
		{"a stranger's", 64 << 10, false, 0},
		{"too large of a stranger", 64<<10 + 1, false, 413},
		{"a user's", 4 << 20, true, 0},
		{"too large of a user", 4<<20 + 1, true, 413},
	} {
		for _, known := range []bool{true, false} {
			t.Run(test.name+", length known: "+strconv.FormatBool(known), func(t *testing.T) {
				body := call("x")
				body += strings.Repeat(" ", test.size-len(body))
				r := newRequest("POST", body)
				if !known {
					r.ContentLength = -1
				}
				if test.admitted {
					identity.Set(r.Context(), token.NewReader(&token.Token{}))
				}
				ok, err := matcher(t, "mcp_tool x").MatchWithError(r)
				bad, _ := errors.AsType[caddyhttp.HandlerError](err)
				if ok != (test.want == 0) || bad.StatusCode != test.want {
					t.Errorf("got %t, %v, want %d", ok, err, test.want)
				}
			})
		}
	}
}

// Matchers work as functions in expressions, with their errors.
func TestExpression(t *testing.T) {
	for _, test := range []struct {
		expression, body string
		want             bool
		status           int
	}{
		{"mcp_tool('delete_*', 'drop_*') && path('/mcp*')", call("drop_table"), true, 0},
		{"mcp_tool('delete_*')", call("get"), false, 0},
		{"!mcp_tool('delete_*')", call("get"), true, 0},
		{"mcp_method('tools/call') && !mcp_tool('get_*')", call("delete"), true, 0},
		{"mcp_prompt('x') || mcp_resource('file:///*')", read("file:///a"), true, 0},
		{"mcp_tool('delete_*')", "{", false, 400},
		{"!mcp_tool('delete_*')", "{", false, 400},
		{"mcp_tool('delete_*')", call(strings.Repeat("x", 64<<10)), false, 413},
		// What stands before decides whether a body is read.
		{"path('/api*') && mcp_tool('delete_*')", "{", false, 0},
	} {
		t.Run(test.expression, func(t *testing.T) {
			ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
			t.Cleanup(cancel)
			m := &caddyhttp.MatchExpression{Expr: test.expression}
			if err := m.Provision(ctx); err != nil {
				t.Fatal(err)
			}
			got, err := m.MatchWithError(newRequest("POST", test.body))
			bad, _ := errors.AsType[caddyhttp.HandlerError](err)
			if got != test.want || bad.StatusCode != test.status || (err == nil) != (test.status == 0) {
				t.Errorf("got %t, %v, want %t, %d", got, err, test.want, test.status)
			}
		})
	}
}

// A body is read once for all that need it, and one message comes of it.
func TestReadOnce(t *testing.T) {
	body := call("delete_user")
	source := &counted{Reader: strings.NewReader(body)}
	r := newRequest("POST", "")
	r.Header.Set("Content-Type", "application/json")
	r.Body, r.ContentLength = source, int64(len(body))
	for _, line := range []string{"mcp_tool delete_*", "mcp_method tools/call", "mcp_tool *"} {
		if ok, err := matcher(t, line).MatchWithError(r); !ok || err != nil {
			t.Fatalf("%s: got %t, %v", line, ok, err)
		}
	}
	if source.n != len(body) || source.ends != 1 {
		t.Errorf("read %d bytes to %d ends, want %d and 1", source.n, source.ends, len(body))
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if got := repl.ReplaceAll("{http.mcp.method} {http.mcp.name} {http.mcp.tool} {http.mcp.prompt}{http.mcp.resource}{http.mcp.other}", ""); got != "tools/call delete_user delete_user " {
		t.Errorf("placeholders: %q", got)
	}
}

type counted struct {
	io.Reader
	n, ends int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	if err == io.EOF {
		c.ends++
	}
	return n, err
}

func (c *counted) Close() error { return nil }

// JSON is as the manual has it.
func TestJSON(t *testing.T) {
	var m matchers.MatchTool
	if err := json.Unmarshal([]byte(`{"names":["delete_*"]}`), &m); err != nil || len(m.Names) != 1 {
		t.Errorf("got %+v, %v", m, err)
	}
}
