package upstream_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

func TestCallbackRefused(t *testing.T) {
	t.Parallel()
	set := func(pairs ...string) func(url.Values) {
		return func(v url.Values) {
			for i := 0; i < len(pairs); i += 2 {
				v.Set(pairs[i], pairs[i+1])
			}
		}
	}
	for _, test := range []struct {
		name     string
		promised bool
		callback func(url.Values)
		want     string
	}{
		{"no state", false, func(v url.Values) { v.Del("state") }, "invalid"},
		{"empty state", false, set("state", ""), "invalid"},
		{"state of another sign-in", false, set("state", "sesame"), "invalid"},
		{"state cut short", false, func(v url.Values) { v.Set("state", v.Get("state")[:10]) }, "invalid"},
		{"state twice", false, func(v url.Values) { v["state"] = append(v["state"], v["state"][0]) }, "invalid"},
		{"another state after the right one", false, func(v url.Values) { v.Add("state", "sesame") }, "invalid"},
		{"code twice", false, func(v url.Values) { v.Add("code", "sesame") }, "invalid"},
		{"error twice", false, func(v url.Values) { v["error"] = []string{"access_denied", "access_denied"} }, "invalid"},
		{"something else twice", false, func(v url.Values) { v["scope"] = []string{"a", "b"} }, "invalid"},
		{"iss of another server", false, set("iss", "https://evil.example"), "invalid"},
		{"empty iss", false, set("iss", ""), "invalid"},
		{"iss missing though promised", true, nil, "invalid"},
		{"iss of another server, and promised", true, set("iss", "https://evil.example"), "invalid"},
		{"error with iss of another server", false, set("error", "access_denied", "iss", "https://evil.example"), "invalid"},
		{"error without the promised iss", true, set("error", "access_denied"), "invalid"},
		{"error with a wrong state", false, set("error", "access_denied", "state", "sesame"), "invalid"},
		{"no code", false, func(v url.Values) { v.Del("code") }, "invalid"},
		{"empty code", false, set("code", ""), "invalid"},
		{"nothing", false, func(v url.Values) { clear(v) }, "invalid"},
		{"access_denied", false, set("error", "access_denied", "error_description", "sesame"), "denied"},
		{"login_required", false, set("error", "login_required"), "denied"},
		{"consent_required", false, set("error", "consent_required"), "denied"},
		{"interaction_required", false, set("error", "interaction_required"), "denied"},
		{"account_selection_required", false, set("error", "account_selection_required"), "denied"},
		{"server_error", false, set("error", "server_error", "error_description", "sesame"), "unavailable"},
		{"temporarily_unavailable", false, set("error", "temporarily_unavailable"), "unavailable"},
		{"redirect_uri_mismatch", false, set("error", "redirect_uri_mismatch"), "invalid"},
		{"invalid_scope", false, set("error", "invalid_scope"), "invalid"},
		{"an error nobody knows", false, set("error", "sesame\nopen"), "invalid"},
		{"empty error", false, set("error", ""), "invalid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			f.metadata["authorization_response_iss_parameter_supported"] = test.promised
			id, err := f.signIn(t, f.oidc(t, nil), test.callback)
			checkRefused(t, id, err, test.want)
			if got := f.count(tokenPath); got != 0 {
				t.Errorf("got %d requests to the token endpoint, want 0", got)
			}
		})
	}
}

func TestCallbackAccepted(t *testing.T) {
	t.Parallel()
	for _, promised := range []bool{false, true} {
		f := newOP(t)
		f.metadata["authorization_response_iss_parameter_supported"] = promised
		id, err := f.signIn(t, f.oidc(t, nil), func(v url.Values) { v.Set("iss", f.issuer) })
		if err != nil || id.Subject != "u1" {
			t.Errorf("iss promised %v: got %q, %v, want u1", promised, id.Subject, err)
		}
	}
}

// TestEmptyPending: what a lost or forged sign-in leaves must match nothing.
func TestEmptyPending(t *testing.T) {
	t.Parallel()
	f := newOP(t)
	f.claims = map[string]any{"nonce": nil}
	o := f.oidc(t, nil)
	for name, p := range map[string]upstream.Pending{
		"all empty": {},
		"no nonce":  {State: "s", Verifier: "v"},
	} {
		_, err := o.Finish(t.Context(), redirectURI, p, url.Values{"state": {p.State}, "code": {code}})
		if got, want := kind(err), "invalid"; got != want {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, want)
		}
	}
}

func TestDeniedKeepsCode(t *testing.T) {
	t.Parallel()
	f := newOP(t)
	_, err := f.signIn(t, f.oidc(t, nil), func(v url.Values) { v.Set("error", "login_required") })
	denied, ok := errors.AsType[*upstream.DeniedError](err)
	if !ok || denied.Code != "login_required" {
		t.Errorf("got %v, want a denial with login_required", err)
	}
}

// brokenOff promises more than it sends.
func brokenOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(`{"access_token":"sesame`))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
