package exchange

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	// keptUnknown is how long a token is kept whose lifetime the server doesn't say.
	keptUnknown = time.Minute
	// refusedFor is how long a refusal is kept, so that a client that keeps trying
	// doesn't cost a request each time.
	refusedFor = 5 * time.Second
	// maxRefusals bounds them.
	maxRefusals = 10_000
	// MaxEntries is how many tokens a cache for [New] should keep.
	MaxEntries = 20_000
)

// Exchanger exchanges tokens, and keeps what it got until that or the user's token
// expires. However many requests wait for one token, one exchange is made for them, as
// one question is asked about a token that is verified: the same cache, breaker and
// turns serve both (see package judge).
type Exchanger struct {
	config   Config
	issuer   string
	verifier *judge.Verifier
	refusals *otter.Cache[[sha256.Size]byte, refusal]
	again    singleflight.Group
}

// refusal is why a token was not exchanged.
type refusal struct {
	why   *Error
	until time.Time
}

// New returns an exchanger of the tokens of an issuer, as that is configured. The cache
// must belong to exchanges with this configuration alone, and have a TTL.
func New(config Config, issuer string, cache *judge.Cache) (*Exchanger, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	e := &Exchanger{config: config, issuer: issuer}
	var err error
	e.refusals, err = otter.New(&otter.Options[[sha256.Size]byte, refusal]{MaximumSize: maxRefusals})
	if err != nil {
		return nil, fmt.Errorf("making cache: %w", err)
	}
	e.verifier = cache.Cached(token.Source{Verifier: asker{e}, Prepare: asker{e}.prepare, Probe: e.probe})
	return e, nil
}

// Close ends what the exchanger does in the background.
func (e *Exchanger) Close() { e.refusals.StopAllGoroutines() }

// issuedAt is a claim of what stands for a token for the server behind.
const issuedAt = "iat"

// textOf returns the token for the server behind that t stands for. It is in a field
// that every remembered token has, so that no claims are read for a request.
func textOf(t *token.Token) string { return t.Audience[0] }

// subjectKey is the key of the verified token in a context.
type subjectKey struct{}

// For returns a token for the server behind, in exchange for the verified token raw,
// which came from the address client. The error is an [*Error], a
// [*token.InvalidError] if the user's token has expired meanwhile, or an
// [*outbound.UnavailableError], whose cause may be an [*Error].
func (e *Exchanger) For(ctx context.Context, raw, client string, sender *token.Reader) (string, error) {
	t, err := e.issued(ctx, raw, client, sender)
	if err != nil {
		return "", err
	}
	return textOf(t), nil
}

// issued is For, and returns what stands for the token.
func (e *Exchanger) issued(ctx context.Context, raw, client string, sender *token.Reader) (*token.Token, error) {
	subject := sender.Judged()
	if subject.Issuer != e.issuer {
		return nil, &Error{Kind: NoUser}
	}
	if err := e.inTime(subject, nil); err != nil {
		return nil, err // it was verified with leeway, and nobody has to be asked
	}
	p := &token.Presented{Raw: raw, Client: client}
	t, err := e.verifier.Verify(context.WithValue(ctx, subjectKey{}, sender), p)
	if err == nil && t.Subject != subject.Subject {
		// The token says something else than when it was exchanged.
		e.verifier.Cache.ForgetToken(sha256.Sum256([]byte(raw)))
		t, err = e.verifier.Verify(context.WithValue(ctx, subjectKey{}, sender), p)
	}
	switch {
	case err != nil:
		if why, ok := errors.AsType[*Error](err); ok && why.Kind != OwnClient {
			err = why
		}
		return nil, e.inTime(subject, err)
	case t.Subject != subject.Subject:
		return nil, &outbound.UnavailableError{Err: errors.New("token exchange: the user changes with each look")}
	}
	return t, e.inTime(subject, nil)
}

// inTime returns err, unless the subject has expired.
func (e *Exchanger) inTime(subject *token.Token, err error) error {
	if !subject.Expiry.IsZero() && !e.config.Now().Before(subject.Expiry) {
		return &token.InvalidError{Reason: token.Expired, Detail: "it expired before it was exchanged"}
	}
	return err
}

// Again is For after the server behind has refused a token that For returned. However
// many requests were refused with it, it is exchanged once more for them. It returns the
// refused token if that is only some seconds old: another would not be better, and a
// server that refuses everything must not cost an exchange with each request.
func (e *Exchanger) Again(ctx context.Context, raw, client, refused string, sender *token.Reader) (string, error) {
	ctx = context.WithoutCancel(ctx)
	result, err, _ := e.again.Do(raw+" "+refused, func() (any, error) {
		t, err := e.issued(ctx, raw, client, sender)
		if err != nil || textOf(t) != refused {
			return t, err
		}
		at, err := strconv.ParseInt(t.ClaimText(issuedAt), 10, 64)
		if err == nil && e.config.Now().Before(time.Unix(at, 0).Add(refusedFor)) {
			return t, nil
		}
		e.verifier.Cache.ForgetToken(sha256.Sum256([]byte(raw)))
		return e.issued(ctx, raw, client, sender)
	})
	if err != nil {
		return "", err
	}
	return textOf(result.(*token.Token)), nil
}

