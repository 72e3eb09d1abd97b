package caddymcpauth

import (
	"errors"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
)

// Cache configures how many verdicts on tokens are kept, and for how long.
// Verdicts survive reloads; scopes are checked on each request.
type Cache struct {
	// Disable the cache: every request with an opaque token asks the issuer.
	// Requests that arrive together with the same token still share one answer.
	Off bool `json:"off,omitempty"`

	// How long a verdict is kept, at most until the token expires. A revoked token
	// may still be accepted for that long. Default: 60s for opaque tokens, until
	// they expire for JWTs.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How many verdicts each verifier keeps. The least used are
	// evicted first. Default: 100000, about 30 MB when full.
	MaxEntries int `json:"max_entries,omitempty"`
}

func (c *Cache) check() error {
	switch {
	case c.TTL < 0:
		return errors.New("ttl is negative")
	case c.MaxEntries < 0:
		return errors.New("max_entries is negative")
	case c.Off && (c.TTL != 0 || c.MaxEntries != 0):
		return errors.New("it is off, so ttl and max_entries have no effect: remove them")
	}
	return nil
}

// config returns the settings as the cache takes them. A nil c means defaults.
func (c *Cache) config() judge.CacheConfig {
	if c == nil {
		return judge.CacheConfig{}
	}
	config := judge.CacheConfig{TTL: time.Duration(c.TTL), MaxEntries: c.MaxEntries}
	if c.Off {
		config.TTL = -1
	}
	return config
}

// UnmarshalCaddyfile sets up the cache from Caddyfile tokens. Syntax:
//
//	cache off | {
//	    ttl         <duration>
//	    max_entries <number>
//	}
func (c *Cache) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the option's name
	if d.NextArg() {
		if d.Val() != "off" || d.NextArg() {
			return d.Err("cache takes `off`, or a block with ttl and max_entries")
		}
		c.Off = true
	}
	options := 0
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		options++
		var arg string
		option := d.Val()
		if option == "{" {
			return d.ArgErr()
		}
		if !d.AllArgs(&arg) {
			return d.Errf("%s takes one value"+" (is a {$VARIABLE} in its place unset?)", option)
		}
		switch option {
		case "ttl":
			ttl, err := caddy.ParseDuration(arg)
			if err != nil || ttl <= 0 {
				return d.Errf("ttl %q is not a duration such as 60s", arg)
			}
			if c.TTL != 0 {
				return d.Err("ttl is given twice")
			}
			c.TTL = caddy.Duration(ttl)
		case "max_entries":
			n, err := strconv.Atoi(arg)
			if err != nil || n <= 0 {
				return d.Errf("max_entries %q is not a positive number", arg)
			}
			if c.MaxEntries != 0 {
				return d.Err("max_entries is given twice")
			}
			c.MaxEntries = n
		default:
			return d.Errf("unrecognized option of cache: %s (known: ttl, max_entries)", option)
		}
	}
	if !c.Off && options == 0 {
		return d.Err("cache takes `off`, or a block with ttl and max_entries")
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Cache)(nil)
