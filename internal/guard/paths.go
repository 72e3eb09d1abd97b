package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
)

// TokenKeeper is implemented by the front door.
type TokenKeeper interface {
	// KeepsToken reports whether raw is an access token for the server behind
	// the door that no other server may see.
	KeepsToken(ctx context.Context, raw string) bool
}

// tree returns the server's routes.
func (g *Handler) tree() (*routing.Tree, error) {
	if g.routes == nil {
		return new(routing.Tree), nil // outside any server
	}
	return g.routes()
}

// routes returns the routes of the server that ctx belongs to. They are collected
// at the first request, when all of them are provisioned.
func routes(ctx caddy.Context) func() (*routing.Tree, error) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	return sync.OnceValues(func() (*routing.Tree, error) { return routing.Serving(ctx, server) })
}

// scrubToken removes an access token for one of the site's front doors from a
// request that doesn't pass through a door. The site's other handlers must not see
// the token. That matters most if they lead to the same server, whose other paths
// may do anything with it.
//
// It leaves credentials that aren't certainly for a door, such as basic
// authentication and tokens for an API beside the MCP server, even from the same
// issuer. It also leaves every token of a door that has forward_token: the server
// behind is trusted with tokens there.
func scrubToken(tree *routing.Tree, r *http.Request) {
	values := r.Header["Authorization"]
	if len(values) == 0 || len(tree.Doors) == 0 || onWayToDoor(tree, r) {
		return
	}
	for _, door := range tree.Doors {
		keeper, ok := door.Module.(TokenKeeper)
		if !ok || len(door.Hosts) > 0 && !caddyhttp.MatchHost(door.Hosts).Match(r) {
			continue
		}
		for _, value := range values {
			if slices.ContainsFunc(tokensIn(value), func(raw string) bool { return keeper.KeepsToken(r.Context(), raw) }) {
				r.Header.Del("Authorization")
				return
			}
		}
	}
}

// maxWords bounds how many words of an Authorization header are checked. A Digest
// header or an Amazon signature has about three dozen.
const maxWords = 100

// tokensIn returns everything in the value of an Authorization header that a server
// may take for the token, whatever the scheme is: programs differ in how they
// separate the two, and some take a token without a scheme.
func tokensIn(value string) []string {
	var tokens []string
	for word := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(" \t,;\"", r) }) {
		for len(tokens) < maxWords {
			tokens = append(tokens, word)
			i := strings.IndexAny(word, ":=")
			if i < 0 {
				break
			}
			if bare := strings.TrimRight(word, "="); len(bare) < len(word) {
				word = bare // it was padded
			} else {
				word = word[i+1:] // as in token=…
			}
		}
	}
	return tokens
}

// onWayToDoor reports whether r comes to a front door, which looks after the token
// itself. Nearly every request with a token has the path of a door's resource. The
// routes need not be followed for those.
func onWayToDoor(tree *routing.Tree, r *http.Request) bool {
	return tree.IsResource(r.URL.Path) || tree.Way(r, r.URL.Path).Meets("mcp_auth")
}

// refuseMisread answers a request whose path other servers read differently. A
// browser gets a page; every other client gets an OAuth error.
func refuseMisread(w http.ResponseWriter, r *http.Request) error {
	unread.Answer(w, r)
	const sentence = "The path of this request is ambiguous."
	if fields, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Add(zap.String("mcp_auth_refusal", "ambiguous_path"))
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		pages.Message{
			Site:  r.Host,
			Title: "This address can't be opened",
			Text:  sentence,
			Cure:  "Check the address. It can't have semicolons, backslashes, dots between slashes or characters that are encoded twice.",
		}.Write(w, http.StatusBadRequest)
		return nil
	}
	body, err := json.Marshal(map[string]string{
		"error":             "invalid_request",
		"error_description": sentence + " Write it in its simplest form.",
	})
	if err != nil {
		return fmt.Errorf("writing refusal: %w", err)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(body) // the client may be gone
	return nil
}
