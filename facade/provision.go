package facade

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/repair"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/metrics"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Provision sets up the façade. It does no network I/O.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.now = time.Now
	h.applied = new(applied)
	if err := guard.Require(ctx); err != nil {
		return err
	}
	if err := h.provisionIssuer(); err != nil {
		return err
	}
	if err := h.applyPreset(); err != nil {
		return err
	}
	if h.Consent != "" && h.Consent != consentUpstream {
		return fmt.Errorf("consent is %q, but can only be upstream", h.Consent)
	}
	h.repairs = repair.Requests{Strip: h.Strip, Add: h.Add, Scopes: h.Scopes}
	if err := h.repairs.Check(); err != nil {
		return err
	}
	h.policy = registration.Policy{PrivateSchemes: h.PrivateSchemes}
	if err := h.policy.Check(); err != nil {
		return fmt.Errorf("private_schemes: %w", err)
	}
	if err := h.provisionDiscovery(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(h.Metadata)) {
		value, err := discovery.FieldValue(name, h.Metadata[name])
		if err != nil {
			return err
		}
		h.Metadata[name] = value
	}
	h.audited = audit.New(ctx, h.Issuer)
	records := storage.New(ctx.Storage(), "mcp_auth_facade", h.Issuer)
	h.secret = storage.NewSecret(records, "")
	h.browsers = h.newSite()
	if err := metrics.Register(ctx, requests); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if err := h.provisionRegistrar(ctx, records); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	h.corrected = repair.Metadata{
		Issuer:   h.Issuer,
		Upstream: h.Upstream,
		Set:      h.Metadata,
		Remove:   h.Remove,
		Scopes:   h.Scopes,
	}
	further := slices.Concat(h.Strip, slices.Collect(maps.Keys(h.Add)))
	h.authorizations, h.tokens = reading.ForAuthorization(further...), reading.ForToken(further...)
	h.own = h.ownEndpoints()
	if h.registrar != nil {
		h.corrected.RegistrationEndpoint = strings.TrimSuffix(h.Issuer, "/") + registerPath
		_, forwards := h.registrar.(Forwarder)
		if _, byHand := h.Metadata["registration_endpoint"]; byHand && !forwards {
			return errors.New("metadata: registration_endpoint is set by the directive itself, with register: remove the line")
		}
		h.corrected.PublicClients = !forwards
		h.corrected.OnlyQuery = h.shared != nil
	}
	if err := h.corrected.Check(); err != nil {
		return err
	}
	if h.Discovery == "off" {
		var err error
		if h.applied.fields, err = h.corrected.Apply(nil); err != nil {
			return err
		}
		h.applied.endpoints = h.serverEndpoints(h.applied.fields, nil)
	}
	h.references.Add(inprocess.Register(h.Issuer, inProcessServer{h}))
	return nil
}

func (h *Handler) provisionIssuer() error {
	if err := option.Replace(
		option.Setting{Name: "issuer", Value: &h.Issuer},
		option.Setting{Name: "upstream", Value: &h.Upstream},
		option.Setting{Name: "discovery", Value: &h.Discovery},
	); err != nil {
		return err
	}
	id, err := resource.Parse(h.Issuer)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	u, err := url.Parse(h.Issuer)
	if err != nil {
		return err
	}
	h.origin, h.site, h.secure = id.Origin(), u.Host, u.Scheme == "https"
	h.base = strings.TrimSuffix(u.Path, "/")
	return nil
}

// pooled is the discovered metadata of a server, which outlives a configuration.
type pooled struct{ *discovery.Issuer }

// Destruct implements [caddy.Destructor].
func (p pooled) Destruct() error {
	p.Close()
	return nil
}

var (
	discoveryPool = pool.New[pooled]()
	limitsPool    = pool.New[*limits]()
)

// Destruct implements [caddy.Destructor].
func (*limits) Destruct() error { return nil }

func (h *Handler) provisionDiscovery() error {
	var err error
	h.limits, err = limitsPool.Acquire(&h.references, []any{h.Issuer}, func() (*limits, error) { return newLimits(h.now), nil })
	if err != nil {
		return err
	}
	if h.Discovery == "off" {
		return nil
	}
	if h.Upstream == "" && h.Discovery == "" {
		return errors.New("where is the authorization server? At the issuer's address is this facade's own metadata: " +
			"add `upstream <url>`, `discovery <url>`, or `discovery off` and its endpoints with `metadata`")
	}
	if u, err := url.Parse(h.Discovery); err == nil && web.Origin(u) == h.origin && h.isMetadata(u.Path) {
		return fmt.Errorf("discovery: %s is where this facade serves its own metadata", h.Discovery)
	}
	config := discovery.Config{
		Issuer:    h.Issuer,
		Upstream:  h.Upstream,
		AnyIssuer: true, // checked by repair.Metadata
		Location:  h.Discovery,
		OnFetch:   observer(h.Issuer),
	}
	known, err := discoveryPool.Acquire(&h.references, []any{h.Issuer, h.Upstream, h.Discovery}, func() (pooled, error) {
		iss, err := discovery.New(config)
		return pooled{iss}, err
	})
	if err != nil {
		return err
	}
	h.discovery = known.Issuer
	return nil
}

func (h *Handler) provisionRegistrar(ctx caddy.Context, records *storage.Records) error {
	if h.RegistrarRaw == nil {
		return nil
	}
	module, err := ctx.LoadModule(h, "RegistrarRaw")
	if err != nil {
		return err
	}
	h.registrar, err = module.(Registrar).ClientRegistrar(RegistrarInfo{
		Issuer:   h.Issuer,
		Endpoint: h.upstreamEndpoint,
		Scopes:   h.Scopes,
		Records:  records,
		Client:   outbound.NewClient(),
	})
	if err != nil {
		return err
	}
	h.shared, _ = h.registrar.(SharedClient)
	if lister, ok := h.registrar.(RedirectLister); ok {
		for _, uri := range lister.ListedRedirectURIs() {
			if scheme, _, _ := strings.Cut(uri, ":"); scheme != "https" && scheme != "http" {
				h.policy.PrivateSchemes = append(h.policy.PrivateSchemes, scheme)
			}
		}
	}
	if sweeper, ok := h.registrar.(Sweeper); ok {
		h.references.Add(sweepers.Register(h.Issuer, sweeper))
	}
	return nil
}

// upstreamEndpoint returns the address of a server's endpoint, as reached from
// here.
func (h *Handler) upstreamEndpoint(ctx context.Context, name string) (string, error) {
	if byHand, _ := h.Metadata[name].(string); byHand != "" {
		return byHand, nil
	}
	if h.discovery == nil {
		return "", fmt.Errorf("the server's %s is not known: set it with `metadata %[1]s <url>`", name)
	}
	m, err := h.discovery.Metadata(ctx)
	if err != nil {
		return "", err
	}
	address := m.Text(name)
	if address == "" {
		return "", fmt.Errorf("the server's metadata has no %s", name)
	}
	if address == h.corrected.RegistrationEndpoint {
		return "", fmt.Errorf("the server's %s is this facade's own", name)
	}
	// The metadata has the addresses that clients use. From here, those may lead
	// to this very site, or need its certificate.
	return h.corrected.Inside(address), nil
}
