package authserver

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/metrics"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// Provision sets up the server. It reads nothing from the storage or the network.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.now = time.Now
	if err := guard.Require(ctx); err != nil {
		return err
	}
	if err := h.replacePlaceholders(); err != nil {
		return err
	}
	if h.Secret != "" && len(h.Secret) < 32 {
		return errors.New("secret is shorter than 32 characters: `openssl rand -base64 32` makes a good one")
	}
	if h.SessionLifetime < 0 {
		return errors.New("session_lifetime is negative")
	}
	if err := h.provisionUsers(ctx); err != nil {
		return err
	}
	documents, err := h.provisionDocuments()
	if err != nil {
		return fmt.Errorf("client_documents: %w", err)
	}
	h.audited = audit.New(ctx, h.Issuer)
	records := storage.New(ctx.Storage(), "mcp_auth_server", h.Issuer)
	h.store = records
	config := oauth.Config{
		Issuer:               h.Issuer,
		Resources:            h.Resources,
		AccessTokenLifetime:  time.Duration(h.AccessTokenLifetime),
		RefreshTokenLifetime: time.Duration(h.RefreshTokenLifetime),
		RefreshTokenGrace:    time.Duration(h.RefreshTokenGrace),
		Store:                records,
		Secret:               storage.NewSecret(records, h.Secret),
		CheckUser:            h.checkUser,
		Doors:                h.doors,
		Observe:              h.observe,
		LimitRegistration:    func(ctx context.Context) time.Duration { return h.state.register(ctx) },
		Providers:            h.identityProviders(),
		Now:                  h.now,
	}
	if documents != nil {
		config.Documents = documents
	}
	if config.DPoP, err = h.provisionDPoP(); err != nil {
		return fmt.Errorf("dpop: %w", err)
	}
	config.CertificateBound = h.ClientCertificates
	if h.Registration != nil {
		config.Registration = registration.Policy(*h.Registration)
	}
	for _, s := range h.Scopes {
		config.Scopes = append(config.Scopes, oauth.Scope(s))
	}
	for i, c := range h.Clients {
		if c == nil {
			return fmt.Errorf("client %d is null", i)
		}
		if h.users[c.ID] != nil {
			// RFC 9068, section 5: both would be the same subject.
			return fmt.Errorf("client %q has the name of a user", c.ID)
		}
		keys, err := h.clientKeys(c)
		if err != nil {
			return fmt.Errorf("client %q: %w", c.ID, err)
		}
		config.Clients = append(config.Clients, oauth.Client{
			Keys:              keys,
			ID:                c.ID,
			Name:              c.Name,
			RedirectURIs:      c.RedirectURIs,
			Secret:            c.Secret,
			ClientCredentials: c.ClientCredentials,
			TokenExchange:     c.TokenExchange,
			Introspection:     c.Introspection,
			Scopes:            c.Scopes,
		})
	}
	if h.server, err = oauth.New(config); err != nil {
		return err
	}
	u, err := url.Parse(h.Issuer)
	if err != nil {
		return err // checked above
	}
	h.base, h.site, h.secure = h.server.BasePath(), u.Host, u.Scheme == "https"
	h.browsers = h.newSite()
	h.routes = h.pageRoutes()
	if err := metrics.Register(ctx, requests, signIns, authorizations, accessCounts); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if err := h.acquireState(); err != nil {
		return err
	}
	h.shared.Add(inprocess.Register(h.Issuer, h.server))
	h.shared.Add(running.Register(allServers, h))
	h.shared.Add(inprocess.RegisterSignIn(h.Issuer, h.signInWays()))
	h.shared.Add(inprocess.RegisterAccountPage(h.Issuer, h.Issuer+accountPath))
	h.startSweeping(ctx)
	return nil
}

func (h *Handler) replacePlaceholders() error {
	settings := []option.Setting{{Name: "issuer", Value: &h.Issuer}, {Name: "secret", Value: &h.Secret}}
	add := func(name string, value *string) {
		settings = append(settings, option.Setting{Name: name, Value: value})
	}
	for i := range h.Resources {
		add("resource", &h.Resources[i])
	}
	for _, c := range h.Clients {
		if c != nil {
			add("the secret of client "+c.ID, &c.Secret)
			add("the jwks_uri of client "+c.ID, &c.JWKSURI)
		}
	}
	if h.ClientDocuments != nil {
		add("the proxy of client_documents", &h.ClientDocuments.Proxy)
	}
	for _, u := range h.Users {
		if u != nil {
			add("the password of user "+u.Username, &u.Password)
		}
	}
	for _, u := range h.Upstreams {
		if u != nil {
			add("the client_id of an upstream", &u.ClientID)
			add("the client_secret of an upstream", &u.ClientSecret)
		}
	}
	return option.Replace(settings...)
}

