package facade

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Programs are refused in JSON what some server could read in another way.
func TestTokenHasOneReading(t *testing.T) {
	t.Parallel()
	s := newSite(t, strings.Replace(shared, "register", "strip resource\nregister", 1))
	const form = "grant_type=refresh_token&refresh_token=r&client_id=mcp-client"
	for name, r := range map[string]*http.Request{
		"by GET":                    request("GET", "/o/token/?"+form, ""),
		"by HEAD":                   request("HEAD", "/o/token/?"+form, ""),
		"by PUT":                    request("PUT", "/o/token/", form, "Content-Type", formType),
		"in the query":              request("POST", "/o/token/?client_id=mcp-client", form, "Content-Type", formType),
		"in the query, folded":      request("POST", "/o/token/?Client_Id=mcp-client", form, "Content-Type", formType),
		"twice":                     request("POST", "/o/token/", form+"&grant_type=password", "Content-Type", formType),
		"folded":                    request("POST", "/o/token/", form+"&Grant-Type=password", "Content-Type", formType),
		"brackets":                  request("POST", "/o/token/", form+"&scope[]=x", "Content-Type", formType),
		"stripped, folded":          request("POST", "/o/token/", form+"&RESOURCE=x", "Content-Type", formType),
		"here and there":            request("POST", "/o/token/?x=1", form+"&x=2", "Content-Type", formType),
		"a semicolon":               request("POST", "/o/token/", form+";scope=x", "Content-Type", formType),
		"JSON":                      request("POST", "/o/token/", `{"grant_type":"x"}`, "Content-Type", "application/json"),
		"multipart":                 request("POST", "/o/token/", "--b--", "Content-Type", "multipart/form-data; boundary=b"),
		"no type":                   request("POST", "/o/token/", form),
		"two types":                 request("POST", "/o/token/", form, "Content-Type", formType, "Content-Type", formType),
		"another charset":           request("POST", "/o/token/", form, "Content-Type", formType+"; charset=iso-8859-1"),
		"compressed":                request("POST", "/o/token/", form, "Content-Type", formType, "Content-Encoding", "deflate"),
		"two authorizations":        request("POST", "/o/token/", form, "Content-Type", formType, "Authorization", "Basic YTpi", "Authorization", "Basic YzpkCg"),
		"another method":            request("POST", "/o/token/", form, "Content-Type", formType, "X-HTTP-Method-Override", "GET"),
		"_method":                   request("POST", "/o/token/", form+"&_method=DELETE", "Content-Type", formType),
		"a request object":          request("POST", "/o/token/", form+"&request=x", "Content-Type", formType),
		"another case":              request("POST", "/o/token/", "grant_type=refresh_token&client_id=MCP-Client", "Content-Type", formType),
		"another case, by Basic":    request("POST", "/o/token/", "grant_type=refresh_token", "Content-Type", formType, "Authorization", "Basic TUNQLUNsaWVudDp4"),
		"a blank":                   request("POST", "/o/token/", "client_id=mcp-client%20", "Content-Type", formType),
		"oversized":                 request("POST", "/o/token/", form+"&x="+strings.Repeat("x", 70_000), "Content-Type", formType),
		"the path, misread":         request("POST", "/o/Token/", form, "Content-Type", formType),
		"the path without a slash":  request("POST", "/o/token", form, "Content-Type", formType),
		"an extension":              request("POST", "/o/token.json", form, "Content-Type", formType),
		"an encoded slash":          request("POST", "/o%2Ftoken/", form, "Content-Type", formType),
		"revocation by GET":         request("GET", "/o/revoke_token/?token=x", ""),
		"revocation, folded":        request("POST", "/o/revoke_token/", "Token=x", "Content-Type", formType),
		"introspection, twice":      request("POST", "/o/introspect/", "token=x&token=y", "Content-Type", formType),
		"introspection's path":      request("POST", "/o/Introspect/", "token=x", "Content-Type", formType),
		"registration's path":       request("POST", "/o/OAuth/register", "{}", "Content-Type", "application/json"),
		"registration with a slash": request("POST", "/o/oauth/register/", "{}", "Content-Type", "application/json"),
	} {
		w := s.do(r)
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code/100 != 4 || w.Code == http.StatusTeapot || answer["error"] != "invalid_request" ||
			answer["error_description"] == "" || strings.ContainsAny(answer["error_description"], `"\`) || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
		if len(s.behind.got) != 0 {
			t.Fatalf("%s: got to the server: %+v", name, s.behind.got)
		}
	}
	for name, test := range map[string]struct {
		r            *http.Request
		target, body string
	}{
		"a refresh":        {request("POST", "/o/token/", form+"&&resource=a&resource=b", "Content-Type", "application/x-www-form-urlencoded;charset=utf-8"), "/o/token/", "client_id=mcp-client&grant_type=refresh_token&refresh_token=r"},
		"a part of it":     {request("POST", "/o/token/?p=B2C_1", "grant_type=x&scope=a+b", "Content-Type", formType), "/o/token/?p=B2C_1", "grant_type=x&scope=a%20b"},
		"a preflight":      {request("OPTIONS", "/o/token/", ""), "/o/token/", ""},
		"revocation":       {request("POST", "/o/revoke_token/", "token=a/b&resource=x", "Content-Type", formType), "/o/revoke_token/", "resource=x&token=a%2Fb"},
		"introspection":    {request("POST", "/o/introspect/", "token=x", "Content-Type", formType), "/o/introspect/", "token=x"},
		"another endpoint": {request("POST", "/o/applications/", "a[]=1;b", "Content-Type", "text/plain"), "/o/applications/", "a[]=1;b"},
	} {
		s.behind.got = nil
		if w := s.do(test.r); w.Code != http.StatusTeapot || len(s.behind.got) != 1 || s.behind.got[0].target != test.target || s.behind.got[0].body != test.body {
			t.Errorf("%s: got %d, behind %+v", name, w.Code, s.behind.got)
		}
	}
}

// Pushed requests would get past what is looked at, so the endpoint for them is
// closed and not in the metadata.
func TestPushedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	server := http.NewServeMux()
	up := newServer(t, server)
	server.HandleFunc("GET /o/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = writeJSON(w, 200, map[string]any{
			"issuer": issuer, "authorization_endpoint": issuer + "/auth", "token_endpoint": issuer + "/token", "jwks_uri": issuer + "/jwks",
			"code_challenge_methods_supported": []string{"S256"}, "pushed_authorization_request_endpoint": issuer + "/par",
		})
	})
	s := newSite(t, "upstream "+up+"/o")
	w := s.do(request("POST", "/o/par", good().Encode(), "Content-Type", formType))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "pushed authorization requests") || len(s.behind.got) != 0 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	w = s.do(request("GET", "/.well-known/oauth-authorization-server/o", ""))
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != 200 || m["pushed_authorization_request_endpoint"] != nil || m["request_uri_parameter_supported"] != false {
		t.Errorf("metadata: %d %s", w.Code, w.Body)
	}
	// What was discovered is inspected as what was set.
	if w := s.do(request("GET", "/o/AUTH?"+good().Encode(), "")); w.Code != 400 {
		t.Errorf("got %d", w.Code)
	}
	if w := s.do(request("GET", "/o/auth?"+good().Encode(), "")); w.Code != http.StatusTeapot {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestClientOf(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		user string
		form url.Values
		want string
	}{
		"form":           {"", url.Values{"client_id": {"a"}}, "a"},
		"Basic":          {"a%3Ab", nil, "a:b"},
		"Basic, escaped": {"a%zz", nil, "a%zz"},
		"none":           {"", nil, ""},
	} {
		r := request("POST", "/", "")
		if test.user != "" {
			r.SetBasicAuth(test.user, "x")
		}
		if got := clientOf(r, test.form); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
