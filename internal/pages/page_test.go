package pages_test

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// page is a page as a browser gets it.
type page struct {
	*httptest.ResponseRecorder
	body string
	root *html.Node
}

// get renders a page, and parses it.
func get(t testing.TB, p writer, status int) page {
	t.Helper()
	w := httptest.NewRecorder()
	p.Write(w, status)
	body := w.Body.String()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return page{w, body, root}
}

// all are the elements with that tag, or with any if it is empty.
func (p page) all(tag string) []*html.Node {
	var found []*html.Node
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && (tag == "" || n.Data == tag) {
			found = append(found, n)
		}
	}
	return found
}

// with are the elements that have the attribute with that value.
func (p page) with(key, value string) []*html.Node {
	return slices.DeleteFunc(p.all(""), func(n *html.Node) bool {
		got, ok := attr(n, key)
		return !ok || got != value
	})
}

// buttons are the page's buttons as name=value.
func (p page) buttons() []string {
	var found []string
	for _, n := range p.all("button") {
		name, _ := attr(n, "name")
		value, _ := attr(n, "value")
		found = append(found, name+"="+value)
	}
	return found
}

// text is what is to be read on the page.
func (p page) text() string { return text(p.all("body")[0]) }

// text is what is to be read in an element, with single spaces.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attr(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

// inside reports whether an element is in one with that tag.
func inside(n *html.Node, tag string) bool {
	for up := range n.Ancestors() {
		if up.Type == html.ElementNode && up.Data == tag {
			return true
		}
	}
	return false
}

// wellFormed checks what holds for every page.
func (p page) wellFormed(t *testing.T) {
	t.Helper()
	if lang, _ := attr(p.all("html")[0], "lang"); lang != "en" {
		t.Errorf("got lang %q, want en", lang)
	}
	for _, tag := range []string{"title", "h1", "main", "style"} {
		if got := p.all(tag); len(got) != 1 {
			t.Errorf("got %d elements %s, want 1", len(got), tag)
		} else if text(got[0]) == "" {
			t.Errorf("the element %s is empty", tag)
		}
	}
	for _, n := range p.all("script") {
		// The only one is ours, which the tests of the page compare.
		if len(n.Attr) > 0 || len(p.with("id", "address")) != 1 {
			t.Error("there is a script")
		}
	}
	for _, tag := range []string{"link", "img", "iframe", "object", "base"} {
		if len(p.all(tag)) > 0 {
			t.Errorf("there is an element %s", tag)
		}
	}
	labels := map[string]bool{}
	for _, n := range p.all("label") {
		id, _ := attr(n, "for")
		labels[id] = true
	}
	ids := map[string]bool{}
	for _, n := range p.all("") {
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has an attribute %s", n.Data, a.Key)
			}
			if strings.Contains(a.Val, "ZgotmplZ") {
				t.Errorf("<%s %s> was refused by the template", n.Data, a.Key)
			}
			if a.Key == "id" {
				if ids[a.Val] {
					t.Errorf("the id %q is there twice", a.Val)
				}
				ids[a.Val] = true
			}
		}
	}
	for id := range labels {
		if !ids[id] {
			t.Errorf("a label is for %q, which isn't there", id)
		}
	}
	for _, n := range p.all("") {
		if id, ok := attr(n, "aria-describedby"); ok && !ids[id] {
			t.Errorf("<%s> is described by %q, which isn't there", n.Data, id)
		}
		switch n.Data {
		case "form":
			if method, _ := attr(n, "method"); method != "post" {
				t.Errorf("got method %q of a form, want post", method)
			}
		case "input":
			id, _ := attr(n, "id")
			if kind, _ := attr(n, "type"); kind != "hidden" && !labels[id] {
				t.Errorf("the input %q has no label", id)
			}
			if !inside(n, "form") {
				t.Errorf("the input %q is in no form", id)
			}
		case "button":
			if _, copies := attr(n, "data-copy"); !copies && !inside(n, "form") {
				t.Error("a button is in no form")
			}
			if text(n) == "" {
				t.Error("a button is empty")
			}
		}
	}
	p.balanced(t)
}

// balanced checks that every element is closed where the template means it to
// be: the parser above closes what isn't.
func (p page) balanced(t *testing.T) {
	t.Helper()
	void := []string{"meta", "input", "br"}
	var open []string
	z := html.NewTokenizer(strings.NewReader(p.body))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		tag, _ := z.TagName()
		switch name := string(tag); kind {
		case html.StartTagToken:
			if !slices.Contains(void, name) {
				open = append(open, name)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != name {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%v is never closed", open)
	}
}