func (h *Handler) provisionUsers(ctx caddy.Context) error {
	h.users = make(map[string]*User)
	for i, u := range h.Users {
		if u == nil {
			return fmt.Errorf("user %d is null", i)
		}
		if err := u.provision(ctx); err != nil {
			return fmt.Errorf("user %q: %w", u.Username, err)
		}
		if h.users[u.Username] != nil {
			return fmt.Errorf("user %q is given twice", u.Username)
		}
		h.users[u.Username] = u
	}
	if h.kinds = kindsOf(h.Users); len(h.kinds) > 1 {
		h.logger.Warn("passwords are hashed in several ways, so every sign-in takes the time of all of them, to not reveal which names exist: hash them all the same way",
			zap.Int("ways", len(h.kinds)))
	}
	for i, u := range h.Upstreams {
		if u == nil {
			return fmt.Errorf("upstream %d is null", i)
		}
		if err := u.provision(); err != nil {
			return fmt.Errorf("upstream %s: %w", u.Name, err)
		}
		if err := h.keepUpstream(u); err != nil {
			return fmt.Errorf("upstream %s: %w", u.Name, err)
		}
		if slices.ContainsFunc(h.Upstreams[:i], func(other *Upstream) bool { return other.Name == u.Name }) {
			return fmt.Errorf("upstream %s is given twice: give one of them a different name", u.Name)
		}
	}
	if len(h.Users) == 0 && len(h.Upstreams) == 0 {
		return errors.New("nobody could sign in: add `users`, or an `upstream` where users sign in")
	}
	return nil
}

// doors returns the front doors of this Caddy that accept the server's tokens.
func (h *Handler) doors() []oauth.Door {
	known := inprocess.Doors(h.Issuer)
	doors := make([]oauth.Door, len(known))
	for i, d := range known {
		doors[i] = oauth.Door(d)
	}
	return doors
}

// documents adapts a fetcher to package oauth: it passes on the address that a
// request comes from.
type documents struct{ *clientdoc.Fetcher }

func (d documents) Fetch(ctx context.Context, id string) ([]byte, error) {
	return d.Fetcher.Fetch(ctx, id, clientip.Of(ctx))
}

func (d documents) KeySet(ctx context.Context, address string, since time.Time) (*keys.Set, error) {
	return d.Fetcher.KeySet(ctx, address, clientip.Of(ctx), since)
}

// provisionDocuments returns the fetcher of clients' metadata documents, or nil
// if they are not supported.
func (h *Handler) provisionDocuments() (*documents, error) {
	config := clientdoc.Config{Proxy: http.ProxyFromEnvironment}
	if d := h.ClientDocuments; d != nil {
		if d.Off {
			return nil, nil
		}
		if d.InsecureAllowPrivate {
			h.logger.Warn("client metadata documents are also fetched from private addresses: anyone who can reach this server can make it send requests there")
			config.AllowPrivate = func(netip.Addr) bool { return true }
		}
		config.InsecureProxyResolves = d.InsecureAllowPrivate
		if d.Proxy == "off" {
			config.Proxy = nil
		} else if d.Proxy != "" {
			proxy, err := url.Parse(d.Proxy)
			if err == nil {
				err = clientdoc.CheckProxy(proxy)
			}
			if err != nil {
				// The cause is left out because it quotes a password.
				return nil, errors.New("proxy must be http://host:port, socks5://host:port or off")
			}
			config.Proxy = http.ProxyURL(proxy)
		}
		if d.TrustedRoots != "" {
			pem, err := os.ReadFile(d.TrustedRoots)
			if err != nil {
				return nil, fmt.Errorf("trusted_roots: %w", err)
			}
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("trusted_roots: %s has no certificate in PEM", d.TrustedRoots)
			}
		}
	}
	// The fetcher is kept across reloads, with its cache: requests that began under
	// the previous configuration may be waiting for it.
	return documentsPool.Acquire(&h.shared, []any{h.ClientDocuments}, func() (*documents, error) {
		return &documents{clientdoc.New(config)}, nil
	})
}

// Destruct implements [caddy.Destructor].
func (d documents) Destruct() error {
	d.Close()
	return nil
}

var (
	statePool     = pool.New[*serverState]()
	documentsPool = pool.New[*documents]()
)

func (h *Handler) acquireState() (err error) {
	h.state, err = statePool.Acquire(&h.shared, []any{h.Issuer}, func() (*serverState, error) { return newServerState(h.now), nil })
	if err != nil {
		return err
	}
	h.shared.Add(h.state.guesses.AddUsers(slices.Sorted(maps.Keys(h.users))))
	return nil
}

// startSweeping removes expired records from time to time, and counts who has access,
// until the configuration is replaced.
func (h *Handler) startSweeping(ctx caddy.Context) {
	lifetime, stop := context.WithCancel(ctx)
	h.shared.Add(stop)
	go func() {
		// The first sweep comes later: validating a configuration provisions it too.
		timer := time.NewTimer(time.Minute)
		defer timer.Stop()
		for i := 0; ; i++ {
			select {
			case <-lifetime.Done():
				return
			case <-timer.C:
				err := h.server.Sweep(lifetime)
				if err == nil && i%4 == 0 {
					err = h.measureAccess(lifetime)
				}
				if err != nil && lifetime.Err() == nil {
					h.logger.Warn("looking through the records failed", zap.Error(err))
				}
				timer.Reset(15 * time.Minute)
			}
		}
	}()
}
