package caddymcpauth

import (
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// Policy is the part of the front door that judges what is asked, not only who
// asks. Without rules no body is read, and every admitted caller may do
// everything.
type Policy struct {
	policy.Rules

	// Open the base protocol and the lists to callers without a token: initialize,
	// server/discover, ping, logging/setLevel, the four lists, notifications,
	// subscriptions/listen, and the streams and the end of sessions of older revisions.
	// A call that needs a token gets 401 with the scopes to ask for; a bad token always
	// gets 401. Lines with `anonymous` let such callers use what they name.
	Anonymous bool `json:"anonymous,omitempty"`

	// How a call that lacks a scope is answered. The first entry that fits the
	// client decides. Default: with a challenge.
	Refuse []Refusal `json:"refuse,omitempty"`

	// Add securitySchemes to the tools in lists, where a client learns which of them need
	// a token, and which scopes (OpenAI, Apps SDK). They replace the server's own, and
	// are mirrored in `_meta`.
	SecuritySchemes bool `json:"security_schemes,omitempty"`

	// The maximum size in bytes of a message, or of an answer with a list.
	// Default: 4 MiB.
	MaxBody int64 `json:"max_body,omitempty"`

	policy   *policy.Policy // nil if there are no rules
	required []string       // the scopes by which a user meets require
}

const defaultMaxBody = 4 << 20

func (h *Handler) provisionPolicy(ctx caddy.Context) error {
	compiled, warnings, err := policy.Compile(h.Rules)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		ctx.Logger().Warn(w.Message, zap.String("resource", h.Resource), zap.Stringer("rule", w.Rule), zap.String("line", w.Rule.Text), zap.String("cure", w.Cure))
	}
	for _, placed := range h.Rules.Conditions() {
		if err := h.checkCondition(placed.Condition); err != nil {
			return fmt.Errorf("%s line %d (%s): %w", placed.Rule.Kind, placed.Rule.Number, placed.Rule.Text, err)
		}
	}
	if err := checkRefuse(h.Refuse); err != nil {
		return err
	}
	if h.MaxBody < 0 {
		return fmt.Errorf("max_body is %d: it must be more than nothing", h.MaxBody)
	}
	if err := h.provisionLazy(); err != nil {
		return err
	}
	if len(h.Require) == 0 && !compiled.ReadsMessages() && !h.Anonymous {
		if len(h.Refuse) > 0 || h.MaxBody > 0 || h.SecuritySchemes {
			return errors.New("refuse, security_schemes and max_body have no use without rules: add require, tools, prompts, resources, methods or anonymous, or take them out")
		}
		return nil
	}
	if h.MaxBody == 0 {
		h.MaxBody = defaultMaxBody
	}
	h.policy, h.required = compiled, compiled.RequiredScopes()
	return nil
}

// checkCondition finds conditions that no caller can meet, or that other callers
// than the intended ones meet.
func (h *Handler) checkCondition(c policy.Condition) error {
	if err := checkScopes("scope", c.Scope); err != nil {
		return err
	}
	if c.At != "" && !slices.Contains(h.issuerNames(), c.At) {
		return fmt.Errorf("at %s: no such issuer; configured are %q", c.At, h.issuerNames())
	}
	if len(c.User) > 0 && c.At == "" && len(h.Issuers) > 1 {
		return errors.New("with several issuers, the same name may be two users: write user <subjects...> at <issuer>")
	}
	known := h.keyNames()
	for _, name := range c.Key {
		if !slices.Contains(known, name) {
			return fmt.Errorf("key %s: no such API key; the keys of `static` are %q", name, known)
		}
	}
	return nil
}

// keyNames returns the names of the API keys.
func (h *Handler) keyNames() (names []string) {
	for _, iss := range h.Issuers {
		names = append(names, iss.keys...)
	}
	return names
}

// checkKeys refuses API keys beside an issuer that could vouch for a user of the
// same name: an API key is recognized by its issuer, which is the resource.
func (h *Handler) checkKeys() error {
	if len(h.keyNames()) == 0 {
		return nil
	}
	for _, iss := range h.Issuers {
		if resource.Same(iss.Issuer, h.Resource) {
			return fmt.Errorf("issuer %q has the identifier of the resource, so its users could not be told from API keys: give the resource a path, such as /mcp", iss.Issuer)
		}
	}
	return nil
}
