package option

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
)

// Setting is a setting that may have placeholders in it.
type Setting struct {
	// Name is what the operator calls it.
	Name string
	// Value is where it stands. Replace changes it.
	Value *string
}

// Replace replaces the placeholders in the settings, once, at provision: those that
// hold for every request, such as {env.NAME} and {file.path}. One that is unknown or
// empty is an error, which names the setting. The value isn't in it, for it may be a
// secret.
func Replace(settings ...Setting) error {
	repl := caddy.NewReplacer()
	var errs []error
	for _, s := range settings {
		replaced, err := repl.ReplaceOrErr(*s.Value, true, true)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
			continue
		}
		*s.Value = replaced
	}
	return errors.Join(errs...)
}
