// Package option reads the options of directives from a Caddyfile, with errors
// that say what to write.
package option

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Text reads an option's only value.
func Text(d *caddyfile.Dispenser, to *string) error {
	option := d.Val()
	if *to != "" {
		return d.Errf("%s is given twice", option)
	}
	if !d.AllArgs(to) || *to == "" {
		return d.Errf("%s takes one value", option)
	}
	return nil
}

// Flag reads an option without a value.
func Flag(d *caddyfile.Dispenser, to *bool) error {
	option := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no value", option)
	}
	*to = true
	return nil
}

// List reads an option's values, and adds them to those there are.
func List(d *caddyfile.Dispenser, to *[]string) error {
	option := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("%s takes one value or more", option)
	}
	*to = append(*to, args...)
	return nil
}

// Duration reads an option's only value, a time longer than none.
func Duration(d *caddyfile.Dispenser, to *caddy.Duration) error {
	option := d.Val()
	var arg string
	if *to != 0 {
		return d.Errf("%s is given twice", option)
	}
	if !d.AllArgs(&arg) {
		return d.Errf("%s takes a duration such as 15m or 30d", option)
	}
	duration, err := caddy.ParseDuration(arg)
	if err != nil || duration <= 0 {
		return d.Errf("%s: %q is not a duration such as 15m or 30d", option, arg)
	}
	*to = caddy.Duration(duration)
	return nil
}
