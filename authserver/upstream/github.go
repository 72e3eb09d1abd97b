package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// GitHubConfig describes GitHub, or a GitHub Enterprise Server.
type GitHubConfig struct {
	// ClientID and ClientSecret are those of the OAuth app. Required.
	ClientID, ClientSecret string
	// Label is what users call it. Default: GitHub.
	Label string
	// Scopes are asked for. Default: read:user and user:email, and read:org if
	// NeedOrgs.
	Scopes []string
	// NeedOrgs says that the user's organizations are needed.
	NeedOrgs bool
	// BaseURL and APIURL are where it is. Default: https://github.com and
	// https://api.github.com.
	BaseURL, APIURL string
	// Client talks to it. Nil means that of package discovery.
	Client *http.Client
}

// GitHub is GitHub's web application flow: OAuth 2.0 without ID tokens.
type GitHub struct {
	config GitHubConfig
	client *http.Client
}

// NewGitHub returns the GitHub of config.
func NewGitHub(config GitHubConfig) (*GitHub, error) {
	if config.ClientID == "" || config.ClientSecret == "" {
		return nil, errors.New("client_id and client_secret are needed")
	}
	for _, address := range []struct {
		name     string
		value    *string
		fallback string
	}{
		{"base_url", &config.BaseURL, "https://github.com"},
		{"api_url", &config.APIURL, "https://api.github.com"},
	} {
		if *address.value == "" {
			*address.value = address.fallback
		}
		*address.value = strings.TrimSuffix(*address.value, "/")
		if err := web.CheckAddress(*address.value); err != nil {
			return nil, fmt.Errorf("%s: %w", address.name, err)
		}
	}
	if config.Label == "" {
		config.Label = "GitHub"
	}
	if len(config.Scopes) == 0 {
		config.Scopes = []string{"read:user", "user:email"}
		if config.NeedOrgs {
			config.Scopes = append(config.Scopes, "read:org")
		}
	}
	return &GitHub{config, newClient(config.Client)}, nil
}

// Label implements [Provider].
func (g *GitHub) Label() string { return g.config.Label }

// Source implements [Provider]. Who a user is, the API says.
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
		wish.Prompt = "select_account" // the only one that GitHub knows
	}
	return g.oauth(redirectURI).AuthCodeURL(p.State, append(wish.options("login"), challenge)...), p, nil
}

// Finish implements [Provider].
func (g *GitHub) Finish(ctx context.Context, redirectURI string, p Pending, callback url.Values) (Identity, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, g.client), timeout)
	defer cancel()
	// GitHub sends this iss since April 2026, a GitHub Enterprise Server may not.
	code, err := checkCallback(p, callback, g.config.BaseURL+"/login/oauth", false)
	if err != nil {
		return Identity{}, err
	}
	token, err := exchange(ctx, g.oauth(redirectURI), p, code)
	if err != nil {
		return Identity{}, err
	}
	var user struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
		Name  string `json:"name"`
	}
	if err := g.get(ctx, token, "/user", &user); err != nil {
		return Identity{}, err
	}
	if user.ID <= 0 || user.Login == "" {
		return Identity{}, invalid("the user has no id")
	}
	id := Identity{
		// The id: names are given up, and taken by others.
		Subject:  strconv.FormatInt(user.ID, 10),
		Username: user.Login,
		Name:     user.Name,
	}
	if err := g.addEmail(ctx, token, &id); err != nil {
		return Identity{}, err
	}
	if g.config.NeedOrgs {
		if err := g.addOrganisations(ctx, token, &id); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

// addEmail adds the user's primary verified address at GitHub. The one in the
// profile may belong to anyone.
func (g *GitHub) addEmail(ctx context.Context, token *oauth2.Token, id *Identity) error {
	var emails []struct {
		Email    string `json:"email"`
		Primary  bool   `json:"primary"`
		Verified bool   `json:"verified"`
	}
	err := g.get(ctx, token, "/user/emails", &emails)
	if _, ok := errors.AsType[*forbiddenError](err); ok {
		return nil // not among the scopes
	}
	for _, e := range emails {
		if e.Primary && e.Verified {
			id.Email, id.EmailVerified = e.Email, true
		}
	}
	return err
}

// maxPages bounds how many pages of 100 organizations are read.
const maxPages = 10

func (g *GitHub) addOrganisations(ctx context.Context, token *oauth2.Token, id *Identity) error {
	for page := 1; page <= maxPages; page++ {
		var orgs []struct {
			Login string `json:"login"`
		}
		if err := g.get(ctx, token, "/user/orgs?per_page=100&page="+strconv.Itoa(page), &orgs); err != nil {
			return err
		}
		for _, org := range orgs {
			if name := strings.ToLower(org.Login); !slices.Contains(id.Groups, name) {
				id.Groups = append(id.Groups, name)
			}
		}
		if len(orgs) < 100 {
			break
		}
	}
	return nil
}

// forbiddenError says that the token is good, but not for this.
type forbiddenError struct{ status int }

func (e *forbiddenError) Error() string { return fmt.Sprintf("the API answered %d", e.status) }

// get reads what the API has at path into v.
func (g *GitHub) get(ctx context.Context, token *oauth2.Token, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.config.APIURL+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	req.Header.Set("User-Agent", "caddy-mcp-auth")
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	resp, err := g.client.Do(req)
	if err != nil {
		return &UnavailableError{err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return &UnavailableError{err}
	// The second is how it answers its secondary rate limits.
	case resp.StatusCode == http.StatusForbidden && (resp.Header.Get("X-Ratelimit-Remaining") == "0" || resp.Header.Get("Retry-After") != ""),
		resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= http.StatusInternalServerError:
		return &UnavailableError{fmt.Errorf("the API answered %d", resp.StatusCode)}
	case resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusNotFound:
		return &InvalidError{&forbiddenError{resp.StatusCode}}
	case resp.StatusCode != http.StatusOK:
		return &InvalidError{fmt.Errorf("the API answered %d", resp.StatusCode)}
	}
	if err := json.Unmarshal(body, v); err != nil {
		return invalid("the API's answer is not what it should be")
	}
	return nil
}

// Interface guard
var _ Provider = (*GitHub)(nil)
