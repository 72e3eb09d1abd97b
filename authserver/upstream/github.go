package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/github"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// GitHubConfig describes GitHub, or a GitHub Enterprise Server.
type GitHubConfig struct {
	// ClientID and ClientSecret are the credentials of the OAuth app. Required.
	ClientID, ClientSecret string
	// Label is the name on the sign-in page. Default: GitHub.
	Label string
	// Scopes are requested. Default: read:user and user:email, and read:org if
	// NeedOrgs or NeedTeams.
	Scopes []string
	// NeedOrgs says that the user's organizations are needed, and NeedTeams that the
	// teams are too. Default: false.
	NeedOrgs, NeedTeams bool
	// BaseURL and APIURL are the addresses of the web site and the API. Default:
	// https://github.com and https://api.github.com.
	BaseURL, APIURL string
	// Client sends the requests. Nil means the client of package discovery.
	Client *http.Client
}

// GitHub signs users in with GitHub's web application flow, which is OAuth 2.0
// without ID tokens.
type GitHub struct {
	config GitHubConfig
	client *http.Client // for redeeming the code
	api    *github.Client
}

// NewGitHub returns a provider for config. It sends no request.
func NewGitHub(config GitHubConfig) (*GitHub, error) {
	if config.ClientID == "" || config.ClientSecret == "" {
		return nil, errors.New("client_id and client_secret are needed")
	}
	config.BaseURL = strings.TrimSuffix(cmp.Or(config.BaseURL, github.Origin), "/")
	config.APIURL = strings.TrimSuffix(cmp.Or(config.APIURL, github.API), "/")
	if err := web.CheckAddress(config.BaseURL); err != nil {
		return nil, fmt.Errorf("base_url: %w", err)
	}
	client := newClient(config.Client)
	api, err := github.New(github.Config{API: config.APIURL, Client: client})
	if err != nil {
		return nil, fmt.Errorf("api_url: %w", err)
	}
	if config.Label == "" {
		config.Label = "GitHub"
	}
	if len(config.Scopes) == 0 {
		config.Scopes = []string{"read:user", "user:email"}
		if config.NeedOrgs || config.NeedTeams {
			config.Scopes = append(config.Scopes, "read:org")
		}
	}
	return &GitHub{config, client, api}, nil
}

// Label implements [Provider].
func (g *GitHub) Label() string { return g.config.Label }

// Source implements [Provider]. It names the API, because the API identifies the
// users.
func (g *GitHub) Source() []string {
	return []string{"github", g.config.BaseURL, g.config.APIURL, g.config.ClientID}
}

func (g *GitHub) oauth(redirectURI string) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     g.config.ClientID,
		ClientSecret: g.config.ClientSecret,
		Endpoint: oauth2.Endpoint{
			AuthURL:   g.config.BaseURL + "/login/oauth/authorize",
			TokenURL:  g.config.BaseURL + "/login/oauth/access_token",
			AuthStyle: oauth2.AuthStyleInParams,
		},
		RedirectURL: redirectURI,
		Scopes:      g.config.Scopes,
	}
}

// Begin implements [Provider].
func (g *GitHub) Begin(_ context.Context, redirectURI string, wish Wish) (string, Pending, error) {
	p, challenge := begin()
	if wish.Prompt != "" {
		wish.Prompt = "select_account" // the only value that GitHub supports
	}
	return g.oauth(redirectURI).AuthCodeURL(p.State, append(wish.options("login"), challenge)...), p, nil
}

// Finish implements [Provider].
func (g *GitHub) Finish(ctx context.Context, redirectURI string, p Pending, callback url.Values) (Identity, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, g.client), timeout)
	defer cancel()
	// GitHub has sent this iss since April 2026. GitHub Enterprise Server may
	// not.
	code, err := checkCallback(p, callback, g.config.BaseURL+"/login/oauth", false)
	if err != nil {
		return Identity{}, err
	}
	token, err := exchange(ctx, g.oauth(redirectURI), p, code)
	if err != nil {
		return Identity{}, err
	}
	user, err := g.api.User(ctx, token.AccessToken)
	if err != nil {
		return Identity{}, apiError(err)
	}
	id := Identity{Subject: user.ID, Username: user.Login, Name: user.Name}
	if err := g.addEmail(ctx, token, &id); err != nil {
		return Identity{}, apiError(err)
	}
	switch {
	case g.config.NeedTeams:
		if id.Groups, err = g.api.Groups(ctx, token.AccessToken); err != nil {
			return Identity{}, groupsError(err)
		}
	case g.config.NeedOrgs:
		if id.Groups, err = g.api.Organizations(ctx, token.AccessToken); err != nil {
			return Identity{}, apiError(err)
		}
	}
	return id, nil
}

// addEmail adds the user's primary verified address. The address in the public
// profile may belong to anyone.
func (g *GitHub) addEmail(ctx context.Context, token *oauth2.Token, id *Identity) error {
	emails, err := g.api.Emails(ctx, token.AccessToken)
	if status, ok := errors.AsType[*github.StatusError](err); ok && status.Forbidden() {
		return nil // the scope was not granted
	}
	for _, e := range emails {
		if e.Primary && e.Verified {
			id.Email, id.EmailVerified = e.Email, true
		}
	}
	return err
}

// apiError returns an [*InvalidError] for an answer that can't be used, and an
// [*outbound.UnavailableError] if there was none.
func apiError(err error) error {
	if status, ok := errors.AsType[*github.StatusError](err); ok && !status.Limited && status.Status < http.StatusInternalServerError {
		return &InvalidError{fmt.Errorf("the API: %w", err)}
	}
	if _, ok := errors.AsType[*github.AnswerError](err); ok {
		return &InvalidError{fmt.Errorf("the API: %w", err)}
	}
	return unavailable(err)
}

// groupsError returns the error for a user whose groups are not known: nobody signs in
// with fewer groups than they have.
func groupsError(err error) error {
	if status, ok := errors.AsType[*github.StatusError](err); ok && status.Forbidden() {
		err = fmt.Errorf("%w: the scope read:org is needed, or, of a GitHub App, the permission to read members", err)
	}
	return unavailable(fmt.Errorf("the user's organizations and teams: %w", err))
}

// Interface guard
var _ Provider = (*GitHub)(nil)
