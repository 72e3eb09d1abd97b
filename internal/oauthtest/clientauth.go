package oauthtest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// authForm names the way in which a request authenticates.
func authForm(r *http.Request, body string) string {
	authorization := strings.ToLower(r.Header.Get("Authorization"))
	form, _ := url.ParseQuery(body)
	switch {
	case strings.HasPrefix(authorization, "basic "):
		return "basic"
	case strings.HasPrefix(authorization, "bearer "):
		return "bearer"
	case authorization != "":
		return "other"
	case form.Has("client_assertion"):
		return "private_key_jwt"
	case form.Has("client_secret"):
		return "post"
	}
	return "none"
}

// clientAuthenticated reports whether the caller of introspection authenticates as
// the configured client, in exactly one way.
func (s *Server) clientAuthenticated(r *http.Request) bool {
	if r.ParseForm() != nil {
		return false
	}
	id, secret, basic := r.BasicAuth()
	assertion := r.PostFormValue("client_assertion")
	switch {
	case basic && assertion == "" && !r.PostForm.Has("client_secret"):
		// Both halves are form-encoded before they go into the header: a secret
		// with a "%" exposes a client that forgets this.
		id, idErr := url.QueryUnescape(id)
		secret, secretErr := url.QueryUnescape(secret)
		return idErr == nil && secretErr == nil && id == s.opts.ClientID && secret == s.opts.ClientSecret
	case basic:
		return false
	case assertion != "":
		return r.PostFormValue("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" &&
			s.goodAssertion(assertion)
	}
	return r.PostFormValue("client_id") == s.opts.ClientID && r.PostFormValue("client_secret") == s.opts.ClientSecret
}

// goodAssertion judges a client assertion (RFC 7523 section 3). Its audience
// may be the issuer or the introspection endpoint.
func (s *Server) goodAssertion(assertion string) bool {
	if s.opts.ClientKey == nil {
		return false
	}
	jws, err := jose.ParseSignedCompact(assertion, signatureAlgorithms)
	if err != nil {
		return false
	}
	payload, err := jws.Verify(s.opts.ClientKey)
	if err != nil {
		return false
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience any    `json:"aud"`
		Expiry   int64  `json:"exp"`
		ID       string `json:"jti"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return false
	}
	audience, ok := claims.Audience.(string)
	if list, isList := claims.Audience.([]any); isList && len(list) == 1 {
		audience, ok = list[0].(string)
	}
	return ok && slices.Contains([]string{s.Issuer(), s.Endpoint(Introspection)}, audience) &&
		claims.Issuer == s.opts.ClientID && claims.Subject == s.opts.ClientID &&
		claims.Expiry > s.opts.Now().Unix() && claims.ID != ""
}
