package caddymcpauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// checkSender finds out whether the sender of r has the keys that its token, which is
// good, is bound to. Verdicts on tokens are cached; what is checked here is checked for
// each request.
//
// A bound token is never accepted as a plain one, whatever the configuration.
func (h *Handler) checkSender(r *http.Request, d *decision) *refusal {
	binding := d.token.Binding
	if binding.IsZero() && !d.byProof && !h.needsProofs() {
		return nil // nearly every request
	}
	trace := senderTraceOf(r.Context())
	if binding.Certificate != "" {
		switch {
		case !h.ClientCertificates:
			return refuseSender(reasonConstrained, "bound to a certificate, but client_certificates is not set")
		case trace != nil:
			trace.certificate = true
		case binding.Certificate != certificateOf(r):
			return refuseCertificate(r)
		}
	}
	switch {
	case binding.Key == "" && !d.byProof && (!h.needsProofs() || h.isAPIKey(d.token)):
		return nil
	case binding.Key == "":
		return refuseUnbound()
	case !h.takesProofs():
		return refuseSender(reasonConstrained, "bound to a key, but dpop is off")
	case trace != nil:
		trace.key = true
		return nil
	case !d.byProof:
		return refuseSender(reasonConstrained, "bound to a key, but sent with the Bearer scheme")
	}
	return h.checkProof(r, d)
}

// certificateOf returns the SHA-256 of the certificate that the client has shown on this
// very connection, in base64url (RFC 8705, section 3.1); empty if there is none. That the
// client has its key was proved by the handshake, so a self-signed certificate will do.
// Nothing in a header counts: anyone could write it.
func certificateOf(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// isAPIKey reports whether t is one of the keys in the configuration.
func (h *Handler) isAPIKey(t *token.Token) bool {
	return t.Issuer == h.Resource && len(h.keyNames()) > 0
}

// checkProof judges the proof in r.
func (h *Handler) checkProof(r *http.Request, d *decision) *refusal {
	values := r.Header["Dpop"]
	if len(values) != 1 {
		cause := "no DPoP header"
		if len(values) > 1 {
			cause = "more than one DPoP header"
		}
		return refuseProof(errors.New(cause))
	}
	method, path := asSent(r)
	now := time.Now()
	proof, err := dpop.Check(values[0], dpop.Request{
		Method:     method,
		URL:        h.resource.Origin() + path,
		Token:      d.raw,
		Thumbprint: d.token.Binding.Key,
	}, now)
	if err == nil && h.DPoP.Nonce {
		var renew bool
		if renew, err = h.proofs.Check(proof, now); renew || err != nil {
			d.nonce = h.proofs.Current(now)
		}
	}
	if err == nil {
		err = h.proofs.Use(proof, now)
	}
	if err != nil {
		return refuseProof(err)
	}
	return nil
}

// asSent returns the method and the escaped path of r as the client sent them, before
// other handlers changed anything.
func asSent(r *http.Request) (method, path string) {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		return original.Method, original.URL.EscapedPath()
	}
	return r.Method, r.URL.EscapedPath()
}

// The reasons of refusals because of the sender.
const (
	reasonConstrained = string(token.SenderConstrained)
	reasonUnbound     = "unbound"
	reasonWrongKey    = "wrong_key"
	reasonCertificate = "wrong_certificate"
	reasonProof       = "dpop_proof"
	reasonNonce       = "dpop_nonce"
	reasonReplay      = "dpop_replay"
	reasonFull        = "dpop_full"
)

// refuseSender returns the refusal of a token that isn't its sender's, or can't be
// shown to be.
func refuseSender(reason, cause string) *refusal {
	return &refusal{
		status:    http.StatusUnauthorized,
		reason:    reason,
		code:      codeInvalidToken,
		sentence:  "The access token is bound to a key, which this request doesn't prove to have.",
		challenge: true,
		cause:     errors.New(cause),
	}
}

func refuseUnbound() *refusal {
	ref := refuseSender(reasonUnbound, "not bound to a key")
	ref.sentence = "The access token is not bound to a key: get one that is."
	return ref
}

func refuseCertificate(r *http.Request) *refusal {
	cause := "bound to another certificate than the client's"
	switch {
	case r.TLS == nil:
		cause = "bound to a certificate, but the connection isn't TLS"
	case len(r.TLS.PeerCertificates) == 0:
		cause = "bound to a certificate, but the client has shown none: does the site ask for one (tls, client_auth)?"
	}
	ref := refuseSender(reasonCertificate, cause)
	ref.sentence = "The access token is bound to another client certificate."
	return ref
}

// The error codes of RFC 9449, sections 7.1 and 9.
const (
	codeInvalidProof = "invalid_dpop_proof"
	codeUseNonce     = "use_dpop_nonce"
)

// refuseProof turns what is wrong with a proof into a refusal.
func refuseProof(err error) *refusal {
	ref := &refusal{
		status:    http.StatusUnauthorized,
		reason:    reasonProof,
		code:      codeInvalidProof,
		sentence:  "The DPoP proof is missing or not valid for this request.",
		challenge: true,
		cause:     err,
	}
	if full, ok := errors.AsType[*dpop.FullError](err); ok {
		ref.reason, ref.challenge, ref.retryAfter = reasonFull, false, full.RetryAfter
		ref.status, ref.code = http.StatusServiceUnavailable, codeUnavailable
		ref.sentence = "Too many requests with DPoP proofs. Try again later."
		if full.Own {
			ref.status = http.StatusTooManyRequests
		}
		return ref
	}
	refused, _ := errors.AsType[*dpop.Error](err)
	if refused == nil {
		return ref
	}
	switch refused.Rule {
	case dpop.RuleBinding:
		// The proof is good, so it is the token that isn't the sender's (RFC 9449,
		// section 7.1).
		ref.reason, ref.code, ref.sentence = reasonWrongKey, codeInvalidToken, "The access token is bound to another key."
	case dpop.RuleNonce:
		ref.reason, ref.code, ref.sentence = reasonNonce, codeUseNonce, "Put the nonce from the DPoP-Nonce header into the DPoP proof."
	case dpop.RuleOnce:
		ref.reason, ref.sentence = reasonReplay, "The DPoP proof was used before: make one for each request."
	}
	return ref
}

// senderTrace has what the explain command can't prove: it has the token alone.
type senderTrace struct {
	// key and certificate say that the token is bound to one.
	key, certificate bool
}

type senderTraceKey struct{}

func withSenderTrace(ctx context.Context, trace *senderTrace) context.Context {
	return context.WithValue(ctx, senderTraceKey{}, trace)
}

func senderTraceOf(ctx context.Context) *senderTrace {
	trace, _ := ctx.Value(senderTraceKey{}).(*senderTrace)
	return trace
}
