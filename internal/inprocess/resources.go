package inprocess

import (
	"slices"
	"sync"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// resourceName is what a front door calls its resource.
type resourceName struct{ resource, name string }

var resourceNames struct {
	sync.RWMutex
	// list has the latest last: for a moment during a reload there are two.
	list []*resourceName
}

// RegisterResource makes known what a front door in this process calls its
// resource (resource_name of RFC 9728), until release is called.
func RegisterResource(resource, name string) (release func()) {
	entry := &resourceName{resource, name}
	resourceNames.Lock()
	defer resourceNames.Unlock()
	resourceNames.list = append(resourceNames.list, entry)
	return sync.OnceFunc(func() {
		resourceNames.Lock()
		defer resourceNames.Unlock()
		resourceNames.list = slices.DeleteFunc(resourceNames.list, func(other *resourceName) bool { return other == entry })
	})
}

// ResourceName returns what the front door of a resource calls it; empty if it
// doesn't say, or is elsewhere.
func ResourceName(id string) string {
	resourceNames.RLock()
	defer resourceNames.RUnlock()
	for _, entry := range slices.Backward(resourceNames.list) {
		if resource.Same(entry.resource, id) {
			return entry.name
		}
	}
	return ""
}
