// Package logto registers applications through Logto's Management API. This
// package doesn't know Caddy.
package logto

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Config describes a Logto tenant and the machine-to-machine application that
// may manage it.
type Config struct {
	// Endpoint is the tenant's endpoint, such as https://tenant.logto.app.
	// Required.
	Endpoint string
	// TokenEndpoint is the endpoint for the API's access token. Default:
	// /oidc/token below Endpoint.
	TokenEndpoint string
	// ClientID and ClientSecret are the credentials of the machine-to-machine
	// application. Required.
	ClientID, ClientSecret string
	// Resource is the indicator of the Management API. Default: /api below
	// Endpoint, as in Logto Cloud; https://default.logto.app/api for self-hosted
	// Logto.
	Resource string
	// UserScopes are the names of claims, and ResourceScopes are the ids of a
	// resource's permissions, that users may consent to. Default: none.
	UserScopes, ResourceScopes []string
	// Client sends the requests. Nil means the client of package discovery.
	Client *http.Client
}

// The types of applications.
const (
	Native      = "Native"
	SPA         = "SPA"
	Traditional = "Traditional"
)

// Application is a third-party application.
type Application struct {
	// ID is the client identifier.
	ID string
	// Name is the name on the consent page.
	Name string
	// Type is Native, SPA or Traditional.
	Type string
	// RedirectURIs are the registered redirect URIs.
	RedirectURIs []string
	// Secret is the client secret of a Traditional application; empty for the
	// other types.
	Secret string
}

// unavailable says that Logto could not be asked.
func unavailable(err error) error {
	return &outbound.UnavailableError{Err: fmt.Errorf("asking Logto: %w", err)}
}

// RejectedError means that Logto doesn't accept the client's metadata.
type RejectedError struct{ Status int }

func (e *RejectedError) Error() string {
	return fmt.Sprintf("the Management API answered %d", e.Status)
}

// API is Logto's Management API.
type API struct {
	config Config

	mu     sync.Mutex
	tokens oauth2.TokenSource
}

// New returns the API of config. It sends no request.
func New(config Config) (*API, error) {
	config.Endpoint = strings.TrimSuffix(config.Endpoint, "/")
	if config.TokenEndpoint == "" {
		config.TokenEndpoint = config.Endpoint + "/oidc/token"
	}
	if config.Resource == "" {
		config.Resource = config.Endpoint + "/api"
	}
	for _, setting := range []struct{ name, address string }{
		{"endpoint", config.Endpoint},
		{"token_endpoint", config.TokenEndpoint},
	} {
		if err := web.CheckAddress(setting.address); err != nil {
			return nil, fmt.Errorf("%s: %w", setting.name, err)
		}
	}
	if config.ClientID == "" || config.ClientSecret == "" {
		return nil, errors.New("client_id and client_secret are needed: create a machine-to-machine application that has the role for the Management API")
	}
	if config.Client == nil {
		config.Client = outbound.NewClient()
	}
	a := &API{config: config}
	a.forget()
	return a, nil
}

// forget discards the access token, so that the next request obtains a new one.
func (a *API) forget() {
	credentials := clientcredentials.Config{
		ClientID:       a.config.ClientID,
		ClientSecret:   a.config.ClientSecret,
		TokenURL:       a.config.TokenEndpoint,
		Scopes:         []string{"all"},
		EndpointParams: url.Values{"resource": {a.config.Resource}},
		AuthStyle:      oauth2.AuthStyleInHeader,
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = credentials.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, a.config.Client))
}

func (a *API) token() (string, error) {
	a.mu.Lock()
	source := a.tokens
	a.mu.Unlock()
	token, err := source.Token()
	if err != nil {
		if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok && answer.Response != nil {
			// The error isn't wrapped, because it contains the body.
			return "", fmt.Errorf("the token endpoint answered %d %q: are client_id, client_secret and resource right?", answer.Response.StatusCode, answer.ErrorCode)
		}
		return "", err
	}
	return token.AccessToken, nil
}

