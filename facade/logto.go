package facade

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/logto"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

func init() {
	caddy.RegisterModule(Logto{})
}

// Logto registers clients as third-party applications of a Logto tenant, through
// its Management API, so that users are asked for consent. A public client that
// registers again with the same metadata gets the same application; where any
// program could be that client, users are asked each time. A client with a secret
// always gets an application of its own.
type Logto struct {
	// The tenant's endpoint, such as https://tenant.logto.app. Required.
	Endpoint string `json:"endpoint"`

	// The token endpoint for the Management API's access token. Default:
	// /oidc/token below the endpoint, which is right for Logto Cloud and for
	// self-hosted Logto.
	TokenEndpoint string `json:"token_endpoint,omitempty"`

	// The client identifier of a machine-to-machine application that may use the
	// Management API. Placeholders are replaced. Required.
	ClientID string `json:"client_id"`

	// The secret of that application. Placeholders are replaced. Required.
	ClientSecret string `json:"client_secret"`

	// The Management API's resource indicator. Default: /api below the endpoint,
	// as in Logto Cloud; https://default.logto.app/api for self-hosted
	// Logto.
	Resource string `json:"resource,omitempty"`

	// User scopes that users may consent to, such as profile and email. Default:
	// none.
	UserScopes []string `json:"user_scopes,omitempty"`

	// The ids of permissions that users may consent to, of the API resource that
	// represents the MCP server. Default: none.
	ResourceScopes []string `json:"resource_scopes,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Logto) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.mcp_auth.registrars.logto",
		New: func() caddy.Module { return new(Logto) },
	}
}

// ClientRegistrar implements [Registrar].
func (l *Logto) ClientRegistrar(info RegistrarInfo) (ClientRegistrar, error) {
	if err := option.Replace(
		option.Setting{Name: "endpoint", Value: &l.Endpoint},
		option.Setting{Name: "client_id", Value: &l.ClientID},
		option.Setting{Name: "client_secret", Value: &l.ClientSecret},
	); err != nil {
		return nil, err
	}
	api, err := logto.New(logto.Config{
		Endpoint:       l.Endpoint,
		TokenEndpoint:  l.TokenEndpoint,
		ClientID:       l.ClientID,
		ClientSecret:   l.ClientSecret,
		Resource:       l.Resource,
		UserScopes:     l.UserScopes,
		ResourceScopes: l.ResourceScopes,
		Client:         info.Client,
	})
	if err != nil {
		return nil, err
	}
	return &applications{
		api: api, records: info.Records, now: time.Now,
		used: make(map[string]time.Time), noting: make(chan struct{}, maxNoting),
	}, nil
}

// applications are the applications made for clients, with their records in the
// storage.
type applications struct {
	api     *logto.API
	records Records
	now     func() time.Time

	mu     sync.Mutex
	used   map[string]time.Time // when the use of a client was last stored
	noting chan struct{}        // one slot for each use that is being stored
}

// maxNoting bounds how many uses are stored at the same time, because anyone can
// send requests with a client's identifier.
const maxNoting = 4

// ReusesIdentifiers implements [Reuser].
func (*applications) ReusesIdentifiers() {}

// application is the record of an application. Its key is a hash of the metadata
// that the client registered with.
type application struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Type    string    `json:"type"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
}

// The prefixes of the records.
const (
	clientsPrefix = "logto/clients/"
	idsPrefix     = "logto/ids/"
)

// useResolution is how precisely the last use of a client is known.
const useResolution = 24 * time.Hour

// applicationFor returns the application for a client's metadata.
func applicationFor(m *ClientMetadata) logto.Application {
	app := logto.Application{Name: m.ClientName, Type: logto.Traditional}
	if app.Name == "" {
		app.Name = "MCP client"
	}
	native := m.ApplicationType == "native"
	for _, uri := range m.RedirectURIs {
		if registration.IsLoopback(uri) || !strings.HasPrefix(uri, "https:") {
			native = true
		}
		if uri = registration.WithoutPort(uri); !slices.Contains(app.RedirectURIs, uri) {
			app.RedirectURIs = append(app.RedirectURIs, uri)
		}
	}
	switch {
	case native:
		app.Type = logto.Native
	case m.TokenEndpointAuthMethod == "none":
		app.Type = logto.SPA
	}
	return app
}

// Register implements [ClientRegistrar].
func (a *applications) Register(ctx context.Context, m *ClientMetadata) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, storage.Timeout)
	defer cancel()
	app, err := a.acquire(ctx, applicationFor(m))
	if _, ok := errors.AsType[*logto.RejectedError](err); ok {
		return nil, &RefusedError{Code: "invalid_client_metadata", Description: "Logto doesn't accept the client's metadata.", Cause: err}
	}
	if err != nil {
		return nil, unavailable(err)
	}
	answer := response(m, app.ID)
	answer["token_endpoint_auth_method"] = "none"
	if app.Type == logto.Traditional {
		answer["token_endpoint_auth_method"] = "client_secret_basic"
		if m.TokenEndpointAuthMethod == "client_secret_post" {
			answer["token_endpoint_auth_method"] = "client_secret_post"
		}
		answer["client_secret"] = app.Secret
		answer["client_secret_expires_at"] = 0
	}
	return answer, nil
}

// key returns the key of an application's record. Public clients with the same
// metadata have the same key. A confidential client must be distinguishable from
// all others, so it never gets the application of another one.
func (a *applications) key(app logto.Application) (string, error) {
	if app.Type == logto.Traditional {
		return clientsPrefix + strings.ToLower(rand.Text()), nil
	}
	b, err := json.Marshal([]any{app.Name, app.Type, app.RedirectURIs})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return clientsPrefix + hex.EncodeToString(sum[:]), nil
}

