package option

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
)

// Setting is a setting that may contain placeholders.
type Setting struct {
	// Name is what the operator calls it.
	Name string
	// Value points to the setting's value. Replace changes it.
	Value *string
}

// Replace replaces the placeholders in the settings, once, at provision. Only
// placeholders that don't depend on a request can be used, such as {env.NAME} and
// {file.path}. An unknown or empty one is an error that names the setting, but not
// its value, which may be a secret.
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
