package token

// This file judges the JWTs by which a client, or a provider in a user's name,
// identifies itself to an authorization server (RFC 7523, section 3). Making them is
// in clientauth.go. Not supported, and refused: assertions that are bound to a key
// (cnf), those with authorization_details (RFC 9396), which limit a grant in a way that
// isn't understood here, and those of one tenant of several (tenant, aud_tenant), whose
// users may have the subjects of other tenants' users.

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

const (
	// ClientAssertionType is the client_assertion_type of a JWT (RFC 7523, section
	// 2.2).
	ClientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// JWTBearerGrant is the grant_type of a JWT (RFC 7523, section 2.1).
	JWTBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

	// ClientAssertionTyp is the typ of an assertion that authenticates a client
	// (draft-ietf-oauth-rfc7523bis). Most libraries still write JWT, or nothing.
	ClientAssertionTyp = "client-authentication+jwt"
	// IdentityAssertionTyp is the typ of an ID-JAG, by which an identity provider
	// lets a client act for a user
	// (draft-ietf-oauth-identity-assertion-authz-grant).
	IdentityAssertionTyp = "oauth-id-jag+jwt"
)

// Assertion is a JWT as an authorization server got it. Nothing of it is verified
// before [Assertion.Verify] has returned nil.
type Assertion struct {
	// Type is its typ, lower-cased, without "application/"; empty if absent.
	Type string
	// Issuer, Subject, ClientID, ID and Audience are its iss, sub, client_id, jti and
	// aud; empty if absent.
	Issuer, Subject, ClientID, ID string
	Audience                      []string
	// Resources are the resource identifiers (RFC 8707) that it is for; empty if it
	// names none.
	Resources []string
	// Scopes are those in its scope; nil if it has none.
	Scopes []string
	// IssuedAt and Expiry are its iat and exp; zero if absent.
	IssuedAt, Expiry time.Time

	notBefore time.Time
	limited   string // the claim that is not supported; empty if there is none
	jws       *JWS
}

