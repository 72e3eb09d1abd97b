package authserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/github"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// Upstream is a provider where users sign in. It says who they are. What clients
// may do is granted by this server; the upstream's own tokens are discarded.
type Upstream struct {
	// The type: `oidc` for any OpenID provider, or `github`. Required.
	Type string `json:"type"`

	// The name in the callback's address, `<issuer>/oauth/callback/<name>`, which
	// must be registered at the provider, and in the subjects of its users,
	// `<name>:<subject>`. If the name belonged to another provider before, with a
	// different issuer, address or client, its subjects are
	// `<name>~<hash>:<subject>`, because its users are different users. Default:
	// `github`, or the host of the issuer.
	Name string `json:"name,omitempty"`

	// The name on the button, after "Continue with". Default: GitHub, or the host of
	// the issuer.
	Label string `json:"label,omitempty"`

	// The issuer identifier of an OpenID provider.
	Issuer string `json:"issuer,omitempty"`

	// This server's client identifier at the upstream. Placeholders are replaced.
	// Required.
	ClientID string `json:"client_id"`

	// The secret of that client. Placeholders are replaced. Required.
	ClientSecret string `json:"client_secret"`

	// Scopes to request. Default: those that the allow rules need.
	Scopes []string `json:"scopes,omitempty"`

	// The address of GitHub Enterprise Server. Default: https://github.com.
	BaseURL string `json:"base_url,omitempty"`

	// The address of GitHub's API. Default: https://api.github.com. GitHub
	// Enterprise Server has it at /api/v3 below base_url.
	APIURL string `json:"api_url,omitempty"`

	// GitHub organizations that, with their teams, become the claim `groups` of a
	// user's access tokens: `acme`, `acme/maintainers`, in lower case. `*` stands for
	// all that GitHub shows. They are those at sign-in. Default: only the
	// organizations and teams that `allow` names.
	Groups []string `json:"groups,omitempty"`

	// Lets an OpenID provider decide which clients may act for its users, without a
	// sign-in and consent here: it accepts the provider's identity assertions (ID-JAG).
	// The allow rules apply to them as well. Default: false.
	Enterprise bool `json:"enterprise,omitempty"`

	// Who may sign in: one matching rule is enough. Required: having an
	// account there does not by itself grant access.
	Allow []AllowRule `json:"allow"`

	provider upstream.Provider
	rules    upstream.Rules
}

// AllowRule says which users of an upstream may sign in.
type AllowRule struct {
	// What to match: `email` (verified addresses, or *@ and a domain), `org`
	// or `group` (membership; a team of GitHub is `acme/maintainers`), `user` (GitHub's user name), `subject` (the
	// upstream's id), `claim`, or `anybody`.
	Kind string `json:"kind"`
	// The name of the claim, for the kind claim.
	Claim string `json:"claim,omitempty"`
	// The allowed values: one must match.
	Values []string `json:"values,omitempty"`
}

func (u *Upstream) provision() error {
	if u.Name == "" {
		u.Name = "github"
		if u.Type == "oidc" {
			issuer, err := url.Parse(u.Issuer)
			if err != nil || issuer.Hostname() == "" {
				return fmt.Errorf("the issuer %q is not a URL", u.Issuer)
			}
			u.Name = strings.ToLower(issuer.Hostname())
		}
	}
	if strings.ContainsFunc(u.Name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' || r == '_')
	}) || strings.Trim(u.Name, ".") == "" {
		return errors.New("a name consists of lowercase letters, digits, dots, hyphens and underscores")
	}
	if u.ClientID == "" || u.ClientSecret == "" {
		return errors.New("client_id and client_secret are needed: register this server there as an OAuth client")
	}
	if len(u.Allow) == 0 {
		return errors.New("nobody would be let in: say who may sign in, for example `allow email *@example.com`, or `allow anybody` for everyone with an account there")
	}
	for _, rule := range u.Allow {
		if rule.Kind == "user" && u.Type == "oidc" {
			// OpenID Connect Core 1.0, section 5.7: only sub and iss together are unique.
			return errors.New("allow user is for github, where names are unique: for an OpenID provider, `allow subject` takes the user's subject (sub); " +
				"if users can't choose their names, use `allow claim preferred_username`")
		}
		u.rules = append(u.rules, upstream.Rule(rule))
	}
	if err := u.rules.Check(); err != nil {
		return fmt.Errorf("allow: %w", err)
	}
	if u.Enterprise && u.Type != "oidc" {
		return errors.New("enterprise is for an OpenID provider, which issues identity assertions (ID-JAG): GitHub doesn't")
	}
	if err := u.checkGroups(); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	var err error
	switch u.Type {
	case "oidc":
		u.provider, err = upstream.NewOIDC(upstream.OIDCConfig{
			Issuer:       u.Issuer,
			ClientID:     u.ClientID,
			ClientSecret: u.ClientSecret,
			Label:        u.Label,
			Scopes:       u.Scopes,
		})
	case "github":
		u.provider, err = upstream.NewGitHub(upstream.GitHubConfig{
			ClientID:     u.ClientID,
			ClientSecret: u.ClientSecret,
			Label:        u.Label,
			Scopes:       u.Scopes,
			NeedOrgs:     slices.ContainsFunc(u.Allow, AllowRule.isMembership),
			NeedTeams:    u.needsTeams(),
			BaseURL:      u.BaseURL,
			APIURL:       u.APIURL,
		})
	default:
		err = fmt.Errorf("there is no type %q (known: oidc, github)", u.Type)
	}
	return err
}

