// Package github asks GitHub's REST API, or that of a GitHub Enterprise Server,
// about users and their tokens. It knows nothing of Caddy.
//
// GitHub speaks OAuth 2.0, but has neither ID tokens nor introspection (RFC
// 7662): what a token is worth, and whose it is, only its API says.
package github

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

const (
	// Origin is where people find GitHub.
	Origin = "https://github.com"
	// API is the address of its API.
	API = "https://api.github.com"

	// version is that of the REST API that this package was written for. GitHub
	// Enterprise Server knows it since 3.9.
	version = "2022-11-28"

	// maxAnswer bounds an answer about one thing, in bytes; real ones have two
	// kilobytes. maxList bounds a page of a list.
	maxAnswer = 64 << 10
	maxList   = 1 << 20
)

// Config says which GitHub to ask.
type Config struct {
	// API is the address of the REST API: https, or http on loopback. That of a
	// GitHub Enterprise Server ends in /api/v3. Default: [API].
	API string
	// Client sends the requests. Redirects are never followed. Nil means a client
	// of net/http's defaults.
	Client *http.Client
	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Client asks one GitHub. Its methods return a [*StatusError] or an
// [*AnswerError] for an answer that is not what was asked for. Any other error
// says that there was no answer.
type Client struct {
	api  string
	http *http.Client
	now  func() time.Time
}

// New returns a client, or an error that says what is wrong with the address.
func New(config Config) (*Client, error) {
	if config.API == "" {
		config.API = API
	}
	if err := web.CheckAddress(config.API); err != nil {
		return nil, err
	}
	if strings.Contains(config.API, "?") {
		return nil, errors.New("contains a query")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Client{
		api:  strings.TrimRight(config.API, "/"),
		http: outbound.WithoutRedirects(config.Client),
		now:  config.Now,
	}, nil
}

// StatusError says that GitHub answered with another status than 200.
type StatusError struct {
	// Question is what was asked: "/user", for example.
	Question string
	// Status is the HTTP status of the answer.
	Status int
	// Limited says that the requests were too many (429, or how GitHub uses 403),
	// so the answer says nothing about the token.
	Limited bool
	// RetryAfter is how long to wait until the next request, an hour at most. Zero
	// if GitHub doesn't say.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s answered %d", e.Question, e.Status) }

// Forbidden reports whether the token is good, but not for this question. GitHub
// hides what a token can't see behind a 404.
func (e *StatusError) Forbidden() bool {
	return !e.Limited && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound)
}

// Redirect reports whether the answer points elsewhere.
func (e *StatusError) Redirect() bool { return e.Status >= 300 && e.Status < 400 }

// AnswerError says that an answer came and is not usable.
type AnswerError struct {
	// Question is what was asked, as in [StatusError]. Err says what is wrong with
	// the answer, and quotes nothing of it.
	Question string
	Err      error
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("the answer of %s is not usable: %v", e.Question, e.Err)
}

func (e *AnswerError) Unwrap() error { return e.Err }

// question is a request, without who asks.
type question struct {
	name, method, path string
	body               []byte
	limit              int // of the answer, in bytes
}

// bearer authorizes a request with the token of a user.
func bearer(token string) func(*http.Request) {
	return func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+token) }
}

// ask returns the answer to q, a 200.
func (c *Client) ask(ctx context.Context, q question, authorize func(*http.Request)) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, c.api+q.path, bytes.NewReader(q.body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", version)
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	authorize(req)
	a, err := outbound.Ask(c.http, req, q.limit)
	if _, ok := errors.AsType[*outbound.TooLargeError](err); ok {
		return nil, nil, &AnswerError{q.name, err}
	}
	if err != nil {
		return nil, nil, err
	}
	if !a.OK() {
		return nil, nil, c.statusError(q.name, a)
	}
	return a.Header, a.Body, nil
}

// statusError reads how GitHub limits rates: the primary limit by X-RateLimit
// headers, the secondary ones by Retry-After, both with 403 or 429.
func (c *Client) statusError(question string, a *outbound.Answer) *StatusError {
	usedUp := a.Header.Get("X-RateLimit-Remaining") == "0"
	e := &StatusError{
		Question:   question,
		Status:     a.Status,
		RetryAfter: a.RetryAfter(),
		Limited: a.Status == http.StatusTooManyRequests ||
			a.Status == http.StatusForbidden && (usedUp || a.Header.Get("Retry-After") != ""),
	}
	if reset, err := strconv.ParseInt(a.Header.Get("X-RateLimit-Reset"), 10, 64); err == nil && usedUp && e.RetryAfter == 0 {
		e.RetryAfter = min(max(time.Unix(reset, 0).Sub(c.now()), time.Second), outbound.MaxRetryAfter)
	}
	return e
}

const (
	perPage = 100 // the most that GitHub has on a page
	// maxPages bounds how many pages of a list are read.
	maxPages = 10
)

// list calls visit for every element of the list at path, of the first ten pages
// at most. It reports whether there can't be more.
func list[T any](ctx context.Context, c *Client, token, path string, visit func(T)) (all bool, err error) {
	for page := 1; page <= maxPages; page++ {
		query := url.Values{"per_page": {strconv.Itoa(perPage)}, "page": {strconv.Itoa(page)}}
		q := question{name: path, method: http.MethodGet, path: path + "?" + query.Encode(), limit: maxList}
		_, body, err := c.ask(ctx, q, bearer(token))
		if err != nil {
			return false, err
		}
		elements, err := readList[T](path, body)
		if err != nil {
			return false, err
		}
		for _, element := range elements {
			visit(element)
		}
		if len(elements) < perPage {
			return true, nil
		}
	}
	return false, nil
}

func readList[T any](question string, body []byte) ([]T, error) {
	var elements []T
	if json.Unmarshal(body, &elements) != nil { // its error quotes the answer
		return nil, &AnswerError{question, errors.New("not the list that it should be")}
	}
	return elements, nil
}