// asker makes the exchange. As a verifier, it says that the token for the server behind
// is what the user's token means.
type asker struct{ *Exchanger }

// Accepts implements [token.Verifier].
func (asker) Accepts(*token.Presented) bool { return true }

// Verify implements [token.Verifier].
func (e asker) Verify(ctx context.Context, p *token.Presented) (*token.Token, error) {
	ask, err := e.prepare(ctx, p)
	if err != nil {
		return nil, err
	}
	return ask(ctx, p)
}

// prepare refuses what nobody has to be asked about, see [token.Source].
func (e asker) prepare(ctx context.Context, p *token.Presented) (token.Ask, error) {
	if r, ok := e.refusals.GetIfPresent(sha256.Sum256([]byte(p.Raw))); ok && e.config.Now().Before(r.until) {
		return nil, &outbound.UnavailableError{Err: r.why}
	}
	sender, ok := ctx.Value(subjectKey{}).(*token.Reader)
	if !ok {
		return nil, errors.New("no subject")
	}
	subject := sender.Token()
	if subject.Type != token.UserSubject {
		return nil, &outbound.UnavailableError{Err: &Error{Kind: NoUser}}
	}
	return func(ctx context.Context, p *token.Presented) (*token.Token, error) {
		return e.exchange(ctx, p, subject)
	}, nil
}

// exchange asks for the token for the server behind, and tells of it.
func (e asker) exchange(ctx context.Context, p *token.Presented, subject *token.Token) (*token.Token, error) {
	t, err := e.issue(ctx, p, subject)
	if why, ok := errors.AsType[*Error](err); ok && why.Kind != OwnClient {
		e.refusals.Set(sha256.Sum256([]byte(p.Raw)), refusal{why, e.config.Now().Add(refusedFor)})
	}
	if e.config.OnExchange != nil {
		e.config.OnExchange(err)
	}
	return t, err
}

// issue asks for the token for the server behind.
func (e asker) issue(ctx context.Context, p *token.Presented, subject *token.Token) (*token.Token, error) {
	a, err := e.config.ask(ctx, p.Raw)
	if err != nil {
		return nil, err
	}
	got, err := e.config.read(a, p.Raw)
	if err != nil {
		return nil, err
	}
	if err := e.checkScopes(got.scopes); err != nil {
		return nil, err
	}
	now := e.config.Now()
	until := now.Add(keptUnknown)
	if !got.expires.IsZero() {
		// It has to last until the request has arrived.
		life := got.expires.Sub(now)
		until = got.expires.Add(-min(life/10, 10*time.Second))
	}
	if !subject.Expiry.IsZero() && subject.Expiry.Before(until) {
		until = subject.Expiry
	}
	claims, err := json.Marshal(map[string]any{issuedAt: now.Unix()})
	if err != nil {
		return nil, err
	}
	return token.New(token.Token{Issuer: e.issuer, Subject: subject.Subject, Audience: []string{got.text}, Expiry: until}, claims), nil
}

// checkScopes acts on the scopes that a token has, if the server says (RFC 8693,
// section 2.2.1). Entra's .default stands for others.
func (e asker) checkScopes(granted []string) error {
	if granted == nil || len(e.config.Scopes) == 0 {
		return nil
	}
	isDefault := func(scope string) bool { return strings.HasSuffix(scope, "/.default") }
	if slices.ContainsFunc(e.config.Scopes, isDefault) {
		return nil
	}
	for _, scope := range e.config.Scopes {
		if !slices.Contains(granted, scope) {
			return &outbound.UnavailableError{Err: &Error{Kind: Refused, Code: "the token lacks the scope " + scope}}
		}
	}
	if e.config.OnWider != nil && slices.ContainsFunc(granted, func(scope string) bool { return !slices.Contains(e.config.Scopes, scope) }) {
		e.config.OnWider()
	}
	return nil
}

// probe asks for the exchange of a random token, see [token.Source]: a server that works
// refuses it.
func (e *Exchanger) probe(ctx context.Context) error {
	a, err := e.config.ask(ctx, rand.Text())
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusOK:
		return errors.New("token exchange: the token endpoint exchanges a token that it can't have issued")
	}
	err = e.config.refusal(a)
	if why, ok := errors.AsType[*Error](err); ok && why.Kind != OwnClient {
		return nil
	}
	return err
}

// Interface guard
var _ token.Verifier = asker{}
