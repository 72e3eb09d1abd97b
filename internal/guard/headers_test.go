package guard

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestHeadersCheck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		names []string
		ok    bool
	}{
		"none":               {nil, true},
		"several":            {[]string{"X-User", "X-Email", "Remote-User"}, true},
		"nearly taken":       {[]string{"X-Host", "Hosted-By", "Mc-User"}, true},
		"empty":              {[]string{""}, false},
		"dashes alone":       {[]string{"--"}, false},
		"a blank":            {[]string{"X User"}, false},
		"a line break":       {[]string{"X-User\r\nX-Admin"}, false},
		"authorization":      {[]string{"authorization"}, false},
		"the host":           {[]string{"Host"}, false},
		"the body's length":  {[]string{"Content_Length"}, false},
		"connection options": {[]string{"connection"}, false},
		"MCP's":              {[]string{"Mcp-Session-Id"}, false},
		"MCP's, folded":      {[]string{"MCP_User"}, false},
		"the same twice":     {[]string{"X-User", "X-User"}, false},
		"the same, folded":   {[]string{"X-User", "X-Email", "x_user"}, false},
	} {
		headers := NewHeaders(tt.names...)
		if err := headers.Check(); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", name, err)
		}
		if got := headers.Names(); !slices.Equal(got, tt.names) {
			t.Errorf("%s: got names %q, want %q", name, got, tt.names)
		}
	}
}

// The headers of two doors that a request comes through both stay.
func TestMarkSetTwice(t *testing.T) {
	t.Parallel()
	r := caddyhttp.PrepareRequest(httptest.NewRequest(http.MethodGet, "/", nil), caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
	r.Header = http.Header{"X-User": {"ada"}, "X-Email": {"ada@example.com"}, "X-Name": {"forged"}}
	NewHeaders("X-User").MarkSet(r)
	NewHeaders("X-Email").MarkSet(r)
	got, _ := pass(t, &Handler{headers: NewHeaders("X-User", "X-Email", "X-Name")}, r)
	if got.Header.Get("X-User") != "ada" || got.Header.Get("X-Email") != "ada@example.com" || got.Header["X-Name"] != nil {
		t.Errorf("got %v", got.Header)
	}
}

// Without headers of its own, a door scrubs nothing.
func TestNoHeaders(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-User", "ada")
	NewHeaders().Scrub(r)
	if r.Header.Get("X-User") != "ada" {
		t.Errorf("got %v", r.Header)
	}
}
