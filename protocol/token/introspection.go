package token

// This file asks an authorization server's introspection endpoint about tokens
// (RFC 7662). Not supported: signed answers (RFC 9701).

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// IntrospectionConfig says whom an [Introspection] asks and what it accepts.
type IntrospectionConfig struct {
	// Issuer is the issuer that the tokens are taken to be from. An answer that
	// names another one is refused. Required.
	Issuer string

	// Endpoint returns the introspection endpoint's URL. Required.
	Endpoint func(ctx context.Context) (string, error)

	// Auth authenticates us to the endpoint. Required: an endpoint open to
	// all would tell anyone about any token.
	Auth ClientAuth

	// Audience lists the values of which one must be in aud. Required.
	Audience []string

	// AllowMissingAudience accepts answers without aud, from servers that have no
	// audiences. Any active token of the issuer is then accepted, whatever it was
	// issued for. A wrong aud is still refused.
	AllowMissingAudience bool

	// Prefixes lists what this issuer's opaque tokens begin with: a token that
	// begins otherwise is not sent there, see [Source]. Empty means that any
	// may be the issuer's.
	Prefixes []string

	// JWT, if not nil, is what a signed JWT must pass before it is introspected:
	// where a revocation must bite before the token expires. Without it, signed
	// JWTs are left to others.
	JWT *JWT

	// AllowBound accepts tokens that are bound to a key which the sender must prove to
	// have. The caller must then look at [Token.Binding]. Without it, such tokens are
	// refused.
	AllowBound bool

	// OnNoUser, if not nil, is called for each answer that names no user and says
	// nothing of one, so that the client counts as the subject.
	OnNoUser func()

	// Client talks to the endpoint. Nil means a client of net/http's defaults.
	// Redirects are not followed, whatever it would do.
	Client *http.Client

	// Leeway is how far nbf and iat may lie in the future. Zero means
	// [DefaultLeeway].
	Leeway time.Duration

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Introspection verifies tokens by asking the issuer whether they are active.
type Introspection struct {
	config IntrospectionConfig
	client *http.Client
}

// NewIntrospection returns a verifier, or an error that says what is wrong with
// config.
func NewIntrospection(config IntrospectionConfig) (*Introspection, error) {
	switch {
	case config.Issuer == "":
		return nil, errors.New("no issuer")
	case config.Endpoint == nil:
		return nil, errors.New("no introspection endpoint")
	case config.Auth == nil:
		return nil, errors.New("no client credentials")
	case len(config.Audience) == 0:
		return nil, errors.New("no audience")
	}
	if err := CheckPrefixes(config.Prefixes); err != nil {
		return nil, fmt.Errorf("token_prefix: %w", err)
	}
	if config.Leeway == 0 {
		config.Leeway = DefaultLeeway
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Introspection{config: config, client: outbound.WithoutRedirects(config.Client)}, nil
}

// Accepts implements [Verifier].
func (v *Introspection) Accepts(p *Presented) bool {
	return p.JWS == nil || v.config.JWT != nil
}

// Verify implements [Verifier].
func (v *Introspection) Verify(ctx context.Context, p *Presented) (*Token, error) {
	ask, err := v.prepare(ctx, p)
	if err != nil {
		return nil, err
	}
	return ask(ctx, p)
}

// prepare judges what the token itself tells, see [Source]. What the signature of a JWT already says is bad isn't
// worth a request, and that its key can't be had says nothing about introspection:
// a stranger invents as many key ids as it likes.
func (v *Introspection) prepare(ctx context.Context, p *Presented) (Ask, error) {
	if p.JWS == nil {
		return func(ctx context.Context, p *Presented) (*Token, error) { return v.introspect(ctx, p.Raw) }, nil
	}
	if v.config.JWT == nil {
		return nil, invalid(WrongType, "a signed JWT, which is not introspected")
	}
	t, err := v.config.JWT.Verify(ctx, p)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, p *Presented) (*Token, error) {
		confirmed, err := v.introspect(ctx, p.Raw)
		if err != nil {
			return nil, err
		}
		if confirmed.Subject != t.Subject && confirmed.ClientID != t.ClientID {
			return nil, invalid(BadClaims, "introspection names a different user or client than the token")
		}
		return t.boundAs(confirmed)
	}, nil
}

// Probe asks about a random token, see [Source]: a token that was never issued is not active. Some
// servers refuse with 400 what doesn't look like one of their tokens.
func (v *Introspection) Probe(ctx context.Context) error {
	endpoint, err := v.config.Endpoint(ctx)
	if err != nil {
		return err
	}
	raw := randomToken(v.config.Prefixes)
	a, err := v.ask(ctx, endpoint, raw)
	switch {
	case err != nil:
		return unanswered("introspection", err)
	case a.status == http.StatusBadRequest:
		return nil
	case a.status != http.StatusOK:
		return v.failure(endpoint, a)
	}
	answer, err := parseIntrospection(a.body, raw)
	switch {
	case err != nil:
		return fmt.Errorf("introspection: the answer of %s is not usable: %w", endpoint, err)
	case answer.active:
		return fmt.Errorf("introspection: %s says that a token is active that it can't have issued", endpoint)
	}
	return nil
}

// failure is the error for an answer other than 200. A 403 counts as the token's:
// firewalls refuse so what they take for an attack.
func (v *Introspection) failure(endpoint string, a *answer) error {
	return &UnavailableError{
		RetryAfter: outbound.RetryAfter(a.header),
		Outage:     outage(a.status) || a.status == http.StatusUnauthorized,
		Err:        fmt.Errorf("introspection: %s answered %d%s", endpoint, a.status, introspectionCure(a)),
	}
}

// StillGood reports whether the key of t is still published, see [Source].
func (v *Introspection) StillGood(ctx context.Context, t *Token) bool {
	return t.keys == nil || v.config.JWT != nil && v.config.JWT.StillGood(ctx, t)
}

func (v *Introspection) introspect(ctx context.Context, raw string) (*Token, error) {
	endpoint, err := v.config.Endpoint(ctx)
	if err != nil {
		if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
			return nil, unavailable
		}
		return nil, &UnavailableError{Err: err}
	}
	a, err := v.ask(ctx, endpoint, raw)
	if err != nil {
		return nil, unanswered("introspection", err)
	}
	if a.status != http.StatusOK {
		return nil, v.failure(endpoint, a)
	}
	answer, err := parseIntrospection(a.body, raw)
	if err != nil {
		return nil, &UnavailableError{Err: fmt.Errorf("introspection: the answer of %s is not usable: %w", endpoint, err)}
	}
	return v.judge(answer)
}

