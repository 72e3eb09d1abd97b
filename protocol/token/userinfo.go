package token

// This file asks an authorization server's userinfo endpoint (OpenID Connect
// Core 1.0, section 5.3) whom an opaque token stands for. Not supported: signed
// and encrypted answers (section 5.3.2). Aggregated and distributed claims
// (section 5.6.2) are left as they are.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// UserinfoConfig says whom a [Userinfo] asks and what it accepts.
type UserinfoConfig struct {
	// Issuer is the issuer that the tokens are taken to be from. Required.
	Issuer string

	// Endpoint is the userinfo endpoint's URL: https, or http on loopback.
	// Empty means that Discover is called for it each time.
	Endpoint string

	// Discover returns the endpoint's URL. Required without Endpoint.
	Discover func(ctx context.Context) (string, error)

	// Require lists claims, and for each the values of which it must have one.
	// A dot in a name leads into an object. Of a list, one element is enough.
	Require map[string][]string

	// Prefixes lists what this issuer's opaque tokens begin with: a token that
	// begins otherwise is not sent there, see [Source]. Empty means that any
	// may be the issuer's.
	Prefixes []string

	// Client talks to the endpoint. Nil means a client of net/http's defaults.
	// Redirects are not followed, whatever it would do.
	Client *http.Client

	// OnFailure, if not nil, is called with what keeps the endpoint from being
	// asked, unless that is about one token alone.
	OnFailure func(error)
}

// Userinfo verifies opaque tokens by asking whose they are. No answer says for
// whom a token was made, nor its scopes: every token of the issuer passes, and
// none has a scope.
type Userinfo struct {
	config   UserinfoConfig
	client   *http.Client
	required []string // the names in config.Require, sorted
}

// NewUserinfo returns a verifier, or an error that says what is wrong with
// config.
func NewUserinfo(config UserinfoConfig) (*Userinfo, error) {
	switch {
	case config.Issuer == "":
		return nil, errors.New("no issuer")
	case config.Endpoint == "" && config.Discover == nil:
		return nil, errors.New("no userinfo endpoint")
	case config.Endpoint != "":
		if err := web.CheckAddress(config.Endpoint); err != nil {
			return nil, fmt.Errorf("endpoint: %w", err)
		}
	}
	if err := CheckPrefixes(config.Prefixes); err != nil {
		return nil, fmt.Errorf("token_prefix: %w", err)
	}
	for name, values := range config.Require {
		switch {
		case name == "":
			return nil, errors.New("require: a claim without name")
		case len(values) == 0 || slices.Contains(values, ""):
			return nil, fmt.Errorf("require %s: list the values that it may have, none of them empty", name)
		}
	}
	return &Userinfo{
		config:   config,
		client:   outbound.WithoutRedirects(config.Client),
		required: slices.Sorted(maps.Keys(config.Require)),
	}, nil
}

// Verify implements [Verifier].
func (v *Userinfo) Verify(ctx context.Context, p *Presented) (*Token, error) {
	tok, status, err := v.verify(ctx, p)
	_, unavailable := errors.AsType[*UnavailableError](err)
	aboutToken := status == http.StatusBadRequest || status == http.StatusForbidden
	if unavailable && !aboutToken && v.config.OnFailure != nil && ctx.Err() == nil {
		v.config.OnFailure(err)
	}
	return tok, err
}

// verify returns the status of the answer as well; 0 if there was none.
func (v *Userinfo) verify(ctx context.Context, p *Presented) (*Token, int, error) {
	if p.JWS != nil {
		return nil, 0, invalid(WrongType, "a signed JWT, which userinfo is not asked about")
	}
	endpoint, err := v.endpoint(ctx)
	if err != nil {
		return nil, 0, err
	}
	a, err := v.ask(ctx, endpoint, p.Raw)
	if err != nil {
		return nil, 0, unanswered("userinfo", err)
	}
	switch {
	case a.status == http.StatusUnauthorized:
		return nil, a.status, invalid(Inactive, "userinfo answered 401")
	case a.status == http.StatusForbidden && a.lacksScope():
		// Trying again doesn't help, signing in again may.
		return nil, a.status, invalid(Inactive, "userinfo answered 403 insufficient_scope: have clients ask for openid as well")
	case a.status != http.StatusOK:
		return nil, a.status, v.failure(endpoint, a)
	}
	subject, err := v.read(a, p.Raw)
	if err != nil {
		return nil, a.status, &UnavailableError{Err: fmt.Errorf("userinfo: the answer of %s is not usable: %w", endpoint, err)}
	}
	for _, name := range v.required {
		if !hasValue(member(a.body, name), v.config.Require[name]) {
			return nil, a.status, invalid(BadClaims, "claim %s has none of the required values", name)
		}
	}
	return New(Token{Issuer: v.config.Issuer, Subject: subject}, a.body), a.status, nil
}

