package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// OIDCConfig describes an OpenID provider.
type OIDCConfig struct {
	// Issuer is the provider's issuer identifier: an https URL, or http on
	// loopback. Required.
	Issuer string
	// ClientID and ClientSecret are this server's credentials at the provider.
	// Required.
	ClientID, ClientSecret string
	// Label is the name on the sign-in page. Default: the issuer's host.
	Label string
	// Scopes are requested. Default: openid, profile, email.
	Scopes []string
	// Client sends the requests. Nil means the client of package discovery.
	Client *http.Client
	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// OIDC signs users in at an OpenID provider (OpenID Connect Core 1.0, the code
// flow).
type OIDC struct {
	config OIDCConfig
	client *http.Client
	// issuer has the metadata and the keys. While the provider is unavailable, they
	// stay in use for a day.
	issuer *discovery.Issuer
}

// checkMetadata returns an error if the metadata would send the client secret, a
// code, or the browser to an address that they must not go to.
func checkMetadata(m *discovery.Metadata) error {
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"} {
		address := m.Text(name)
		if name == "userinfo_endpoint" && address == "" {
			continue // optional
		}
		if web.CheckAddress(address) != nil {
			return fmt.Errorf("its %s is not an https URL", name)
		}
	}
	return nil
}

// NewOIDC returns a provider for config. It sends no request.
func NewOIDC(config OIDCConfig) (*OIDC, error) {
	if err := web.CheckAddress(config.Issuer); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if config.ClientID == "" || config.ClientSecret == "" {
		return nil, errors.New("client_id and client_secret are needed")
	}
	if config.Label == "" {
		u, err := url.Parse(config.Issuer)
		if err != nil {
			return nil, err
		}
		config.Label = u.Host
	}
	if len(config.Scopes) == 0 {
		config.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	if !slices.Contains(config.Scopes, oidc.ScopeOpenID) {
		return nil, errors.New("scopes must contain openid: without it there is no ID token")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	client := newClient(config.Client)
	issuer, err := discovery.New(discovery.Config{
		Issuer: config.Issuer,
		// OpenID Connect Discovery 1.0, section 4.
		Location: strings.TrimSuffix(config.Issuer, "/") + "/.well-known/openid-configuration",
		Validate: checkMetadata,
		Client:   client,
		Now:      config.Now,
	})
	if err != nil {
		return nil, err
	}
	return &OIDC{config: config, client: client, issuer: issuer}, nil
}

// Label implements [Provider].
func (o *OIDC) Label() string { return o.config.Label }

// Source implements [Provider].
func (o *OIDC) Source() []string { return []string{"oidc", o.config.Issuer, o.config.ClientID} }

// Close ends every fetch under way.
func (o *OIDC) Close() { o.issuer.Close() }

// Keys returns the source of the provider's keys.
func (o *OIDC) Keys() keys.Source { return o.issuer }

// Identity returns the user that the claims of an identity assertion of the provider are
// about. The caller has verified them. It is the same as after a sign-in if the provider
// puts the same claims into its ID tokens.
func (o *OIDC) Identity(subject string, claims map[string]any) Identity {
	return identity(subject, claims)
}

func (o *OIDC) oauth(m *discovery.Metadata, redirectURI string) *oauth2.Config {
	endpoint := oauth2.Endpoint{
		AuthURL:  m.Text("authorization_endpoint"),
		TokenURL: m.Text("token_endpoint"),
		// Chosen here: x/oauth2 would try both with the user's code.
		AuthStyle: oauth2.AuthStyleInHeader,
	}
	methods, _ := m.List("token_endpoint_auth_methods_supported")
	if len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") && slices.Contains(methods, "client_secret_post") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID:     o.config.ClientID,
		ClientSecret: o.config.ClientSecret,
		Endpoint:     endpoint,
		RedirectURL:  redirectURI,
		Scopes:       o.config.Scopes,
	}
}

// Begin implements [Provider].
func (o *OIDC) Begin(ctx context.Context, redirectURI string, wish Wish) (string, Pending, error) {
	m, err := o.issuer.Metadata(ctx)
	if err != nil {
		return "", Pending{}, err
	}
	p, challenge := begin()
	p.Nonce = oauth2.GenerateVerifier()
	options := append(wish.options("login_hint"), challenge, oidc.Nonce(p.Nonce))
	if wish.MaxAge != nil {
		options = append(options, oauth2.SetAuthURLParam("max_age", strconv.FormatInt(*wish.MaxAge, 10)))
		p.SignedInSince = new(o.config.Now().Unix() - *wish.MaxAge)
	}
	return o.oauth(m, redirectURI).AuthCodeURL(p.State, options...), p, nil
}

// Finish implements [Provider].
func (o *OIDC) Finish(ctx context.Context, redirectURI string, p Pending, callback url.Values) (Identity, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, o.client), timeout)
	defer cancel()
	m, err := o.issuer.Metadata(ctx)
	if err != nil {
		return Identity{}, err
	}
	promised := m.Fields()["authorization_response_iss_parameter_supported"] == true
	code, err := checkCallback(p, callback, o.config.Issuer, promised)
	if err != nil {
		return Identity{}, err
	}
	tokens, err := exchange(ctx, o.oauth(m, redirectURI), p, code)
	if err != nil {
		return Identity{}, err
	}
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return Identity{}, invalid("there is no ID token")
	}
	id, err := o.verify(ctx, raw)
	if err != nil {
		return Identity{}, err
	}
	if id.Nonce == "" || id.Nonce != p.Nonce || id.Subject == "" {
		return Identity{}, invalid("the ID token is not for this sign-in")
	}
	claims := make(map[string]any)
	if err := id.Claims(&claims); err != nil {
		return Identity{}, &InvalidError{fmt.Errorf("reading the ID token: %w", err)}
	}
	if err := checkAuthTime(p, claims["auth_time"], o.config.Now()); err != nil {
		return Identity{}, err
	}
	o.addUserInfo(ctx, m.Text("userinfo_endpoint"), tokens.AccessToken, claims)
	return identity(id.Subject, claims), nil
}

