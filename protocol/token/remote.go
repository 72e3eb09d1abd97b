package token

// This file has what the verifiers that ask an issuer over HTTP have in common.

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

const (
	// maxAnswer bounds what is read of an answer. Real ones have a kilobyte or
	// two.
	maxAnswer = 64 << 10

	userAgent = "caddy-mcp-auth"
)

// noRedirects returns a copy of client that takes a redirect for an answer. To
// follow one would carry the token, or our credentials, to where nobody
// configured them to go, and turn a POST into a GET. Nil means a client of
// net/http's defaults.
func noRedirects(client *http.Client) *http.Client {
	var c http.Client
	if client != nil {
		c = *client
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// readBody reads the body of resp, which may not be longer than maxAnswer, and
// closes it.
func readBody(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("%w: longer than %d bytes", errAnswer, maxAnswer)
	}
	return body, nil
}

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
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode != http.StatusOK {
		// A little is read so that the connection can be used again.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		resp.Body.Close()
		if resp.StatusCode == http.StatusForbidden {
			a.refusal = refusalOf(resp.Header.Values("WWW-Authenticate"), body)
		}
		return a, nil
	}
	var err error
	a.body, err = readBody(resp)
	return a, err
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
// Without a connection or in time there is none to any token. That the answer was
// cut off, or is too long, may be the token's fault.
func unanswered(what string, err error) error {
	return &UnavailableError{Outage: !errors.Is(err, errAnswer), Err: fmt.Errorf("%s: %w", what, err)}
}

// errAnswer says that an answer came and could not be used.
var errAnswer = errors.New("unusable answer")

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
