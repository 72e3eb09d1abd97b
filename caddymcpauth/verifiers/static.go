package verifiers

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func init() {
	caddy.RegisterModule(Static{})
}

// Static verifies API keys from the configuration, for callers that can't do
// OAuth: CI, cron jobs, machines. The configuration has the SHA-256 of each key,
// never the key. `caddy mcp-auth new-key` makes one and prints its line.
//
// The issuer of a key is the resource, not the authorization server: a key named
// demo is not the user demo. Keys are compared here and sent to nobody. They
// don't expire; to revoke one, remove it and reload.
type Static struct {
	// The keys that are accepted. At least one.
	Keys []*StaticKey `json:"keys"`
}

// StaticKey is an API key that is accepted.
type StaticKey struct {
	// Who the key is for: the user and the client of its requests. Names must
	// be unique.
	Name string `json:"name"`

	// The SHA-256 of the key, 64 hexadecimal digits. The key must be random: a
	// password could be guessed from its hash. Placeholders are replaced once,
	// at provision.
	SHA256 string `json:"sha256"`

	// The scopes of the key. Default: none.
	Scopes []string `json:"scopes,omitempty"`

	// Further claims of the key, for placeholders and the MCP server, by name.
	// Those that say what a token is, such as sub or scope, can't be set.
	// Placeholders are replaced once, at provision.
	Claims map[string]string `json:"claims,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Static) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.mcp_auth.verifiers.static",
		New: func() caddy.Module { return new(Static) },
	}
}

// TokenVerifier implements [Verifier].
func (v *Static) TokenVerifier(iss IssuerInfo) (none token.Source, err error) {
	if resource.Same(iss.Issuer, iss.Resource) {
		return none, errors.New("the issuer and the resource have the same identifier, so a key could not be told apart from a user of the same name: give the resource a path, such as /mcp")
	}
	keys := make([]token.APIKey, len(v.Keys))
	for i, k := range v.Keys {
		if k == nil {
			return none, fmt.Errorf("key %d is null", i)
		}
		if keys[i], err = k.apiKey(); err != nil {
			return none, fmt.Errorf("key %q: %w", k.Name, err)
		}
	}
	verifier, err := token.NewAPIKeys(iss.Resource, keys)
	if err != nil {
		return none, err
	}
	return verifier.Source(), nil
}

// KeyNames implements [KeyNamer].
func (v *Static) KeyNames() (names []string) {
	for _, k := range v.Keys {
		if k != nil {
			names = append(names, k.Name)
		}
	}
	return names
}

// apiKey returns the key with its placeholders replaced. The hash is not in the
// error: it may be the key itself, put there by mistake.
func (k *StaticKey) apiKey() (token.APIKey, error) {
	key := token.APIKey{Name: k.Name, Scopes: k.Scopes, Claims: make(map[string]string, len(k.Claims))}
	hash := k.SHA256
	if err := option.Replace(option.Setting{Name: "sha256", Value: &hash}); err != nil {
		return key, err
	}
	sum, err := hex.DecodeString(hash)
	if err != nil || len(sum) != sha256.Size {
		return key, fmt.Errorf("the hash is not a SHA-256, which has %d hexadecimal digits: `caddy mcp-auth new-key` prints a key and its hash", hex.EncodedLen(sha256.Size))
	}
	copy(key.Hash[:], sum)
	for _, name := range slices.Sorted(maps.Keys(k.Claims)) {
		value := k.Claims[name]
		if err := option.Replace(option.Setting{Name: "claim " + name, Value: &value}); err != nil {
			return key, err
		}
		key.Claims[name] = value
	}
	return key, nil
}

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	static {
//	    key <name> <sha256> [<scopes...>] [{
//	        claim <name> <value>
//	    }]
//	}
func (v *Static) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the verifier's name
	if d.NextArg() {
		return d.Errf("static takes no value, but a block: what is %q?", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "key" {
			return d.Errf("unrecognized option of static: %s (known: key)", d.Val())
		}
		k := new(StaticKey)
		if err := k.unmarshalCaddyfile(d); err != nil {
			return err
		}
		v.Keys = append(v.Keys, k)
	}
	if len(v.Keys) == 0 {
		return d.Err("static needs at least one key: `caddy mcp-auth new-key` prints a key and its line")
	}
	return nil
}

func (k *StaticKey) unmarshalCaddyfile(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 || slices.Contains(args, "") {
		return d.Err("key takes a name, the SHA-256 of the key, and its scopes: `caddy mcp-auth new-key` prints a key and its line")
	}
	k.Name, k.SHA256 = args[0], args[1]
	if len(args) > 2 {
		k.Scopes = args[2:]
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "claim" {
			return d.Errf("unrecognized option of key: %s (known: claim)", d.Val())
		}
		var name, value string
		if !d.AllArgs(&name, &value) || name == "" || value == "" {
			return d.Err("claim takes a name and a value, for example: claim team build")
		}
		if _, ok := k.Claims[name]; ok {
			return d.Errf("claim %s is given twice", name)
		}
		if k.Claims == nil {
			k.Claims = make(map[string]string)
		}
		k.Claims[name] = value
	}
	return nil
}

// Interface guards
var (
	_ Verifier              = (*Static)(nil)
	_ KeyNamer              = (*Static)(nil)
	_ caddyfile.Unmarshaler = (*Static)(nil)
)