// ask sends the request of RFC 7662, section 2.1.
func (v *Introspection) ask(ctx context.Context, endpoint, raw string) (*answer, error) {
	header := http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/x-www-form-urlencoded"},
		"User-Agent":   {outbound.UserAgent},
	}
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	if err := v.config.Auth(form, header); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, err
	}
	return readAnswer(resp)
}

func introspectionCure(a *answer) string {
	switch {
	case a.redirect():
		return ": redirects are not followed, so give the final address, with or without a slash at its end: endpoint <url>"
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return ": the front door's own credentials were refused, check client_id, client_secret and client_auth"
	case a.status == http.StatusBadRequest:
		return ": the server does not introspect a token of this form, or refuses the front door's own credentials"
	case a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed:
		return ": is that the introspection endpoint? Set it with endpoint <url>"
	}
	return ""
}

// introspection is an answer (RFC 7662, section 2.2).
type introspection struct {
	claims
	active bool
	named  string // username (RFC 7662, section 2.2)
	// kept is the answer without active: the claims of the token.
	kept []byte
}

var errNoActive = errors.New("no member active")

// parseIntrospection reads the answer about raw.
func parseIntrospection(body []byte, raw string) (*introspection, error) {
	in := new(introspection)
	hasActive := false
	fields := make(map[string]jsontext.Value)
	exact := []string{"active", "iss", "sub", "username", "client_id", "scope", "aud", "exp", "nbf", "iat", "token_type", "cnf"}
	err := strictjson.MembersOf(body, exact, func(name string, value jsontext.Value) (err error) {
		switch name {
		case "active":
			if kind := value.Kind(); kind != 't' && kind != 'f' {
				return errors.New("active is not true or false")
			}
			in.active, hasActive = value.Kind() == 't', true
			return nil
		case "token", "access_token":
			return nil // some servers repeat it; it is nobody's claim
		}
		fields[name] = value.Clone()
		if value.Kind() == 'n' {
			return nil // servers write null for what they don't know
		}
		if name == "username" {
			if in.named, err = strictjson.String(value); in.named != "" {
				in.username = in.named // before preferred_username
			}
		} else {
			err = in.member(name, value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case !hasActive:
		return nil, errNoActive
	case !in.active:
		return in, nil
	}
	in.settle()
	if in.kept, err = json.Marshal(fields, json.Deterministic(true)); err != nil {
		return nil, err
	}
	return in, checkRepeat(in.kept, raw)
}

// judge decides on a well-formed answer.
func (v *Introspection) judge(in *introspection) (*Token, error) {
	if !in.active {
		return nil, invalid(Inactive, "the issuer says that the token is not active")
	}
	now := v.config.Now()
	latest := now.Add(v.config.Leeway)
	switch {
	case in.issuer != "" && in.issuer != v.config.Issuer:
		return nil, invalid(UnknownIssuer, "introspection names another issuer than %q", v.config.Issuer)
	case !in.expiry.IsZero() && !now.Before(in.expiry):
		return nil, invalid(Expired, "expired %s ago", now.Sub(in.expiry).Round(time.Second))
	case in.notBefore.After(latest), in.issuedAt.After(latest):
		return nil, invalid(NotYetValid, "nbf or iat is in the future")
	case len(in.audience) == 0 && !v.config.AllowMissingAudience:
		return nil, invalid(WrongAudience, "introspection names no aud: if the issuer knows no audiences, insecure_allow_missing_audience accepts that")
	case len(in.audience) > 0 && !matchAudience(in.audience, v.config.Audience):
		return nil, invalid(WrongAudience, "aud names none of %q", v.config.Audience)
	}
	if err := in.checkBinding(v.config.AllowBound); err != nil {
		return nil, err
	}
	if err := in.kind(""); err != nil {
		return nil, err
	}
	user := cmp.Or(in.subject, in.named)
	subject, err := in.whose(user)
	if err != nil {
		return nil, err
	}
	if err := checkIdentifier(subject); err != nil {
		return nil, invalid(BadClaims, "username: %v", err)
	}
	if user == "" && v.config.OnNoUser != nil {
		v.config.OnNoUser()
	}
	return New(Token{
		Issuer:   v.config.Issuer,
		Subject:  subject,
		Type:     in.subjectType(subject),
		ClientID: in.clientID,
		Audience: in.audience,
		Scopes:   in.scopes,
		Expiry:   in.expiry,
		Binding:  in.binding,
	}, in.kept), nil
}

// Interface guard
var _ Verifier = (*Introspection)(nil)
