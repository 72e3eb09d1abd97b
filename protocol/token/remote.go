package token

// This file has what the verifiers that ask an issuer over HTTP have in common.

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// maxAnswer bounds what is read of an answer. Real ones have a kilobyte or two.
const maxAnswer = 64 << 10

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte // of a 200 only: nobody needs what an error page says
	// refusal is the error code in a 403, in its challenge (RFC 6750, section 3) or
	// its body (RFC 6749, section 5.2). Empty if it has none.
	refusal string
}

// lacksScope reports whether the answer says that the token lacks a scope.
func (a *answer) lacksScope() bool { return a.refusal == "insufficient_scope" }

var challengeError = regexp.MustCompile(`(?i)^Bearer(?:\s.*)?[\s,]error\s*=\s*"?([a-z_]+)"?(?:[\s,]|$)`)

func refusalOf(challenges []string, body []byte) string {
	for _, challenge := range challenges {
		if match := challengeError.FindStringSubmatch(challenge); match != nil {
			return match[1]
		}
	}
	var refusal struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &refusal) != nil {
		return ""
	}
	return refusal.Error
}

// readAnswer reads resp and closes its body.
func readAnswer(resp *http.Response) (*answer, error) {
	read, err := outbound.Read(resp, maxAnswer)
	if err != nil {
		return nil, err
	}
	a := &answer{status: read.Status, header: read.Header}
	switch read.Status {
	case http.StatusOK:
		a.body = read.Body
	case http.StatusForbidden:
		a.refusal = refusalOf(read.Header.Values("WWW-Authenticate"), read.Body)
	}
	return a, nil
}

// outage reports whether a status doesn't look like an answer about a token.
func outage(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// unanswered returns the error for a question to which no answer could be read.
// Without a connection or in time there is none to any token. That the answer is
// too long may be the token's fault.
func unanswered(what string, err error) error {
	_, tooLarge := errors.AsType[*outbound.TooLargeError](err)
	return &UnavailableError{Outage: !tooLarge, Err: fmt.Errorf("%s: %w", what, err)}
}

// randomToken returns a token that no issuer has issued, for a question of our
// own. It begins with a prefix that the issuer's tokens have.
func randomToken(prefixes []string) string {
	token := rand.Text()
	if len(prefixes) > 0 {
		token = prefixes[0] + token
	}
	return token
}

// redirect reports whether the answer points elsewhere.
func (a *answer) redirect() bool { return a.status >= 300 && a.status < 400 }

// checkRepeat returns an error if the JSON value claims contains the token raw:
// claims get into headers, logs and answers, where it must not be.
func checkRepeat(claims []byte, raw string) error {
	plain, err := jsontext.AppendFormat(nil, claims) // without escapes such as \/
	if err != nil {
		return strictjson.SyntaxError(err)
	}
	if raw != "" && bytes.Contains(plain, []byte(raw)) {
		return errors.New("it repeats the token")
	}
	return nil
}
