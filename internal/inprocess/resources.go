package inprocess

import (
	"slices"
	"sync"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// resourceName is the name that a front door gives its resource.
type resourceName struct{ resource, name string }

var resourceNames struct {
	sync.RWMutex
	// list has the newest last. During a reload there may be two of one resource.
	list []*resourceName
}

// RegisterResource adds the name that a front door in this process gives its
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

// ResourceName returns the name that the front door of a resource gives it; empty
// if it gives none, or is not in this process.
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