func (u *Upstream) label() string { return u.provider.Label() }

// maxUserText bounds the user's name and email address, in bytes: sessions are
// cookies, and tokens travel in headers.
const maxUserText = 256

// user converts an identity of the upstream to a user. It keeps only the groups
// and claims that the rules need, which are judged again when tokens are renewed,
// and the groups that tokens are to have.
func (u *Upstream) user(prefix string, id upstream.Identity) (oauth.User, error) {
	user := oauth.User{Subject: prefix + ":" + id.Subject, Source: u.source()}
	if len(id.Username) <= maxUserText {
		user.Username = id.Username
	}
	if len(id.Name) <= maxUserText {
		user.Name = id.Name
	}
	if len(id.Email) <= maxUserText {
		user.Email, user.EmailVerified = id.Email, id.EmailVerified
	}
	user.Groups, user.Claims = u.rules.Needed(id)
	return user, u.addGroups(&user, id.Groups)
}

// checkUpstreamUser reports whether a user of an upstream may still sign in.
func (h *Handler) checkUpstreamUser(user oauth.User) error {
	for _, u := range h.Upstreams {
		if u.source() != user.Source {
			continue
		}
		// Names contain no colon.
		_, subject, _ := strings.Cut(user.Subject, ":")
		if !u.rules.Allow(upstream.Identity{
			Subject:       subject,
			Username:      user.Username,
			Name:          user.Name,
			Email:         user.Email,
			EmailVerified: user.EmailVerified,
			Groups:        user.Groups,
			Claims:        user.Claims,
		}) {
			return errors.New("the upstream's rules no longer allow the user")
		}
		return nil
	}
	return errors.New("that upstream is no longer configured")
}

// pendingSignIn is a sign-in at an upstream that is under way, sealed into a
// cookie.
type pendingSignIn struct {
	// Source identifies the provider. The upstream's name may belong to another
	// provider by now, which must not get the code.
	Source  string           `json:"u"`
	Pending upstream.Pending `json:"p"`
	SignIn  signIn           `json:"s"`
}

// maxPending bounds how much a browser keeps of unfinished sign-ins at upstreams,
// besides the latest one, in bytes.
const maxPending = 3 << 10

func (h *Handler) callbackURL(u *Upstream) string { return h.Issuer + callbackPath + u.Name }

// startUpstream sends the user to an upstream. The sign-in page has shown them
// which client this is for, because an upstream that knows them may not ask
// anything (MCP security best practices, confused deputy).
func (h *Handler) startUpstream(v *visit, u *Upstream) error {
	var s signIn
	if err := v.openStep(sealed.SignIn, v.R.URL.Query().Get("request"), &s); err != nil {
		return err
	}
	to, pending, err := u.provider.Begin(v.Context(), h.callbackURL(u), s.wish())
	if err != nil {
		return h.upstreamFailed(v, u, err)
	}
	value, err := v.Seal(sealed.AwayAtUpstream, &pendingSignIn{u.source(), pending, s}, s.rest(h.now()))
	if err != nil {
		return err
	}
	// This makes room by forgetting sign-ins that were started in other tabs and
	// never finished.
	v.MakeRoom(upstreamCookie, maxPending)
	if err := v.SetLongCookie(pendingCookie(pending.State), value, s.rest(h.now())); err != nil {
		return h.upstreamFailed(v, u, fmt.Errorf("keeping the client's request: %w", err))
	}
	return redirect(v, to)
}