// acquire returns the application, which may exist already.
func (a *applications) acquire(ctx context.Context, app logto.Application) (logto.Application, error) {
	key, err := a.key(app)
	if err != nil {
		return app, err
	}
	// Clients that register at the same time get one application.
	unlock, err := a.records.Lock(ctx, key)
	if err != nil {
		return app, err
	}
	defer unlock()
	record, err := a.load(ctx, key)
	if err != nil {
		return app, err
	}
	if record != nil {
		app.ID = record.ID
		renewed, exists, err := a.api.Renew(ctx, app)
		if exists || err != nil {
			return renewed, err
		}
		// It was deleted at Logto.
		if err := a.records.Delete(ctx, idsPrefix+record.ID); err != nil {
			return app, err
		}
	}
	if app, err = a.api.Create(ctx, app); err != nil {
		return app, err
	}
	now := a.now()
	record = &application{ID: app.ID, Name: app.Name, Type: app.Type, Created: now, Used: now}
	if err := a.store(ctx, key, record); err != nil {
		// Without a record, it would never be found again.
		return app, errors.Join(err, a.api.Delete(context.WithoutCancel(ctx), app.ID))
	}
	return app, a.store(ctx, idsPrefix+app.ID, key)
}

func (a *applications) load(ctx context.Context, key string) (*application, error) {
	b, err := a.records.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrDamaged) {
		return nil, nil // damaged: make a new one
	}
	if err != nil {
		return nil, err
	}
	record := new(application)
	if err := json.Unmarshal(b, record); err != nil || record.ID == "" {
		return nil, nil // damaged: make a new one
	}
	return record, nil
}

func (a *applications) store(ctx context.Context, key string, record any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return a.records.Store(ctx, key, b)
}

// Used implements [Sweeper]. It doesn't delay the request.
func (a *applications) Used(ctx context.Context, id string) {
	if strings.ContainsFunc(id, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	}) || len(id) > 100 {
		return // not an identifier of Logto's; it becomes part of a storage key
	}
	a.mu.Lock()
	recent := a.now().Sub(a.used[id]) < useResolution
	a.mu.Unlock()
	if recent {
		return
	}
	select {
	case a.noting <- struct{}{}:
	default:
		return // the next use is stored
	}
	a.mu.Lock()
	if len(a.used) > 10_000 {
		clear(a.used)
	}
	a.used[id] = a.now()
	a.mu.Unlock()
	go func() {
		defer func() { <-a.noting }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storage.Timeout)
		defer cancel()
		var key string
		if b, err := a.records.Load(ctx, idsPrefix+id); err != nil || json.Unmarshal(b, &key) != nil {
			return // not registered here
		}
		unlock, err := a.records.Lock(ctx, key)
		if err != nil {
			return // the next use tries again
		}
		defer unlock()
		if record, err := a.load(ctx, key); err == nil && record != nil && record.ID == id {
			record.Used = a.now()
			_ = a.store(ctx, key, record)
		}
	}()
}

// Sweep implements [Sweeper].
func (a *applications) Sweep(ctx context.Context, unusedFor time.Duration) (removed []string, err error) {
	keys, err := a.records.List(ctx, clientsPrefix)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		id, err := a.sweep(ctx, key, unusedFor)
		if err != nil {
			return removed, err
		}
		if id != "" {
			removed = append(removed, id)
		}
	}
	return removed, nil
}

func (a *applications) sweep(ctx context.Context, key string, unusedFor time.Duration) (string, error) {
	unlock, err := a.records.Lock(ctx, key)
	if err != nil {
		return "", err
	}
	defer unlock()
	record, err := a.load(ctx, key)
	if err != nil || record == nil || a.now().Sub(record.Used) < unusedFor {
		return "", err
	}
	if err := a.api.Delete(ctx, record.ID); err != nil {
		return "", err
	}
	return record.ID, errors.Join(a.records.Delete(ctx, idsPrefix+record.ID), a.records.Delete(ctx, key))
}

// UnmarshalCaddyfile sets up the registrar from Caddyfile tokens. Syntax:
//
//	logto {
//	    endpoint        <url>
//	    token_endpoint  <url>
//	    client_id       <id>
//	    client_secret   <secret>
//	    resource        <indicator>
//	    user_scopes     <names...>
//	    resource_scopes <ids...>
//	}
func (l *Logto) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the registrar's name
	if d.NextArg() {
		return d.Err("register logto takes a block")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch word := d.Val(); word {
		case "endpoint":
			err = option.Text(d, &l.Endpoint)
		case "token_endpoint":
			err = option.Text(d, &l.TokenEndpoint)
		case "client_id":
			err = option.Text(d, &l.ClientID)
		case "client_secret":
			err = option.Text(d, &l.ClientSecret)
		case "resource":
			err = option.Text(d, &l.Resource)
		case "user_scopes":
			err = option.Scopes(d, &l.UserScopes)
		case "resource_scopes":
			err = option.Scopes(d, &l.ResourceScopes)
		default:
			err = d.Errf("unrecognized option of logto: %s (known: endpoint, token_endpoint, client_id, client_secret, resource, user_scopes, resource_scopes)", word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Interface guards
var (
	_ Registrar             = (*Logto)(nil)
	_ Sweeper               = (*applications)(nil)
	_ Reuser                = (*applications)(nil)
	_ caddyfile.Unmarshaler = (*Logto)(nil)
)
