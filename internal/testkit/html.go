package testkit

import "golang.org/x/net/html"

// Attribute returns the value of an element's attribute, empty if it has none.
func Attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// HasButton reports whether there is a button with the value below root.
func HasButton(root *html.Node, value string) bool {
	for n := range root.Descendants() {
		if n.Data == "button" && Attribute(n, "value") == value {
			return true
		}
	}
	return false
}
