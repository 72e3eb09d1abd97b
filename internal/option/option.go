// Package option reads the options of directives from a Caddyfile. Its errors tell
// the user what to write.
package option

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Unset is the end of errors about a missing value. Caddy replaces {$NAME} before
// it parses anything; if the environment variable doesn't exist, nothing is left.
const Unset = " (is a {$VARIABLE} in its place unset?)"

// Text reads an option's only value.
func Text(d *caddyfile.Dispenser, to *string) error {
	option := d.Val()
	if *to != "" {
		return Twice(d, option)
	}
	args := d.RemainingArgs()
	switch {
	case len(args) == 0 || len(args) == 1 && args[0] == "":
		return d.Errf("%s takes one value, and has none"+Unset, option)
	case len(args) > 1:
		return d.Errf("%s takes one value, not %d: write a value that contains spaces in quotes", option, len(args))
	}
	*to = args[0]
	return nil
}

// Flag reads an option without a value.
func Flag(d *caddyfile.Dispenser, to *bool) error {
	option := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no value", option)
	}
	if *to {
		return Twice(d, option)
	}
	*to = true
	return nil
}

// List reads an option's values, one or more.
func List(d *caddyfile.Dispenser, to *[]string) error {
	option := d.Val()
	if *to != nil {
		return d.Errf("%s is given twice: list everything in one place", option)
	}
	args := d.RemainingArgs()
	if len(args) == 0 || slices.Contains(args, "") {
		return d.Errf("%s needs at least one value, and none may be empty"+Unset, option)
	}
	for _, arg := range args {
		if strings.HasSuffix(arg, ",") || strings.Contains(arg, ",http") {
			return d.Errf("%s: separate values by spaces, not commas: %q", option, arg)
		}
	}
	*to = args
	return nil
}

// Scopes reads the names of scopes, one or more. A comma is legal in a scope, but
// is always a mistake.
func Scopes(d *caddyfile.Dispenser, to *[]string) error {
	option := d.Val()
	if err := List(d, to); err != nil {
		return err
	}
	for _, scope := range *to {
		if strings.Contains(scope, ",") {
			return d.Errf("%s: separate scopes by spaces, not commas: %q", option, scope)
		}
	}
	return nil
}

// Twice returns the error for an option that is given twice. The second value
// could replace the first, or be added to it; the Caddyfile doesn't say which.
func Twice(d *caddyfile.Dispenser, option string) error {
	return d.Errf("%s is given twice: keep one", option)
}

// Duration reads an option's only value, a positive duration.
func Duration(d *caddyfile.Dispenser, to *caddy.Duration) error {
	option := d.Val()
	var arg string
	if *to != 0 {
		return Twice(d, option)
	}
	if !d.AllArgs(&arg) {
		return d.Errf("%s takes a duration such as 15m or 30d"+Unset, option)
	}
	duration, err := caddy.ParseDuration(arg)
	if err != nil || duration <= 0 {
		return d.Errf("%s: %q is not a duration such as 15m or 30d", option, arg)
	}
	*to = caddy.Duration(duration)
	return nil
}

// Modules returns the names of the modules in a namespace.
func Modules(namespace string) []string {
	var names []string
	for _, info := range caddy.GetModules(namespace) {
		names = append(names, info.ID.Name())
	}
	return names
}
