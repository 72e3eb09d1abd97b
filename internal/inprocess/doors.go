package inprocess

import (
	"slices"
	"sync"
)

// Door is what the authorization server in the same process knows about a
// resource server.
type Door struct {
	// Resource is the resource identifier.
	Resource string
	// Scopes are the scopes that clients should request first.
	Scopes []string
	// Admits reports whether a token with these scopes has the scopes that every
	// request needs.
	Admits func(scopes []string) bool
}

var doors = struct {
	sync.RWMutex
	of map[string][]*Door // by issuer
}{of: make(map[string][]*Door)}

// RegisterDoor adds d as a resource server that accepts tokens of issuer, until
// release is called.
func RegisterDoor(issuer string, d Door) (release func()) {
	entry := &d
	doors.Lock()
	defer doors.Unlock()
	doors.of[issuer] = append(doors.of[issuer], entry)
	return sync.OnceFunc(func() {
		doors.Lock()
		defer doors.Unlock()
		rest := slices.DeleteFunc(doors.of[issuer], func(other *Door) bool { return other == entry })
		if doors.of[issuer] = rest; len(rest) == 0 {
			delete(doors.of, issuer)
		}
	})
}

// Doors returns the resource servers that accept tokens of issuer. During a
// reload, these may be the ones of two configurations.
func Doors(issuer string) []Door {
	doors.RLock()
	defer doors.RUnlock()
	list := make([]Door, len(doors.of[issuer]))
	for i, d := range doors.of[issuer] {
		list[i] = *d
	}
	return list
}
