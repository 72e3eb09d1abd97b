package mcp

// Fold returns the form in which names are the same to a careless reader: without
// letter case, compatibility characters (NFKC), blanks, control characters and
// characters that are never shown.
func Fold(name string) string { return name }

// NormalURI reports whether the URI is in the normal form of RFC 3986, section 6.2,
// so that there is one spelling of what it names: lower-case scheme and host,
// upper-case escapes, none where it isn't needed, no dot segments, no default port.
// Empty segments and escaped slashes, which the RFC lets pass and servers read in
// several ways, are not normal.
func NormalURI(uri string) bool { return false }
