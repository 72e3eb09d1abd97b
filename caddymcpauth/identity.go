package caddymcpauth

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/identity"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// FromContext returns the verified token of the request that ctx belongs to, for
// handlers written in Go. It reports false if no front door let the request in.
var FromContext = identity.FromContext

const userPlaceholders = "http.auth.user."

// userPlaceholder returns a replacer function for {http.auth.user.*} in the request
// with the context ctx. It reads the token of the last front door that the request
// has met, so one function serves all doors. Values are computed on demand and not
// expanded again: {env.SECRET} in a claim stays as it is.
func userPlaceholder(ctx context.Context) caddy.ReplacerFunc {
	return func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, userPlaceholders)
		if !ok {
			return nil, false
		}
		reader := identity.Reader(ctx)
		if reader == nil {
			// The last front door that the request met let it in without a token. The value
			// is empty, not unknown: otherwise a server behind would get the placeholder
			// itself as a name.
			return "", true
		}
		return userValue(reader, name), true
	}
}

// userValue returns what {http.auth.user.<name>} stands for: id is the subject,
// issuer, type, client_id and scope are normalized from the issuer's dialect by
// the front door. Every other name is looked up among the verified claims. A claim
// that isn't there is empty.
func userValue(r *token.Reader, name string) string {
	switch name {
	case "id":
		return r.Judged().Subject
	case "issuer":
		return r.Judged().Issuer
	case "type":
		return r.Token().Type.String()
	case "client_id":
		return r.Token().ClientID
	case "scope":
		return strings.Join(r.Judged().Scopes, " ")
	default:
		return r.Text(name)
	}
}

// identityHeader is a header that tells the next handler who the user is.
type identityHeader struct {
	name, value string
	// claim is the name after http.auth.user. if the value is only that placeholder,
	// as nearly all values are. Then no text has to be searched on each request.
	claim string
}

func newIdentityHeader(name, value string) identityHeader {
	h := identityHeader{name: http.CanonicalHeaderKey(name), value: value}
	if claim, ok := strings.CutPrefix(value, "{"+userPlaceholders); ok {
		if claim, ok = strings.CutSuffix(claim, "}"); ok && !strings.ContainsAny(claim, "{}\\") {
			h.claim = claim
		}
	}
	return h
}

// selectHeaders selects the values of the headers that are only a claim; those of the
// others are left empty. What is remembered of a token refers to the selection, so it
// holds nothing else of the front door.
func selectHeaders(headers []identityHeader) *token.Selection {
	return token.NewSelection(func(r *token.Reader) []string {
		values := make([]string, len(headers))
		for i := range headers {
			if claim := headers[i].claim; claim != "" {
				values[i] = userValue(r, claim)
			}
		}
		return values
	})
}

// provisionHeaders checks the headers that tell the next handler who the user is.
func (h *Handler) provisionHeaders() error {
	names := slices.Sorted(maps.Keys(h.Header))
	if name := h.Assertion.headerName(); name != "" {
		names = append(names, name)
	}
	h.headerNames = guard.NewHeaders(names...)
	if err := h.headerNames.Check(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(h.Header)) {
		if h.Header[name] == "" {
			return fmt.Errorf("header %s has no value", name)
		}
		h.identityHeaders = append(h.identityHeaders, newIdentityHeader(name, h.Header[name]))
	}
	return nil
}

// setHeaders tells the next handler who the user is.
func (h *Handler) setHeaders(r *http.Request, sender *token.Reader, repl *caddy.Replacer) {
	if h.headerNames == nil {
		return
	}
	h.headerNames.Scrub(r)
	// Later handlers may change the values in place, so each request has its own.
	values := slices.Clone(sender.Select(h.headerClaims))
	for i := range h.identityHeaders {
		header := &h.identityHeaders[i]
		if header.claim == "" {
			values[i] = repl.ReplaceAll(header.value, "")
		}
		// A line break in a claim would make the request unsendable.
		if values[i] != "" && httpguts.ValidHeaderFieldValue(values[i]) {
			r.Header[header.name] = values[i : i+1 : i+1]
		}
	}
	h.headerNames.MarkSet(r)
}
