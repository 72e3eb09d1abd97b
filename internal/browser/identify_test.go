package browser_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// A new browser that opens several pages at the same time sends no cookies with any
// of them, and gets some from each.
func TestParallelVisits(t *testing.T) {
	t.Parallel()
	site, _, _ := newSite()
	ada := jar{}
	var texts []string
	for range 3 {
		tab := jar{}
		tab.open(site, func(v *browser.Visit) {
			text, err := v.Seal(sealed.Question, "yes?", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, text)
		})
		for name, value := range tab {
			ada[name] = value
		}
	}
	before := len(ada)
	ada.open(site, func(v *browser.Visit) {
		text, err := v.Seal(sealed.Question, "yes?", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	})
	if len(ada) != before {
		t.Errorf("another identifier for a browser that has some: %v", ada)
	}
	for i, text := range texts {
		ada.open(site, func(v *browser.Visit) {
			if err := v.Open(sealed.Question, text, new(string)); err != nil {
				t.Errorf("page %d: %v", i, err)
			}
		})
	}
}

// Only cookies of this site count as identifiers, each once, and not any number.
func TestIdentifiers(t *testing.T) {
	t.Parallel()
	site, _, _ := newSite()
	const id = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var text string
	name := "__Host-id_" + hash
	jar{name: id}.open(site, func(v *browser.Visit) { text, _ = v.Seal(sealed.Question, "yes?", time.Hour) })
	many := ""
	for i := range 8 {
		many += "__Host-id_" + string(rune('a'+i)) + "_" + hash + "=" + id[1:] + "A; "
	}
	for header, opens := range map[string]bool{
		name + "=" + id:                                    true,
		"__Host-id_x_" + hash + "=" + id:                   true,
		"__Host-id_x_" + hash + "=" + id[1:]:               false, // too short
		name + "=" + id + "; " + name + "=" + id[1:] + "A": false, // one of them is another site's
		"id_" + hash + "=" + id:                            false, // planted by another host
		"__Host-id_0123456789abcdef=" + id:                 false, // of another issuer
		"__Host-idx_" + hash + "=" + id:                    false, // another cookie
		"__Host-id=" + id:                                  false,
		many + "__Host-id_z_" + hash + "=" + id:            false, // one too many
	} {
		r := httptest.NewRequest(http.MethodGet, "https://mcp.example.com/", nil)
		r.Header.Set("Cookie", header)
		err := site.Visit(httptest.NewRecorder(), r).Open(sealed.Question, text, new(string))
		if (err == nil) != opens || err != nil && !errors.Is(err, browser.ErrClosed) {
			t.Errorf("%s: got %v, want that it opens: %t", header, err, opens)
		}
	}
}
