package reading

import (
	"net/url"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Path is the path of a request, with everything that servers could read it as.
// It is made once for each request.
type Path struct {
	readings []string
	tooMany  bool
}

// NewPath returns the readings of an escaped path.
func NewPath(escaped string) Path {
	readings, ok := web.Readings(escaped)
	return Path{append(readings, escaped), !ok}
}

// MayBe reports whether a server might take the path for the endpoint's, which is
// escaped: with or without a trailing slash, or with an extension, which some
// frameworks take for the format of the response.
func (p Path) MayBe(endpoint string) bool {
	if p.tooMany {
		return true
	}
	if decoded, err := url.PathUnescape(endpoint); err == nil {
		endpoint = decoded
	}
	endpoint = bare(endpoint)
	for _, reading := range p.readings {
		reading = bare(reading)
		if reading == endpoint {
			return true
		}
		if rest, ok := strings.CutPrefix(reading, endpoint); ok && endpoint != "" && rest[0] == '.' && !strings.Contains(rest, "/") {
			return true
		}
	}
	return false
}

func bare(path string) string { return strings.TrimRight(strings.ToLower(path), "/") }