// endpoint returns the endpoint's URL.
func (v *Userinfo) endpoint(ctx context.Context) (string, error) {
	if v.config.Endpoint != "" {
		return v.config.Endpoint, nil
	}
	endpoint, err := v.config.Discover(ctx)
	if _, ok := errors.AsType[*UnavailableError](err); !ok && err != nil {
		err = &UnavailableError{Err: err}
	}
	return endpoint, err
}

// failure is the error for an answer that is neither 200 nor 401.
func (v *Userinfo) failure(endpoint string, a *answer) error {
	return &UnavailableError{
		RetryAfter: outbound.RetryAfter(a.header),
		Outage:     outage(a.status),
		Err:        fmt.Errorf("userinfo: %s answered %d%s", endpoint, a.status, userinfoCure(a)),
	}
}

// Probe asks about a random token, see [Source]: a token that was never issued is refused, by 401 as it
// should be, or by another error of the client's as some servers do.
func (v *Userinfo) Probe(ctx context.Context) error {
	endpoint, err := v.endpoint(ctx)
	if err != nil {
		return err
	}
	a, err := v.ask(ctx, endpoint, randomToken(v.config.Prefixes))
	switch {
	case err != nil:
		return unanswered("userinfo", err)
	case a.status == http.StatusOK:
		return fmt.Errorf("userinfo: %s names the user of a token that it can't have issued", endpoint)
	case a.status == http.StatusUnauthorized, a.status == http.StatusBadRequest, a.status == http.StatusForbidden:
		return nil
	}
	return v.failure(endpoint, a)
}

// Accepts implements [Verifier]. Authorization servers that issue JWTs know
// only opaque tokens here, and a JWT says more about itself than userinfo does.
func (v *Userinfo) Accepts(p *Presented) bool { return p.JWS == nil }

// ask sends the request by way of go-oidc. The reading of the answer is ours:
// go-oidc folds the letter case of names, and its errors quote the answer.
func (v *Userinfo) ask(ctx context.Context, endpoint, raw string) (*answer, error) {
	x := &exchange{next: v.client.Transport}
	client := *v.client
	client.Transport = x
	ctx = oidc.ClientContext(ctx, &client)
	provider := (&oidc.ProviderConfig{IssuerURL: v.config.Issuer, UserInfoURL: endpoint}).NewProvider(ctx)
	_, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: raw}))
	switch {
	case x.answer != nil:
		return x.answer, nil
	case err != nil:
		return nil, err
	default:
		return nil, errors.New("no request was made")
	}
}

// exchange is an [http.RoundTripper] for one request. It keeps the answer, and
// of that lets no more through than maxAnswer.
type exchange struct {
	next   http.RoundTripper
	answer *answer
}

func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", outbound.UserAgent)
	next := x.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	a, err := readAnswer(resp)
	if err != nil {
		return nil, err
	}
	x.answer = a
	resp.Body = io.NopCloser(bytes.NewReader(a.body))
	// At the sight of application/jwt go-oidc would go and fetch keys.
	resp.Header = a.header.Clone()
	resp.Header.Del("Content-Type")
	return resp, nil
}

// userinfoCure says what an operator can do about an answer's status.
func userinfoCure(a *answer) string {
	switch {
	case a.redirect():
		return ": redirects are not followed, so give the final address: endpoint <url>"
	case a.status == http.StatusForbidden:
		return ": the token may lack a scope that userinfo needs, most likely openid"
	case a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed:
		return ": is that the userinfo endpoint? If not, give its address: endpoint <url>"
	default:
		return ""
	}
}

// read returns the subject of an answer to a question about the token raw.
func (v *Userinfo) read(a *answer, raw string) (subject string, err error) {
	if mediaType, _, _ := mime.ParseMediaType(a.header.Get("Content-Type")); mediaType == "application/jwt" {
		return "", errors.New("it is signed or encrypted, which is not supported: have the authorization server answer in plain JSON")
	}
	err = strictjson.MembersOf(a.body, append([]string{"sub"}, v.required...), func(name string, value jsontext.Value) (err error) {
		if name == "sub" {
			if subject, err = identifier(value); err != nil {
				return fmt.Errorf("sub: %w", err)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case subject == "":
		return "", errors.New("no sub")
	}
	return subject, checkRepeat(a.body, raw)
}

// hasValue reports whether claim, or one element of it, is one of values; true,
// false and numbers are compared as JSON writes them.
func hasValue(claim jsontext.Value, values []string) bool {
	switch claim.Kind() {
	case '"':
		s, err := strictjson.String(claim)
		return err == nil && slices.Contains(values, s)
	case 't', 'f', '0':
		return slices.Contains(values, string(claim))
	case '[':
		list, err := strictjson.Strings(claim)
		return err == nil && slices.ContainsFunc(list, func(s string) bool { return slices.Contains(values, s) })
	default:
		return false
	}
}

// Interface guard
var _ Verifier = (*Userinfo)(nil)
