package oauthtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Opaque returns an opaque token that introspection and userinfo know. Its
// claims are those of [Server.DefaultClaims] with username, name and email,
// changed by claims as in [Server.Mint].
func (s *Server) Opaque(claims map[string]any) string {
	token := fmt.Sprintf("opaque-%d-%08x", s.number(), time.Now().UnixNano())
	s.AddOpaque(token, claims)
	return token
}

// AddOpaque is Opaque for a token of the caller's choice.
func (s *Server) AddOpaque(token string, claims map[string]any) {
	all := s.DefaultClaims()
	maps.Copy(all, map[string]any{
		"username": "demo", "name": "Demo User", "email": "demo@example.com", "email_verified": true,
		"token_type": "Bearer",
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opaque[token] = set(all, claims)
}

// Revoke makes introspection and userinfo forget a token, opaque or JWT. The
// signature of a JWT stays good, as with any issuer.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked[token] = true
}

// look returns the claims of a token that is active.
func (s *Server) look(token string) (map[string]any, bool) {
	s.mu.Lock()
	claims, revoked := s.opaque[token], s.revoked[token]
	s.mu.Unlock()
	if claims == nil && isJWT(token) {
		claims = s.readJWT(token)
	}
	if claims == nil || revoked {
		return nil, false
	}
	// Opaque tokens hold an int64 here, JWTs a float64; anything else is a
	// test's hostile answer, which goes out as it is.
	switch exp := claims["exp"].(type) {
	case int64:
		return claims, exp > s.opts.Now().Unix()
	case float64:
		return claims, exp > float64(s.opts.Now().Unix())
	}
	return claims, true
}

func isJWT(token string) bool { return strings.Count(token, ".") == 2 }

// readJWT returns the claims of a JWT that a published key has signed.
func (s *Server) readJWT(token string) map[string]any {
	jws, err := jose.ParseSignedCompact(token, signatureAlgorithms)
	if err != nil {
		return nil
	}
	var set jose.JSONWebKeySet
	if json.Unmarshal(s.JWKSDocument(), &set) != nil {
		return nil
	}
	var claims map[string]any
	payload, err := jws.Verify(&set)
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	return claims
}

var signatureAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// introspecter is a way to answer introspection requests.
type introspecter struct {
	rejectJWT bool     // 400 unsupported_token_type for a JWT
	forbid    bool     // bad credentials get 403 with empty HTML, not 401
	fields    []string // what the answer may contain; nil: every claim
}

func (i introspecter) serve(s *Server, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if !s.clientAuthenticated(r) {
		if i.forbid {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="introspection"`)
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	token := r.PostFormValue("token")
	switch {
	case token == "":
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	case i.rejectJWT && isJWT(token):
		writeJSON(w, http.StatusBadRequest, map[string]any{
			"error":             "unsupported_token_type",
			"error_description": "Structured JWT Tokens cannot be introspected via the introspection_endpoint",
		})
		return
	}
	claims, ok := s.look(token)
	if !ok {
		writeJSON(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	answer := map[string]any{"active": true}
	for name, value := range claims {
		if i.fields == nil || slices.Contains(i.fields, name) {
			answer[name] = value
		}
	}
	writeJSON(w, http.StatusOK, answer)
}

// userinfo is a way to answer userinfo requests.
type userinfo struct {
	rejectJWT bool // 401 for a JWT
}

// notProfile are the claims that say something about the token, not the user.
var notProfile = []string{"iss", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "token_type"}

func (u userinfo) serve(s *Server, w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims, ok := s.look(token)
	if !ok || u.rejectJWT && isJWT(token) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	answer := maps.Clone(claims)
	for _, name := range notProfile {
		delete(answer, name)
	}
	writeJSON(w, http.StatusOK, answer)
}
