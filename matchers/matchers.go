// Package matchers provides Caddy request matchers for MCP requests, by method,
// tool, prompt and resource. They work without a front door. Behind one, they use
// the message that it has judged.
package matchers

import (
	"errors"
	"net/http"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/identity"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// maxAdmitted is the most bytes of a message that are read after a front door has
// admitted its sender. A message that a front door has read is used, whatever its
// size.
const maxAdmitted = 4 << 20

// strangers are the turns of messages whose senders no front door has admitted. They
// belong to the process, as its memory does, so a reload doesn't add to them.
var strangers = message.NewTurns()

// named is the part that all matchers share.
type named struct {
	// The names to match. A `*` stands for any run of characters, including `/`; no
	// other character is special. Case matters, and the whole name must match. At
	// least one name is required.
	Names []string `json:"names,omitempty"`

	names policy.Names
}

func (n *named) provision(kind string) error {
	var err error
	n.names, err = policy.ParseNames(kind, n.Names)
	return err
}

// UnmarshalCaddyfile sets up the matcher from Caddyfile tokens: names, at least one.
// If the matcher is given several times, it has the names of all of them.
func (n *named) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		if !d.NextArg() {
			return d.ArgErr()
		}
		n.Names = append(n.Names, d.Val())
		n.Names = append(n.Names, d.RemainingArgs()...)
		if d.NextBlock(0) {
			return d.Err("no block is expected here: names stand in the line")
		}
	}
	return nil
}

// match returns the result of matches for the message in r, or false if r has no
// message. A body that can't be read is an error and not "no match": the server
// behind might read it all the same.
func match(r *http.Request, matches func(*message.Message) (bool, error)) (bool, error) {
	if r.Method != http.MethodPost {
		// What follows a CONNECT is not a body, so don't wait for it.
		if r.Method == http.MethodConnect || !message.HasBody(r) {
			return false, nil
		}
		return false, caddyhttp.Error(http.StatusBadRequest, errors.New("mcp: messages are sent with POST, and this is a body of "+r.Method))
	}
	m, err := read(r)
	if err == nil {
		var ok bool
		if ok, err = matches(m); err == nil {
			return ok, nil
		}
	}
	status := http.StatusBadRequest
	if bad, ok := errors.AsType[*message.Error](err); ok {
		status = bad.Status
	}
	return false, caddyhttp.Error(status, err)
}

// read returns the message in the POST r.
func read(r *http.Request) (*message.Message, error) {
	if identity.Reader(r.Context()) != nil {
		return message.Of(r, maxAdmitted)
	}
	return strangers.Of(r, clientip.Of(r.Context()))
}

// library returns the CEL library that makes a matcher available in `expression`.
func library(name string, matcher func(names []string) (caddyhttp.RequestMatcherWithError, error)) (cel.Library, error) {
	return caddyhttp.CELMatcherImpl(name, name+"_request_list", []*cel.Type{cel.ListType(cel.StringType)},
		func(data ref.Val) (caddyhttp.RequestMatcherWithError, error) {
			names, err := data.ConvertToNative(reflect.TypeFor[[]string]())
			if err != nil {
				return nil, err
			}
			return matcher(names.([]string))
		})
}

// compiled returns m, provisioned.
func compiled[M interface {
	caddy.Provisioner
	caddyhttp.RequestMatcherWithError
}](ctx caddy.Context, m M) (caddyhttp.RequestMatcherWithError, error) {
	return m, m.Provision(ctx)
}

// boolean asks a matcher, and leaves an error where Caddy looks for those of matchers
// that return none.
func boolean(r *http.Request, m caddyhttp.RequestMatcherWithError) bool {
	ok, err := m.MatchWithError(r)
	if err != nil {
		// Deprecated for matchers that can only do this. A caller that asks Match
		// would otherwise take a request that can't be read for one that doesn't match.
		caddyhttp.SetVar(r.Context(), caddyhttp.MatcherErrorVarKey, err) //nolint:staticcheck
	}
	return ok
}
