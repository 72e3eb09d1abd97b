package judge

import (
	"context"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Trace is a set of hooks that are called while [Issuers] judge a token, as
// [net/http/httptrace.ClientTrace] is for an HTTP request. Any of them may be nil.
// They are called one after the other, by the goroutine that judges. None is called
// for a token that is remembered as good; [Cache.ForgetToken] first, to see all.
type Trace struct {
	// Presented is called with what [token.Present] returned.
	Presented func(p *token.Presented, err error)

	// Answered is called with what a verifier said, now or before.
	Answered func(Answer)
}

// Answer is what a verifier said about a token.
type Answer struct {
	// Issuer and Verifier are the positions of the verifier in [Issuers].
	Issuer, Verifier int
	// Token is the token if it is good, and nil otherwise.
	Token *token.Token
	// Err says why it isn't, or why that is not known: see [token.Verifier].
	Err error
}

type traceKey struct{}

// WithTrace returns a copy of ctx. The hooks of trace are called for the tokens that
// are judged with it.
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