// Create makes a third-party application, for which users are asked for consent,
// with the scopes that they may consent to. If that can't be completed, no
// application is left.
func (a *API) Create(ctx context.Context, app Application) (Application, error) {
	body := map[string]any{
		"name":         app.Name,
		"type":         app.Type,
		"isThirdParty": true,
		"oidcClientMetadata": map[string]any{
			"redirectUris":           app.RedirectURIs,
			"postLogoutRedirectUris": []string{},
		},
	}
	var created struct {
		ID string `json:"id"`
	}
	switch status, err := a.call(ctx, http.MethodPost, "/api/applications", body, &created); {
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		rejected, _ := errors.AsType[*RejectedError](err)
		return Application{}, fmt.Errorf("creating an application: %w", rejected)
	case err != nil:
		return Application{}, fmt.Errorf("creating an application: %w", err)
	}
	if created.ID == "" {
		return Application{}, unavailable(errors.New("the created application has no id"))
	}
	app.ID = created.ID
	if _, err := a.complete(ctx, &app); err != nil {
		// A third-party application without scopes would get nothing, without a
		// visible reason.
		if undo := a.Delete(context.WithoutCancel(ctx), app.ID); undo != nil {
			err = errors.Join(err, undo)
		}
		return Application{}, err
	}
	return app, nil
}

// Renew adds the scopes that are configured now to an existing application, and
// returns the application with its secret. It reports whether the application
// exists.
func (a *API) Renew(ctx context.Context, app Application) (_ Application, exists bool, err error) {
	status, err := a.complete(ctx, &app)
	if status == http.StatusNotFound {
		return Application{}, false, nil
	}
	return app, err == nil, err
}

// complete adds the scopes and reads the secret. It returns the status of the
// API's last response.
func (a *API) complete(ctx context.Context, app *Application) (int, error) {
	scopes := map[string]any{"userScopes": orEmpty(a.config.UserScopes), "resourceScopes": orEmpty(a.config.ResourceScopes)}
	status, err := a.call(ctx, http.MethodPost, path(app.ID, "/user-consent-scopes"), scopes, nil)
	if err != nil {
		if rejected, ok := errors.AsType[*RejectedError](err); ok {
			// The operator has to fix this, not the client.
			err = errors.New(rejected.Error() + ": are user_scopes and resource_scopes right?")
		}
		return status, fmt.Errorf("setting the scopes to consent to: %w", err)
	}
	if app.Type != Traditional {
		return status, nil // a public client needs no secret
	}
	var secrets []struct {
		Value string `json:"value"`
	}
	if status, err = a.call(ctx, http.MethodGet, path(app.ID, "/secrets"), nil, &secrets); err != nil {
		return status, fmt.Errorf("getting the secret: %w", err)
	}
	if len(secrets) == 0 || secrets[0].Value == "" {
		return status, unavailable(errors.New("the application has no secret"))
	}
	app.Secret = secrets[0].Value
	return status, nil
}

// Delete removes an application. It is no error if there is none.
func (a *API) Delete(ctx context.Context, id string) error {
	status, err := a.call(ctx, http.MethodDelete, path(id, ""), nil, nil)
	if status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing an application: %w", err)
	}
	return nil
}

func path(id, rest string) string { return "/api/applications/" + url.PathEscape(id) + rest }

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// maxBody bounds an answer, in bytes.
const maxBody = 1 << 20

// call sends a request to the API. Errors contain only the status of the
// response.
func (a *API) call(ctx context.Context, method, path string, body, answer any) (int, error) {
	for attempt := 0; ; attempt++ {
		status, err := a.try(ctx, method, path, body, answer)
		if status != http.StatusUnauthorized || attempt > 0 {
			return status, err
		}
		a.forget() // it may have been revoked, or the keys replaced
	}
}

func (a *API) try(ctx context.Context, method, path string, body, answer any) (int, error) {
	token, err := a.token()
	if err != nil {
		return 0, unavailable(err)
	}
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.config.Endpoint+path, payload)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	got, err := outbound.Ask(a.config.Client, req, maxBody)
	switch {
	case err != nil:
		return 0, unavailable(err)
	case got.Status == http.StatusUnprocessableEntity, got.Status == http.StatusBadRequest:
		return got.Status, &RejectedError{got.Status}
	case got.Status == http.StatusForbidden:
		return got.Status, unavailable(errors.New("the Management API answered 403: " +
			"does the machine-to-machine application have the role `Logto Management API access`? Give it that at Logto, under the application's roles"))
	case got.Status == http.StatusUnauthorized:
		return got.Status, unavailable(errors.New("the Management API answered 401: is `resource` the Management API of this tenant?"))
	case got.Status/100 != 2:
		return got.Status, unavailable(fmt.Errorf("the Management API answered %d", got.Status))
	case answer == nil:
		return got.Status, nil
	}
	if err := jsonv2.Unmarshal(got.Body, answer); err != nil {
		return got.Status, unavailable(errors.New("the Management API's answer is not what it should be"))
	}
	return got.Status, nil
}