// PresentAssertion parses an assertion. Its error is an [*InvalidError].
func PresentAssertion(raw string) (*Assertion, error) {
	p, err := Present(raw)
	switch {
	case err != nil:
		return nil, err
	case p.JWS == nil:
		return nil, invalid(Malformed, "not a signed JWT")
	}
	a := &Assertion{Type: p.JWS.Type, jws: p.JWS}
	// Present has compared the names.
	err = strictjson.MembersAgain(p.JWS.payload, func(name string, value jsontext.Value) error {
		if err := a.member(name, value); err != nil {
			return invalid(BadClaims, "%s: %v", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Assertion) member(name string, value jsontext.Value) (err error) {
	switch name {
	case "iss":
		a.Issuer, err = strictjson.String(value)
	case "sub":
		a.Subject, err = identifier(value)
	case "client_id":
		a.ClientID, err = identifier(value)
	case "jti":
		a.ID, err = identifier(value)
	case "aud":
		a.Audience, err = oneOrMore(value)
	case "resource":
		a.Resources, err = oneOrMore(value)
	case "scope":
		a.Scopes, err = scopeValue(value)
	case "exp":
		a.Expiry, err = strictjson.NumericDate(value)
	case "nbf":
		a.notBefore, err = strictjson.NumericDate(value)
	case "iat":
		a.IssuedAt, err = strictjson.NumericDate(value)
	case "cnf", "authorization_details", "tenant", "aud_tenant":
		a.limited = name
	}
	return err
}

// oneOrMore returns the strings of a JSON string or of an array that isn't empty.
func oneOrMore(v jsontext.Value) ([]string, error) {
	if v.Kind() != '[' {
		s, err := strictjson.String(v)
		return []string{s}, err
	}
	list, err := strictjson.Strings(v)
	if err == nil && len(list) == 0 {
		err = errEmpty
	}
	return list, err
}

// AssertionRules say what an assertion must be. All fields are required, except where
// they say otherwise.
type AssertionRules struct {
	// Types lists the accepted values of typ. The empty one stands for no typ.
	Types []string
	// Issuer is exactly what iss must be.
	Issuer string
	// Subject and ClientID are exactly what sub and client_id must be. Empty means
	// that the caller decides; an assertion always needs a sub.
	Subject, ClientID string
	// Audience lists the values of which exactly one must be in aud, and nothing else.
	//
	// RFC 7523 allows the URL of the token endpoint, and further values. Both can let
	// one authorization server make a client sign assertions for another: it names the
	// other's endpoint as its own. So the successor of that RFC,
	// draft-ietf-oauth-rfc7523bis, requires the issuer alone. A caller that lists more
	// has to know what an assertion for another server is worth here.
	Audience []string
	// Algorithms lists the algorithms that it may be signed with. Empty means all
	// asymmetric ones known here.
	Algorithms []string
	// MaxLifetime is how far exp may lie in the future. The server remembers every
	// jti until then (RFC 7523, section 3, rules 4 and 7).
	MaxLifetime time.Duration
	// NeedIssuedAt says whether it needs an iat. Default: it doesn't.
	NeedIssuedAt bool
	// Keys has the keys of the signer.
	Keys keys.Source
	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Verify checks the assertion by the rules, claims first and the signature last. It
// doesn't know whether the assertion was used before: that is for the caller, after
// everything else. Its error is an [*InvalidError], or an [*UnavailableError] if the
// signer's keys can't be had.
func (a *Assertion) Verify(ctx context.Context, rules *AssertionRules) error {
	now := time.Now()
	if rules.Now != nil {
		now = rules.Now()
	}
	if err := a.check(rules, now); err != nil {
		return err
	}
	if rules.Keys == nil {
		return errors.New("there is no source of keys")
	}
	_, err := signer(ctx, rules.Keys, a.jws, now)
	return err
}

// check judges everything that needs no key.
func (a *Assertion) check(rules *AssertionRules, now time.Time) error {
	alg := a.jws.Algorithm
	switch latest := now.Add(DefaultLeeway); {
	case !slices.Contains(rules.Types, a.Type):
		return invalid(WrongType, "typ is not %q", rules.Types)
	case !keys.Supported(alg) || len(rules.Algorithms) > 0 && !slices.Contains(rules.Algorithms, alg):
		return invalid(WrongAlgorithm, "alg is not allowed")
	case rules.Issuer == "" || a.Issuer != rules.Issuer:
		return invalid(UnknownIssuer, "iss is not who it must be")
	case a.Subject == "" || rules.Subject != "" && a.Subject != rules.Subject:
		return invalid(BadClaims, "sub is missing, or not who it must be")
	case rules.ClientID != "" && a.ClientID != rules.ClientID:
		return invalid(BadClaims, "client_id is not the client that sends it")
	case len(a.Audience) != 1 || !slices.Contains(rules.Audience, a.Audience[0]):
		return invalid(WrongAudience, "aud is not one of %q, and nothing else", rules.Audience)
	case a.Expiry.IsZero():
		return invalid(BadClaims, "no exp")
	case !now.Before(a.Expiry):
		return invalid(Expired, "expired %s ago", now.Sub(a.Expiry).Round(time.Second))
	case a.Expiry.After(latest.Add(rules.MaxLifetime)):
		return invalid(BadClaims, "exp is more than %s in the future", rules.MaxLifetime)
	case a.notBefore.After(latest):
		return invalid(NotYetValid, "nbf is %s in the future", a.notBefore.Sub(now).Round(time.Second))
	case a.IssuedAt.After(latest):
		return invalid(NotYetValid, "iat is %s in the future", a.IssuedAt.Sub(now).Round(time.Second))
	case rules.NeedIssuedAt && a.IssuedAt.IsZero():
		return invalid(BadClaims, "no iat")
	case a.ID == "":
		return invalid(BadClaims, "no jti: without it, the assertion could be used again")
	case a.limited != "":
		return invalid(BadClaims, "%s is not supported", a.limited)
	}
	return nil
}

// Claims returns all claims as the signer wrote them, with numbers as float64. Call it
// only after [Assertion.Verify] has returned nil.
func (a *Assertion) Claims() map[string]any { return claimsOf(string(a.jws.payload)) }
