package keys

import (
	"context"
	"time"
)

// Static returns a source of keys that never change, such as those in a
// configuration.
func Static(set *Set) Source { return static{set} }

type static struct{ set *Set }

// KeySet implements [Source].
func (s static) KeySet(context.Context, time.Time) (*Set, error) { return s.set, nil }