// pendingCookie returns the name of the cookie for the state. Each sign-in has
// its own, because a user may sign in in two tabs.
func pendingCookie(state string) string {
	name := upstreamCookie
	for _, c := range []byte(state) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
			name += string(c)
		}
		if len(name) == len(upstreamCookie)+16 {
			break
		}
	}
	return name
}

// upstreamCallback handles the user's return from an upstream.
func (h *Handler) upstreamCallback(v *visit, u *Upstream) error {
	callback, err := url.ParseQuery(v.R.URL.RawQuery)
	if err != nil {
		return errStep
	}
	cookie := pendingCookie(callback.Get("state"))
	var was pendingSignIn
	if err := v.openStep(sealed.AwayAtUpstream, v.LongCookie(cookie), &was); err != nil {
		return err
	}
	v.RemoveLongCookie(cookie) // an answer is accepted once
	if was.Source != u.source() {
		return errStep // the answer belongs to another provider
	}
	release, err := h.state.waitForUpstream(v.Context())
	if err != nil {
		return err
	}
	id, err := u.provider.Finish(v.Context(), h.callbackURL(u), was.Pending, callback)
	release()
	if err == nil && len(id.Subject) > maxUserText {
		err = fmt.Errorf("the user's subject is longer than %d bytes", maxUserText) // OpenID Connect Core 1.0, section 2: 255
	}
	if err != nil {
		return h.upstreamFailed(v, u, err)
	}
	if !u.rules.Allow(id) {
		refused := fmt.Errorf("no rule of upstream %s allows the user %s (%s)", u.Name, id.Subject, id.Username)
		h.tried(v.Context(), u.Name, "denied", "", refused)
		logRefusal(v.Context(), "access_denied", refused)
		who := id.Username
		if id.Email != "" {
			who = id.Email
		}
		pages.Message{
			Site:  h.site,
			Title: "You can't sign in here",
			Text:  fmt.Sprintf("%s says that you are %s. That account has no access to this server.", u.label(), who),
			Cure:  "Sign in with another account, or ask the operator of this server for access.",
		}.Write(v.W, http.StatusForbidden)
		return nil
	}
	prefix, err := h.subjectPrefix(v.Context(), u)
	if err != nil {
		return err
	}
	user, err := u.user(prefix, id)
	if err != nil {
		return h.upstreamFailed(v, u, err)
	}
	h.tried(v.Context(), u.Name, "ok", user.Subject, nil)
	text, err := v.Seal(sealed.SignIn, &was.SignIn, was.SignIn.rest(h.now()))
	if err != nil {
		return err
	}
	return h.resumeAs(v, user, text)
}

// upstreamFailed shows why a sign-in at an upstream failed.
func (h *Handler) upstreamFailed(v *visit, u *Upstream, err error) error {
	page := pages.Message{
		Site:  h.site,
		Title: "You are not signed in",
		Cure:  "Start again from your application.",
	}
	status, outcome := http.StatusBadRequest, "error"
	if _, denied := errors.AsType[*upstream.DeniedError](err); denied {
		status, outcome = http.StatusForbidden, "denied"
		page.Text = "The sign-in was refused, by you or by " + u.label() + "."
	} else if _, tooMany := errors.AsType[*github.TooManyError](err); tooMany {
		status = http.StatusForbidden
		page.Text = "You are in more organizations and teams of " + u.label() + " than fit into an access token."
		page.Cure = "Ask the operator of this server to name, in `groups`, the organizations that matter."
	} else if _, away := errors.AsType[*outbound.UnavailableError](err); away {
		status = http.StatusServiceUnavailable
		v.W.Header().Set("Retry-After", "5")
		page.Text = u.label() + " does not answer right now."
		page.Cure = "Try again in a minute."
	} else {
		page.Text = "The answer of " + u.label() + " does not belong to this sign-in."
	}
	h.tried(v.Context(), u.Name, outcome, "", err)
	logRefusal(v.Context(), "upstream_"+outcome, err)
	page.Write(v.W, status)
	return nil
}
