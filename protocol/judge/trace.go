package judge

import (
	"context"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Trace is a set of hooks that are called while [Issuers] judge a token, as
// [net/http/httptrace.ClientTrace] is for an HTTP request. Any of them may be nil.
// They are called one after the other, by the goroutine that judges. For a token
// that is remembered as good none is called: see [Cache.ForgetToken].
type Trace struct {
	// Presented is called with what [token.Present] returned.
	Presented func(p *token.Presented, err error)

	// Answered is called with what a verifier said, whether it found that out or
	// remembered it.
	Answered func(Answer)
}

// Answer is what a verifier said of a token.
type Answer struct {
	// Issuer and Verifier are the positions of the verifier in [Issuers].
	Issuer, Verifier int
	// Token is the verdict on a good token, nil otherwise.
	Token *token.Token
	// Err is why there is none, see [token.Verifier].
	Err error
}

type traceKey struct{}

// WithTrace returns a copy of ctx in which trace is told of what is judged.
func WithTrace(ctx context.Context, trace *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

// traceOf returns the trace of ctx, nil if it has none.
func traceOf(ctx context.Context) *Trace {
	trace, _ := ctx.Value(traceKey{}).(*Trace)
	return trace
}

func (trace *Trace) presented(p *token.Presented, err error) {
	if trace != nil && trace.Presented != nil {
		trace.Presented(p, err)
	}
}

func (trace *Trace) answered(a Answer) {
	if trace != nil && trace.Answered != nil {
		trace.Answered(a)
	}
}
