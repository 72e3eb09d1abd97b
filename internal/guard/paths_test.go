package guard

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
)

// keeper is a front door that keeps one token.
type keeper string

func (k keeper) KeepsToken(_ context.Context, raw string) bool { return raw == string(k) }

func (keeper) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }

// withDoors returns a guard before the routes, whose doors keep a token each.
// The door of an empty one can't say.
func withDoors(t *testing.T, routes string, tokens ...string) *Handler {
	t.Helper()
	server := new(caddyhttp.Server)
	if err := json.Unmarshal([]byte(`{"routes":[`+routes+`]}`), server); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.WithValue(t.Context(), caddyhttp.ServerCtxKey, server)})
	t.Cleanup(cancel)
	tree, err := routing.New(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	for i := range tree.Doors {
		if tokens[i] != "" {
			tree.Doors[i].Module = keeper(tokens[i])
		}
	}
	return &Handler{routes: func() (*routing.Tree, error) { return tree, nil }}
}

const (
	doorRoute = `{"match":[{"path":["/mcp*"]}],"handle":[{"handler":"mcp_auth","resource":"https://mcp.example.com/mcp"}]}`
	hostRoute = `{"match":[{"host":["mcp.example.com"]}],"handle":[{"handler":"subroute","routes":[` + doorRoute + `]}]}`
	restRoute = `{"handle":[{"handler":"reverse_proxy"}]}`
)

func TestScrubToken(t *testing.T) {
	t.Parallel()
	const token, padded = "dG9rZW4", "dG9rZW4=="
	for _, tt := range []struct {
		name, routes, keeps, target string
		sent                        []string
		kept                        bool
	}{
		{"beside the door", doorRoute, token, "/x", []string{"Bearer " + token}, false},
		{"in another case", doorRoute, token, "/x", []string{"bEARER " + token}, false},
		{"without a scheme", doorRoute, token, "/x", []string{token}, false},
		{"of another scheme", doorRoute, token, "/x", []string{"DPoP " + token}, false},
		{"with a tab", doorRoute, token, "/x", []string{"Bearer\t" + token}, false},
		{"after a colon", doorRoute, token, "/x", []string{"Bearer:" + token}, false},
		{"as a parameter", doorRoute, token, "/x", []string{"Bearer token=" + token}, false},
		{"in quotes", doorRoute, token, "/x", []string{`Bearer realm="x", token="` + token + `"`}, false},
		{"in a list", doorRoute, token, "/x", []string{"Basic YTpi, Bearer " + token}, false},
		{"on a second line", doorRoute, token, "/x", []string{"Basic YTpi", "Bearer " + token}, false},
		{"padded by the client", doorRoute, token, "/x", []string{"Bearer " + padded}, false},
		{"padded by the issuer", doorRoute, padded, "/x", []string{"Bearer " + padded}, false},
		{"of the host", hostRoute, token, "/x", []string{"Bearer " + token}, false},

		{"to the door", doorRoute, token, "/mcp", []string{"Bearer " + token}, true},
		{"to a path of the door", doorRoute, token, "/mcp/x", []string{"Bearer " + token}, true},
		{"another token", doorRoute, token, "/x", []string{"Bearer " + token + "x"}, true},
		{"basic authentication", doorRoute, token, "/x", []string{"Basic YTpi"}, true},
		{"an empty value", doorRoute, token, "/x", []string{""}, true},
		{"a door that isn't known to keep any", doorRoute, "", "/x", []string{"Bearer " + token}, true},
		{"of another host", strings.ReplaceAll(hostRoute, "mcp.example.com", "other.example.com"), token, "/x", []string{"Bearer " + token}, true},
		{"no door", restRoute, "", "/x", []string{"Bearer " + token}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := withDoors(t, tt.routes+","+restRoute, tt.keeps)
			r := httptest.NewRequest(http.MethodGet, "https://mcp.example.com"+tt.target, nil)
			r.Header["Authorization"] = tt.sent
			got, _ := pass(t, g, r)
			if got == nil {
				t.Fatal("the request did not go on")
			}
			if values, kept := got.Header["Authorization"]; kept != tt.kept || kept && !slices.Equal(values, tt.sent) {
				t.Errorf("got %q, want kept: %t", values, tt.kept)
			}
		})
	}
}

func TestTokensInIsBounded(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"words":      strings.Repeat("a ", 10*maxWords),
		"parameters": strings.Repeat("a=", 10*maxWords) + "a",
		"padding":    strings.Repeat("a==,", 10*maxWords),
	} {
		if n := len(tokensIn(value)); n != maxWords {
			t.Errorf("%s: got %d tokens, want %d", name, n, maxWords)
		}
	}
}

// A browser gets a page, a program an error as OAuth has them.
func TestAmbiguousPath(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ accept, contentType, want string }{
		"a program": {"application/json, text/event-stream", "application/json", `"error":"invalid_request"`},
		"anything":  {"", "application/json", `"error":"invalid_request"`},
		"a browser": {"text/html,application/xhtml+xml", "text/html", "Check the address."},
	} {
		r := httptest.NewRequest(http.MethodGet, "https://mcp.example.com/;/mcp", nil)
		r.Header.Set("Accept", tt.accept)
		w := httptest.NewRecorder()
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.ExtraLogFieldsCtxKey, new(caddyhttp.ExtraLogFields)))
		got, answer := passTo(t, withDoors(t, doorRoute+","+restRoute, "token"), w, r)
		if got != nil || answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %d, passed on: %t", name, answer.StatusCode, got != nil)
		}
		if contentType := answer.Header.Get("Content-Type"); !strings.HasPrefix(contentType, tt.contentType) || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: got %s: %s", name, contentType, w.Body)
		}
		if answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got Cache-Control %q", name, answer.Header.Get("Cache-Control"))
		}
	}
}

// What can't be followed isn't let through.
func TestRoutesThatFail(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	g := &Handler{routes: func() (*routing.Tree, error) { return nil, broken }}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	err := g.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		t.Error("the request went on")
		return nil
	}))
	var status caddyhttp.HandlerError
	if !errors.As(err, &status) || status.StatusCode != http.StatusInternalServerError || !errors.Is(err, broken) {
		t.Errorf("got %v, want 500 with the cause", err)
	}
}
