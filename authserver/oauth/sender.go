package oauth

// This file binds tokens to keys: by DPoP (RFC 9449, sections 5 and 10) and by the
// client's certificate (RFC 8705, section 3). Not supported: the client metadata
// dpop_bound_access_tokens and tls_client_certificate_bound_access_tokens.

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// DPoP says which requests for tokens need a proof.
type DPoP struct {
	// Required refuses requests without a proof.
	Required bool
	// Nonce asks for a nonce in each proof. It is derived from the server's secret, so
	// that several servers on one store take each other's.
	Nonce bool
	// Replay remembers the proofs that were used. Required.
	Replay *dpop.Replay
}

// sender is what the sender of a request for tokens has proved to have.
type sender struct {
	binding token.Binding
	proof   *dpop.Proof // nil if there was none
}

type senderKey struct{}

// senderOf returns the sender of the request that ctx belongs to.
func senderOf(ctx context.Context) sender {
	from, _ := ctx.Value(senderKey{}).(sender)
	return from
}

// tokenFor is the token endpoint for r. What its sender has proved to have is in the
// context: whatever the grant, every token that is signed for this request is bound to
// it, see [Server.sign].
func (s *Server) tokenFor(r *http.Request) clientEndpoint {
	return func(ctx context.Context, w http.ResponseWriter, c *Client, form url.Values, event *Event) error {
		from, err := s.sender(ctx, w, r)
		if err != nil {
			return err
		}
		return s.token(context.WithValue(ctx, senderKey{}, from), w, c, form, event)
	}
}

// sender finds out what the sender of r has. It comes before the grant is looked at: a
// bad proof, or one without the nonce, must not use up a code.
func (s *Server) sender(ctx context.Context, w http.ResponseWriter, r *http.Request) (sender, error) {
	var from sender
	if s.config.CertificateBound && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
		from.binding.Certificate = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	values := r.Header.Values("DPoP")
	switch {
	case s.config.DPoP == nil, len(values) == 0 && !s.config.DPoP.Required:
		return from, nil
	case len(values) == 0:
		return from, invalidProof("A DPoP proof is required.", nil)
	case len(values) > 1:
		return from, invalidProof("There must be one DPoP proof.", nil)
	}
	now := s.now()
	proof, err := dpop.Check(values[0], dpop.Request{Method: r.Method, URL: s.config.Issuer + TokenPath}, now)
	if err != nil {
		return from, invalidProof("The DPoP proof is not valid for this request.", err)
	}
	if s.config.DPoP.Nonce {
		k, err := s.secret(ctx)
		if err != nil {
			return from, err
		}
		nonces := dpop.NewNonces(k.MAC(sealed.ProofNonce, nil), s.config.Issuer)
		renew, err := nonces.Check(proof, now)
		if renew || err != nil {
			w.Header().Set("DPoP-Nonce", nonces.Current(now))
		}
		if err != nil {
			e := badRequest("use_dpop_nonce", "Put the nonce from the DPoP-Nonce header into the DPoP proof.")
			e.Cause = err
			return from, e
		}
	}
	from.proof, from.binding.Key = proof, proof.Thumbprint()
	return from, nil
}

func invalidProof(description string, cause error) *Error {
	e := badRequest("invalid_dpop_proof", description)
	e.Cause = cause
	return e
}

// useProof makes sure that the proof of the request counts once. It is called when the
// grant is known to be good, so that strangers can't fill the memory.
func (s *Server) useProof(ctx context.Context) error {
	from := senderOf(ctx)
	if from.proof == nil {
		return nil
	}
	err := s.config.DPoP.Replay.Use(from.proof, s.now())
	if full, ok := errors.AsType[*dpop.FullError](err); ok {
		e := tooMany("There were too many requests with DPoP proofs.", full.RetryAfter)
		e.Cause = full
		return e
	}
	if err != nil {
		return invalidProof("The DPoP proof was used before: make one for each request.", err)
	}
	return nil
}

// confirmation is the claim cnf of a bound token (RFC 7800).
type confirmation struct {
	Key         string `json:"jkt,omitempty"`
	Certificate string `json:"x5t#S256,omitempty"`
}

// confirmation returns nil if the sender has proved nothing.
func (from sender) confirmation() *confirmation {
	if from.binding.IsZero() {
		return nil
	}
	c := confirmation(from.binding)
	return &c
}

// tokenType returns the token_type of a token response.
func (from sender) tokenType() string {
	if from.binding.Key != "" {
		return "DPoP" // RFC 9449, section 5
	}
	return "Bearer"
}

// checkSender returns an error unless the sender of a refresh token may have it. That
// of a public client is bound to the keys of its grant (RFC 9449, section 5; RFC 8705,
// section 4). A confidential client authenticates, so it may change its keys; but what
// was bound stays bound to some key.
func checkSender(c *Client, g *grant, from sender) error {
	for _, key := range []struct{ had, has, what string }{
		{g.Binding.Key, from.binding.Key, "a key: send a DPoP proof of it"},
		{g.Binding.Certificate, from.binding.Certificate, "a client certificate: show it"},
	} {
		switch {
		case key.had == "":
		case key.has == "", c.Public() && key.has != key.had:
			return invalidGrant("The refresh token is bound to " + key.what + ".")
		}
	}
	return nil
}
