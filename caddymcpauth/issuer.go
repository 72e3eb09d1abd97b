package caddymcpauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
)

// Issuer is an authorization server whose tokens are accepted.
type Issuer struct {
	// The issuer identifier, exactly as the authorization server's metadata
	// and its tokens name it; a slash at the end counts. Must be
	// https, or http on loopback. Placeholders are replaced once, at provision.
	Issuer string `json:"issuer"`

	// The verifiers for the issuer's tokens, tried in this order. Default: one
	// `jwt` verifier.
	VerifiersRaw []json.RawMessage `json:"verifiers,omitempty" caddy:"namespace=http.mcp_auth.verifiers inline_key=verifier"`

	// Where the authorization server's metadata is: the URL of a document, or
	// `off` if there is none; then set what is needed with `metadata`. Default: where MCP clients look, RFC 8414 first, then OpenID
	// Connect Discovery.
	Discovery string `json:"discovery,omitempty"`

	// Metadata fields set by hand, such as `jwks_uri`. They override discovered
	// ones; an endpoint set here is used without any discovery. Placeholders
	// in strings are replaced once, at provision.
	Metadata map[string]any `json:"metadata,omitempty"`

	// A token must name one of these audiences. Default: the resource. Only
	// use this for authorization servers that can't put the resource into aud:
	// a token issued for any other resource that uses one of these audiences is
	// accepted too.
	Audience []string `json:"audience,omitempty"`

	// How long the verdicts of this issuer's verifiers are cached. Default:
	// until a JWT expires, 60s for an opaque token; 100000 per verifier.
	Cache *Cache `json:"cache,omitempty"`

	discovery *discovery.Issuer

	turns  issuerTurns
	keys   []string // names of API keys
	caches []cacheState
	shared pool.References
}

// provision loads the issuer's verifiers for resource.
func (iss *Issuer) provision(ctx caddy.Context, resource string) (judge.Issuer, error) {
	none := judge.Issuer{}
	if err := iss.replacePlaceholders(); err != nil {
		return none, err
	}
	state, err := iss.acquire()
	if err != nil {
		return none, err
	}
	iss.discovery, iss.turns = state.Issuer, state.turns
	if iss.Cache != nil {
		if err := iss.Cache.check(); err != nil {
			return none, fmt.Errorf("cache: %w", err)
		}
	}
	info := IssuerInfo{
		Issuer:    iss.Issuer,
		Resource:  resource,
		Audience:  iss.Audience,
		Discovery: state.Issuer,
		Client:    state.Client(),
	}
	if len(info.Audience) == 0 {
		info.Audience = []string{resource}
	}
	if len(iss.VerifiersRaw) == 0 {
		iss.VerifiersRaw = []json.RawMessage{json.RawMessage(`{"verifier":"jwt"}`)}
	}
	settings := slices.Clone(iss.VerifiersRaw)
	modules, err := ctx.LoadModule(iss, "VerifiersRaw")
	if err != nil {
		return none, fmt.Errorf("loading verifiers: %w", err)
	}
	if err := checkVerifiers(modules.([]any)); err != nil {
		return none, err
	}
	out := judge.Issuer{Issuer: iss.Issuer}
	for i, module := range modules.([]any) {
		name := caddy.GetModuleName(module)
		if namer, ok := module.(KeyNamer); ok {
			iss.keys = append(iss.keys, namer.KeyNames()...)
		}
		v, err := module.(Verifier).TokenVerifier(info)
		if err != nil {
			return none, fmt.Errorf("%s: %w", name, err)
		}
		if v.Verifier == nil {
			return none, fmt.Errorf("%s: it returned no verifier", name)
		}
		cache, err := iss.acquireCache(info, state.turns, settings[i], module)
		if err != nil {
			return none, fmt.Errorf("%s: %w", name, err)
		}
		out.Verifiers = append(out.Verifiers, cache.Cached(heedEnds(iss.Issuer, v)))
	}
	return out, nil
}

// checkVerifiers refuses combinations in which one verifier defeats the purpose of
// another: a token is accepted as soon as one verifier accepts it.
func checkVerifiers(modules []any) error {
	var accepts, confirms bool
	for _, module := range modules {
		if accepter, ok := module.(JWTAccepter); ok {
			accepts = accepts || accepter.AcceptsJWT()
		}
		if confirmer, ok := module.(JWTConfirmer); ok {
			confirms = confirms || confirmer.ConfirmsJWT()
		}
	}
	if accepts && confirms {
		return errors.New("jwt would accept the revoked tokens that confirm_jwt is there to stop: remove jwt, introspection checks the signature itself")
	}
	return nil
}

func (iss *Issuer) replacePlaceholders() error {
	replace := func(name string, value *string) error {
		return option.Replace(option.Setting{Name: name, Value: value})
	}
	if iss.Issuer == "" {
		return errors.New("the issuer's URL is missing")
	}
	if err := replace("issuer", &iss.Issuer); err != nil {
		return err
	}
	if err := checkIssuer(iss.Issuer); err != nil {
		return err
	}
	if err := replace("discovery", &iss.Discovery); err != nil {
		return err
	}
	for i := range iss.Audience {
		if err := replace("audience", &iss.Audience[i]); err != nil {
			return err
		}
		if iss.Audience[i] == "" {
			return errors.New("audience is empty")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(iss.Metadata)) {
		s, isText := iss.Metadata[name].(string)
		if !isText {
			continue
		}
		if err := replace("metadata "+name, &s); err != nil {
			return err
		}
		iss.Metadata[name] = s
	}
	return nil
}

// fetchObserver counts fetches and says what an operator should fix. A failing
// issuer is asked again at growing intervals, so this doesn't flood the log. It
// looks up the logger each time because it outlives the configuration that made
// it.
func fetchObserver(issuer string) func(string, error) {
	return func(document string, err error) {
		countFetch(issuer, document, err)
		if err == nil {
			return
		}
		if c := caddy.Log().Named("http.handlers.mcp_auth").Check(zapcore.WarnLevel, "asking the authorization server failed"); c != nil {
			c.Write(
				zap.String("issuer", issuer),
				zap.String("document", document),
				zap.Error(err),
			)
		}
	}
}

// checkIssuer finds the mistakes that people make with issuer identifiers. They
// are compared character by character, so one that isn't exact matches no token.
func checkIssuer(issuer string) error {
	if strings.Contains(issuer, "?") {
		return fmt.Errorf("%q has a query, which issuer identifiers can't have (RFC 8414, section 2): write what the metadata has as \"issuer\"", issuer)
	}
	if before, after, ok := strings.Cut(issuer, "/.well-known/"); ok {
		_, path, _ := strings.Cut(after, "/")
		if path != "" {
			before += "/" + path
		}
		return fmt.Errorf("%q is where the metadata is, not the issuer: write what the metadata has as \"issuer\", probably %s; use `discovery` for metadata in an unusual place", issuer, before)
	}
	if strings.HasSuffix(issuer, ",") || strings.Contains(issuer, ",http") {
		return fmt.Errorf("%q has a comma: write an `issuer` line for each", issuer)
	}
	return nil
}
