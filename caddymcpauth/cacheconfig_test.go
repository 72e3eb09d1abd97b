package caddymcpauth_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

func TestCacheAdaptErrors(t *testing.T) {
	t.Parallel()
	const usage = "cache takes `off`, or a block with ttl and max_entries"
	for _, test := range []struct{ name, option, want string }{
		{"nothing", "cache", usage},
		{"empty block", "cache {\n}", usage},
		{"on", "cache on", usage},
		{"a duration", "cache 60s", usage},
		{"two words", "cache off 60s", usage},
		{"twice", "cache off\ncache off", "cache is given twice"},
		{"twice, in blocks", "cache {\nttl 5s\n}\ncache {\nmax_entries 5\n}", "cache is given twice"},
		{"unknown option", "cache {\nsize 5\n}", "unrecognized option of cache: size (known: ttl, max_entries)"},
		{"ttl without value", "cache {\nttl\n}", "takes one value"},
		{"ttl with two values", "cache {\nttl 5s 6s\n}", "takes one value"},
		{"ttl twice", "cache {\nttl 5s\nttl 6s\n}", "ttl is given twice"},
		{"ttl empty", "cache {\nttl \"\"\n}", `ttl "" is not a duration such as 60s`},
		{"ttl without unit", "cache {\nttl 60\n}", `ttl "60" is not a duration such as 60s`},
		{"ttl zero", "cache {\nttl 0s\n}", `ttl "0s" is not a duration such as 60s`},
		{"ttl negative", "cache {\nttl -5s\n}", `ttl "-5s" is not a duration such as 60s`},
		{"max_entries without value", "cache {\nmax_entries\n}", "takes one value"},
		{"max_entries twice", "cache {\nmax_entries 5\nmax_entries 5\n}", "max_entries is given twice"},
		{"max_entries no number", "cache {\nmax_entries many\n}", `max_entries "many" is not a positive number`},
		{"max_entries zero", "cache {\nmax_entries 0\n}", `max_entries "0" is not a positive number`},
		{"max_entries negative", "cache {\nmax_entries -1\n}", `max_entries "-1" is not a positive number`},
		{"max_entries with a unit", "cache {\nmax_entries 5MB\n}", `max_entries "5MB" is not a positive number`},
		{"a block within", "cache {\nttl 5s {\nx\n}\n}", "unexpected token '{'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := adapt(issuerWith(test.option))
			checkError(t, err, test.want)
		})
	}
}

// JSON configurations report the same mistakes.
func TestCacheProvisionErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, cache, want string }{
		{"ttl negative", `{"ttl":-1}`, "cache: ttl is negative"},
		{"max_entries negative", `{"max_entries":-1}`, "cache: max_entries is negative"},
		{"off with ttl", `{"off":true,"ttl":"5s"}`, "cache: it is off, so ttl and max_entries have no effect: remove them"},
		{"off with max_entries", `{"off":true,"max_entries":5}`, "cache: it is off, so ttl and max_entries have no effect: remove them"},
		{"unknown member", `{"size":5}`, "unknown field"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := provision(t, json.RawMessage(`[{"handle":[{"handler":"mcp_auth","resource":"`+testResource+
				`","issuers":[{"issuer":"https://cache.example.com","cache":`+test.cache+`}]}]}]`))
			checkError(t, err, test.want)
		})
	}
}

// asked returns how often the issuer is asked about a token that is sent thrice.
func asked(t *testing.T, srv *oauthtest.Server, sites ...*site) int {
	t.Helper()
	token := srv.Opaque(nil)
	before := srv.Count(oauthtest.Userinfo)
	for range 3 {
		for _, s := range sites {
			served.check(t, s.do(t, "POST", "/mcp", bearer(token)...), "")
		}
	}
	return srv.Count(oauthtest.Userinfo) - before
}

func TestCacheOption(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, option string
		want         int
	}{
		{"default", "", 1},
		{"ttl", "cache {\nttl 1h\n}", 1},
		{"short ttl", "cache {\nttl 1ns\n}", 3},
		{"off", "cache off", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := newIssuer(t)
			s := serve(t, guestDoorOf(srv.Issuer(), "userinfo\n"+test.option), nil)
			if got := asked(t, srv, s); got != test.want {
				t.Errorf("a token sent thrice: got %d questions, want %d", got, test.want)
			}
		})
	}
}

