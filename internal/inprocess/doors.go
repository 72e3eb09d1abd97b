package inprocess

import (
	"slices"
	"sync"
)

// Door is a resource server, as far as the authorization server beside it has to
// know it.
type Door struct {
	// Resource is its identifier.
	Resource string
	// Scopes are those that its clients should ask for at first.
	Scopes []string
	// Admits reports whether a token with these scopes has what every request
	// needs.
	Admits func(scopes []string) bool
}

var doors = struct {
	sync.RWMutex
	of map[string][]*Door // by issuer
}{of: make(map[string][]*Door)}

// RegisterDoor makes d known as a resource server that takes tokens of issuer,
// until release is called.
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

// Doors returns the resource servers that take tokens of issuer: for a moment
// during a reload, those of two configurations.
func Doors(issuer string) []Door {
	doors.RLock()
	defer doors.RUnlock()
	list := make([]Door, len(doors.of[issuer]))
	for i, d := range doors.of[issuer] {
		list[i] = *d
	}
	return list
}
