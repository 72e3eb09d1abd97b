package inprocess

import (
	"slices"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// resourceName is the name that a front door gives its resource.
type resourceName struct{ resource, name string }

// resourceNames has all of them under one key, because different identifiers can
// be those of one resource, see [resource.Same].
var resourceNames pool.Registry[resourceName]

const allResources = ""

// RegisterResource adds the name that a front door in this process gives its
// resource (resource_name of RFC 9728), until release is called.
func RegisterResource(resource, name string) (release func()) {
	return resourceNames.Register(allResources, resourceName{resource, name})
}

// ResourceName returns the name that the front door of a resource gives it; empty
// if it gives none, or is not in this process.
func ResourceName(id string) string {
	for _, entry := range slices.Backward(resourceNames.All(allResources)) {
		if resource.Same(entry.resource, id) {
			return entry.name
		}
	}
	return ""
}
