package caddymcpauth

import (
	"net/http"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/session"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// outcome is what to do with a request.
type outcome int

const (
	refused outcome = iota // the zero value lets nothing in
	accepted
	acceptedAnonymous // without a token
	metadataRequest
	legacyMetadataRequest
	keysRequest
	preflightRequest
)

// step is a part of [Handler.decide]. They are in the order in which a request
// takes them.
type step int

const (
	stepOrigin step = iota
	stepBearer
	stepVerify
	stepSender
	stepScopes
	stepOperation
	stepSession
	stepVouch // not of decide, see [Handler.vouch]
)

// decision is what the front door makes of a request.
type decision struct {
	outcome outcome
	// refusal is what to answer, if the outcome is refused.
	refusal *refusal
	// step is where the request was refused.
	step step
	// origin is that of the web page that the request comes from. It may read the
	// answer. Empty if there is no page, or its origin isn't allowed.
	origin string
	// byProof says that the request uses the DPoP scheme. nonce is what the client shall
	// put into its next proof, empty if it has a good one or needs none.
	byProof bool
	nonce   string
	// raw is the access token as it was sent, and token is the verified token, nil
	// without a good one.
	raw   string
	token *token.Token
	// judged is how the rules judged the request. It is nil if there are no rules,
	// or if the request was refused before.
	judged *operation
	// session is what binds sessions to the sender. It is zero with sessions off, or if
	// the request was refused before.
	session session.Binding
}

// reader returns the reader of the token's claims. It is made once per request,
// however many claims are used.
func (d decision) reader() *token.Reader {
	if d.judged != nil {
		return d.judged.reader
	}
	return token.NewReader(d.token)
}

// message returns the message in the body, nil if it hasn't been read.
func (d decision) message() *mcp.Message {
	if d.judged == nil {
		return nil
	}
	return d.judged.message
}

// refuse returns d with the request refused at a step.
func (d decision) refuse(at step, ref *refusal) decision {
	ref.byProof = d.byProof
	d.outcome, d.step, d.refusal = refused, at, ref
	return d
}

// decide decides about r and writes nothing. ServeHTTP and the explain command both
// use it. Its steps are: what is served without a token, origin, bearer, verify,
// sender, scopes, operation, session. Each may refuse, so later steps can rely on the
// earlier ones.
//
// The step that judges the message in the body comes late: a body is read only after
// a good token was seen, or if the base protocol is open without one.
func (h *Handler) decide(r *http.Request) decision {
	if h.isMetadata(r) {
		return decision{outcome: metadataRequest}
	}
	if h.isLegacyMetadata(r) {
		return decision{outcome: legacyMetadataRequest}
	}
	if h.isKeys(r) {
		return decision{outcome: keysRequest}
	}
	var d decision
	origin, allowed := h.checkOrigin(r)
	if !allowed {
		return d.refuse(stepOrigin, refuseOrigin())
	}
	d.origin = origin
	if isPreflight(r, origin) {
		d.outcome = preflightRequest
		return d
	}
	if h.isAnonymous(r) {
		if ref := h.judgeAnonymous(r, &d); ref != nil {
			return d.refuse(stepOperation, ref)
		}
		if ref := h.judgeSession(r, &d); ref != nil {
			return d.refuse(stepSession, ref)
		}
		d.outcome = acceptedAnonymous
		return d
	}
	raw, byProof, ref := credentials(r, h.tokenCharacters, h.takesProofs())
	d.raw, d.byProof = raw, byProof
	if ref != nil {
		return d.refuse(stepBearer, ref.about(h.firstScopes(nil)))
	}
	t, err := h.issuers.JudgeFor(r.Context(), raw, h.client(r))
	if err != nil {
		return d.refuse(stepVerify, refuseToken(err).about(h.firstScopes(nil)))
	}
	d.token = t
	if ref := h.checkSender(r, &d); ref != nil {
		return d.refuse(stepSender, ref.about(h.firstScopes(nil)))
	}
	if !h.hierarchy.Satisfied(t.Scopes, h.Scopes) {
		return d.refuse(stepScopes, refuseScope().about(h.signInScopes(nil)))
	}
	if h.policy != nil {
		if ref := h.judgeOperation(r, &d); ref != nil {
			return d.refuse(stepOperation, ref)
		}
	}
	if ref := h.judgeSession(r, &d); ref != nil {
		return d.refuse(stepSession, ref)
	}
	d.outcome = accepted
	return d
}