// Two sites share verdicts if they judge alike, and only then: what one accepts
// must not pass at the other for that.
func TestCacheSharing(t *testing.T) {
	t.Parallel()
	one := func(issuer string) string { return guestDoorOf(issuer, "userinfo") }
	for _, test := range []struct {
		name  string
		other func(issuer string) string
		want  int
	}{
		{"the same", one, 1},
		{"other scopes", func(issuer string) string {
			return strings.Replace(one(issuer), "issuer", "scope_implies a b\nissuer", 1)
		}, 1},
		{"another verifier beside it", func(issuer string) string { return guestDoorOf(issuer, "jwt\nuserinfo") }, 1},
		{"another audience", func(issuer string) string { return guestDoorOf(issuer, "userinfo\naudience x") }, 2},
		{"another resource", func(issuer string) string {
			return strings.Replace(one(issuer), testResource, "https://mcp.example.com/mcp/other", 1)
		}, 2},
		{"another resource, the same audience", func(issuer string) string {
			return strings.Replace(guestDoorOf(issuer, "userinfo\naudience "+testResource), testResource, "https://mcp.example.com/mcp/other", 1)
		}, 2},
		{"other settings of the verifier", func(issuer string) string {
			return guestDoorOf(issuer, "userinfo {\nrequire email_verified true\n}")
		}, 2},
		{"other metadata", func(issuer string) string { return guestDoorOf(issuer, "userinfo\nmetadata service_documentation x") }, 2},
		{"another cache", func(issuer string) string { return guestDoorOf(issuer, "userinfo\ncache {\nttl 59s\n}") }, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := newIssuer(t)
			if got := asked(t, srv, serve(t, one(srv.Issuer()), nil), serve(t, test.other(srv.Issuer()), nil)); got != test.want {
				t.Errorf("a token sent to two sites: got %d questions, want %d", got, test.want)
			}
		})
	}
}

// A reload asks nothing about tokens that are known, good or bad; one that
// changes how tokens are judged does.
func TestReloadKeepsVerdicts(t *testing.T) {
	t.Parallel()
	srv := newIssuer(t)
	token := srv.Opaque(nil)
	old := mustProvision(t, guestDoorOf(srv.Issuer(), "userinfo"))
	if got := old.try(token); got != 200 {
		t.Fatalf("got %d", got)
	}
	if got := old.try("bad"); got != 401 {
		t.Fatalf("got %d", got)
	}
	srv.ForgetRequests()
	for i, options := range []string{"", "scope_implies a b", "forward_token"} {
		reloaded := mustProvision(t, strings.Replace(guestDoorOf(srv.Issuer(), "userinfo"), "\tissuer", options+"\n\tissuer", 1))
		old.cleanup()
		for raw, want := range map[string]int{token: 200, "bad": 401} {
			if got := reloaded.try(raw); got != want {
				t.Errorf("reload %d: got %d, want %d", i, got, want)
			}
			// A request that was under way when the old configuration ended.
			if got := old.try(raw); got != want {
				t.Errorf("reload %d: a late request of the old configuration got %d, want %d", i, got, want)
			}
		}
		old = reloaded
	}
	if n := srv.Count(oauthtest.Any); n != 0 {
		t.Errorf("reloads made %d requests to the issuer, want none", n)
	}
	stricter := mustProvision(t, guestDoorOf(srv.Issuer(), "userinfo {\nrequire email nobody@example.com\n}"))
	old.cleanup()
	if got := stricter.try(token); got != 401 {
		t.Errorf("after a reload that asks for more: got %d, want 401", got)
	}
}

// What a placeholder of the verifier stands for may change from one
// configuration to the next, and with it whose verdicts are worth something.
func TestReloadWithAnotherPlaceholder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "client")
	write := func(id string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(id), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv := oauthtest.New(t, oauthtest.Options{Personality: oauthtest.DjangoOAuthToolkit, ClientID: "front-door", ClientSecret: "secret"})
	site := guestDoorOf(srv.Issuer(), "discovery off\nintrospection {\nendpoint "+srv.Endpoint(oauthtest.Introspection)+
		"\nclient_id {file."+file+"}\nclient_secret secret\ninsecure_allow_missing_audience\n}")
	write("front-door")
	token := srv.Opaque(nil)
	old := mustProvision(t, site)
	if got := old.try(token); got != 200 {
		t.Fatalf("got %d, want 200", got)
	}
	write("somebody-else")
	reloaded := mustProvision(t, site)
	old.cleanup()
	if got := reloaded.try(token); got != 503 {
		t.Errorf("with credentials that the issuer refuses: got %d, want 503", got)
	}
}
