package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

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
	flight singleflight.Group

	mu       sync.Mutex
	provider *provider
	// failed is the error of the last discovery, at failedAt; nil if it
	// succeeded.
	failed   error
	failedAt time.Time
}

// provider is the provider's metadata.
type provider struct {
	*oidc.Provider
	asOf  time.Time
	keys  *keySet
	extra struct {
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
		SendsIss    bool     `json:"authorization_response_iss_parameter_supported"`
		UserInfo    string   `json:"userinfo_endpoint"`
		JWKS        string   `json:"jwks_uri"`
	}
}

// check returns an error if the metadata has an address that the client secret, a
// code, or the browser must not be sent to. go-oidc doesn't check this.
func (p *provider) check() error {
	for _, endpoint := range []struct{ name, address string }{
		{"authorization_endpoint", p.Endpoint().AuthURL},
		{"token_endpoint", p.Endpoint().TokenURL},
		{"jwks_uri", p.extra.JWKS},
		{"userinfo_endpoint", p.extra.UserInfo},
	} {
		if endpoint.name == "userinfo_endpoint" && endpoint.address == "" {
			continue // optional
		}
		if web.CheckAddress(endpoint.address) != nil {
			return fmt.Errorf("its %s is not an https URL", endpoint.name)
		}
	}
	return nil
}

// discoveryError returns the part of an error of go-oidc's discovery that may be
// logged. The error itself may contain the body.
func discoveryError(err error) error {
	if answered, ok := errors.AsType[*statusError](err); ok {
		return fmt.Errorf("its metadata can't be fetched: %w", answered)
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return err
	}
	if mismatch, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return fmt.Errorf("its metadata is for the issuer %.100q", mismatch.Discovered)
	}
	return errors.New("its metadata can't be read")
}

const (
	// metadataFresh is how long a provider's metadata is used before it is
	// fetched again.
	metadataFresh = time.Hour
	// failureFresh is how long a provider is not asked again after a failure. It
	// may hang, and users would wait for it one after another.
	failureFresh = 5 * time.Second
)

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
	return &OIDC{config: config, client: newClient(config.Client)}, nil
}

// Label implements [Provider].
func (o *OIDC) Label() string { return o.config.Label }

// Source implements [Provider].
func (o *OIDC) Source() []string { return []string{"oidc", o.config.Issuer, o.config.ClientID} }

// discover returns the provider's metadata, fetched when it is first needed. If
// it can't be fetched again, the previous metadata is used.
func (o *OIDC) discover(ctx context.Context) (*provider, error) {
	o.mu.Lock()
	known, failed, now := o.provider, o.failed, o.config.Now()
	recently := failed != nil && now.Before(o.failedAt.Add(failureFresh))
	o.mu.Unlock()
	switch {
	case known != nil && (recently || now.Before(known.asOf.Add(metadataFresh))):
		return known, nil
	case recently:
		return nil, unavailable(failed)
	}
	flight := o.flight.DoChan("", func() (any, error) {
		p, err := o.fetch()
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.failed = err; err != nil {
			o.failedAt = o.config.Now()
			return nil, err
		}
		o.provider = p
		return p, nil
	})
	var err error
	select {
	case result := <-flight:
		if err = result.Err; err == nil {
			return result.Val.(*provider), nil
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if known != nil {
		return known, nil
	}
	return nil, unavailable(err)
}

// fetch fetches the provider's metadata.
func (o *OIDC) fetch() (*provider, error) {
	p := &provider{asOf: o.config.Now()}
	var err error
	client := *o.client
	client.Transport = okTransport{client.Transport}
	// Those who wait for this share it, so it must not end with one of them. The
	// client has a timeout.
	p.Provider, err = oidc.NewProvider(oidc.ClientContext(context.Background(), &client), o.config.Issuer)
	if err != nil {
		return nil, discoveryError(err)
	}
	if err := p.Claims(&p.extra); err != nil {
		return nil, discoveryError(err)
	}
	p.keys = &keySet{client: o.client, address: p.extra.JWKS}
	return p, p.check()
}

func (o *OIDC) oauth(p *provider, redirectURI string) *oauth2.Config {
	endpoint := p.Endpoint()
	// The style is chosen by the metadata. By default, x/oauth2 would find it out
	// by trying, with the user's code.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if methods := p.extra.AuthMethods; len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") && slices.Contains(methods, "client_secret_post") {
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
	provider, err := o.discover(ctx)
	if err != nil {
		return "", Pending{}, err
	}
	p, challenge := begin()
	p.Nonce = oauth2.GenerateVerifier()
	return o.oauth(provider, redirectURI).AuthCodeURL(p.State, append(wish.options("login_hint"), challenge, oidc.Nonce(p.Nonce))...), p, nil
}

// Finish implements [Provider].
func (o *OIDC) Finish(ctx context.Context, redirectURI string, p Pending, callback url.Values) (Identity, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, o.client), timeout)
	defer cancel()
	provider, err := o.discover(ctx)
	if err != nil {
		return Identity{}, err
	}
	code, err := checkCallback(p, callback, o.config.Issuer, provider.extra.SendsIss)
	if err != nil {
		return Identity{}, err
	}
	tokens, err := exchange(ctx, o.oauth(provider, redirectURI), p, code)
	if err != nil {
		return Identity{}, err
	}
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return Identity{}, invalid("there is no ID token")
	}
	config := &oidc.Config{ClientID: o.config.ClientID, Now: o.config.Now}
	for _, algorithm := range algorithms {
		config.SupportedSigningAlgs = append(config.SupportedSigningAlgs, string(algorithm))
	}
	signature := &signature{keys: provider.keys}
	id, err := oidc.NewVerifier(o.config.Issuer, signature, config).Verify(ctx, raw)
	if signature.unavailable != nil {
		return Identity{}, unavailable(signature.unavailable)
	}
	if err != nil {
		return Identity{}, &InvalidError{fmt.Errorf("verifying the ID token: %w", err)}
	}
	if id.Nonce == "" || id.Nonce != p.Nonce || id.Subject == "" {
		return Identity{}, invalid("the ID token is not for this sign-in")
	}
	claims := make(map[string]any)
	if err := id.Claims(&claims); err != nil {
		return Identity{}, &InvalidError{fmt.Errorf("reading the ID token: %w", err)}
	}
	o.addUserInfo(ctx, provider, tokens, claims)
	return identity(id.Subject, claims), nil
}

// addUserInfo adds claims that the ID token doesn't have. Many providers return
// them only at the userinfo endpoint (OpenID Connect Core, section 5.4). If that
// fails, the sign-in still succeeds, but rules about these claims don't match.
func (o *OIDC) addUserInfo(ctx context.Context, p *provider, tokens *oauth2.Token, claims map[string]any) {
	if p.extra.UserInfo == "" || claims["email"] != nil && claims["name"] != nil {
		return
	}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil || info.Subject != claims["sub"] { // section 5.3.2
		return
	}
	more := make(map[string]any)
	if info.Claims(&more) != nil {
		return
	}
	// email_verified is about the email in the same document, not about one in
	// the other document.
	mine, _ := claims["email"].(string)
	theirs, _ := more["email"].(string)
	if claims["email"] == nil {
		delete(claims, "email")
		delete(claims, "email_verified")
	} else if mine != theirs {
		delete(more, "email_verified")
	}
	for name, value := range more {
		if _, known := claims[name]; !known {
			claims[name] = value
		}
	}
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
