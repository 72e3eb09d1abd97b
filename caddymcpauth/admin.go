package caddymcpauth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI makes the front door forget verdicts on tokens, so that an operator who
// revokes something need not wait until the verdicts expire:
//
//	POST /mcp_auth/forget
//	{"issuer": "https://auth.example.com"}
//	{"issuer": "https://auth.example.com", "subject": "ada"}
//	{"token_sha256": "9f86d081884c7d65…"}
//
// It answers with the number of verdicts that were forgotten.
//
// And it says what the front doors do:
//
//	GET /mcp_auth/status
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.mcp_auth",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Routes implements [caddy.AdminRouter].
func (a adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/mcp_auth/forget", Handler: caddy.AdminHandlerFunc(a.forget)},
		{Pattern: "/mcp_auth/status", Handler: caddy.AdminHandlerFunc(a.status)},
	}
}

// forgetRequest says what to forget.
type forgetRequest struct {
	// Issuer selects the verdicts on the tokens of this issuer. Required unless
	// TokenSHA256 is set.
	Issuer string `json:"issuer"`
	// Subject restricts it to the tokens of one user or client.
	Subject string `json:"subject"`
	// TokenSHA256 is one token's SHA-256, in hexadecimal: the token itself has
	// no business in shell histories.
	TokenSHA256 string `json:"token_sha256"`
}

// maxForgetRequest bounds the body.
const maxForgetRequest = 16 << 10

func (adminAPI) forget(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("use POST")}
	}
	var req forgetRequest
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxForgetRequest), &req, json.RejectUnknownMembers(true)); err != nil {
		return badRequest(fmt.Errorf("reading the request: %w", err))
	}
	forget, err := req.forgetter()
	if err != nil {
		return badRequest(err)
	}
	forgotten := 0
	cachePool.Range(func(state cacheState) bool {
		if req.Issuer == "" || req.Issuer == state.issuer {
			forgotten += forget(state)
		}
		return true
	})
	w.Header().Set("Content-Type", "application/json")
	return json.MarshalWrite(w, map[string]int{"forgotten": forgotten})
}

// forgetter returns the function to call for each cache.
func (req forgetRequest) forgetter() (func(cacheState) int, error) {
	switch {
	case req.TokenSHA256 != "" && req.Subject != "":
		return nil, errors.New("give a token's hash or a subject, not both")
	case req.TokenSHA256 != "":
		hash, err := hex.DecodeString(req.TokenSHA256)
		if err != nil || len(hash) != sha256.Size {
			return nil, errors.New("token_sha256 is not a SHA-256 in hexadecimal: `printf %s \"$TOKEN\" | sha256sum`")
		}
		return func(c cacheState) int { return c.ForgetToken([sha256.Size]byte(hash)) }, nil
	case req.Issuer == "":
		return nil, errors.New("give an issuer, or a token's hash")
	case req.Subject != "":
		return func(c cacheState) int { return c.ForgetSubject(req.Subject) }, nil
	default:
		return func(c cacheState) int { return c.Forget() }, nil
	}
}

func badRequest(err error) error {
	return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
}

// Interface guard
var _ caddy.AdminRouter = adminAPI{}