// verify verifies an ID token (OpenID Connect Core 1.0, section 3.1.3.7).
func (o *OIDC) verify(ctx context.Context, raw string) (*oidc.IDToken, error) {
	set := &keySet{source: o.issuer, now: o.config.Now}
	id, err := oidc.NewVerifier(o.config.Issuer, set, &oidc.Config{
		ClientID:             o.config.ClientID,
		SupportedSigningAlgs: signingAlgs,
		Now:                  o.config.Now,
	}).Verify(ctx, raw)
	switch {
	case set.err != nil:
		return nil, set.err
	case err != nil:
		return nil, &InvalidError{fmt.Errorf("verifying the ID token: %w", err)}
	}
	return id, nil
}

// authTimeLeeway is how much the provider's clock may differ from ours.
const authTimeLeeway = time.Minute

// checkAuthTime checks when the user signed in, if max_age was sent (OpenID Connect
// Core 1.0, section 3.1.3.7, rule 13). A provider that got max_age must send
// auth_time (section 2). Without it nothing is known, so the sign-in is refused.
func checkAuthTime(p Pending, claim any, now time.Time) error {
	if p.SignedInSince == nil {
		return nil
	}
	seconds, ok := claim.(float64)
	if !ok {
		return invalid("the ID token doesn't say when the user signed in, although max_age was sent")
	}
	leeway := authTimeLeeway.Seconds()
	if seconds < float64(*p.SignedInSince)-leeway || seconds > float64(now.Unix())+leeway {
		return invalid("the user's sign-in at the upstream is older than max_age, or in the future")
	}
	return nil
}

func identity(subject string, claims map[string]any) Identity {
	text := func(name string) string { s, _ := claims[name].(string); return s }
	id := Identity{
		Subject:  subject,
		Username: text("preferred_username"),
		Name:     text("name"),
		Email:    text("email"),
		// Some providers send a string.
		EmailVerified: claims["email_verified"] == true || claims["email_verified"] == "true",
		Claims:        claims,
	}
	groups, _ := claims["groups"].([]any)
	for _, group := range groups {
		if s, ok := group.(string); ok {
			id.Groups = append(id.Groups, s)
		}
	}
	return id
}

// Interface guard
var _ Provider = (*OIDC)(nil)
