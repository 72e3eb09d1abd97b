// Package check takes the steps of an MCP client, from the first request without
// a token to the point where its user would sign in. It reports what works, what
// doesn't, and how to fix it. It registers no client and needs no token. This
// package doesn't know Caddy.
package check

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// DefaultTimeout bounds one request.
const DefaultTimeout = 10 * time.Second

// Config configures [Run]. The zero value is ready to use.
type Config struct {
	// Roots are the certificate authorities to trust. Nil means the system's.
	Roots *x509.CertPool

	// Timeout bounds each request. Zero means [DefaultTimeout].
	Timeout time.Duration
}

// Kind is what a URL turned out to be.
type Kind string

// The kinds of URL.
const (
	Resource Kind = "resource"
	Issuer   Kind = "issuer"
)

// Finding is the result of one check.
type Finding struct {
	// About is the URL of the resource or issuer that was checked.
	About string `json:"about"`
	// Step names the check, in a few words.
	Step string `json:"step"`
	discovery.Finding
}

// Report has the findings, in the order of a client's steps.
type Report struct {
	// Target is the URL that was checked.
	Target string `json:"target"`
	// Kind says whether Target is a resource or an issuer.
	Kind Kind `json:"kind"`
	// Findings has one entry for each check.
	Findings []Finding `json:"findings"`
}

// Count returns the number of findings of a level.
func (r *Report) Count(level discovery.Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Run checks target, the URL of an MCP server or of an authorization server.
// Problems are reported as findings; an error means that target is not a usable
// URL.
//
// A URL that resource metadata names is a resource, and one that authorization
// server metadata names is an issuer. If neither names it, a URL that answers
// with 401, or has resource metadata, is a resource; otherwise one that has
// authorization server metadata is an issuer; everything else is a resource.
func Run(ctx context.Context, target string, config Config) (*Report, error) {
	id, err := resource.Parse(target)
	if err != nil {
		return nil, err
	}
	w := newWalker(target, id, config)
	defer w.client.CloseIdleConnections()
	post, err := w.probe(ctx, "POST", target)
	if err != nil {
		w.unreachable(err)
		return w.report, nil
	}
	if w.report.Kind = w.kind(ctx, id, post); w.report.Kind == Issuer {
		w.issuer(ctx, target)
	} else {
		w.resource(ctx, id, post)
	}
	return w.report, nil
}

func (w *walker) kind(ctx context.Context, id resource.Identifier, post *answer) Kind {
	var doc resourceMetadata
	hasMetadata := w.read(ctx, id.MetadataURL(), &doc) == nil
	if hasMetadata && resource.Same(doc.Resource, id.String()) {
		return Resource
	}
	locations, _ := discovery.Locations(id.String())
	issuer := false
	for _, location := range locations {
		a, err := w.document(ctx, location)
		if err != nil {
			continue
		}
		var doc struct {
			Issuer string `json:"issuer"`
		}
		switch {
		case a.status == http.StatusOK && json.Unmarshal(a.body, &doc) == nil && doc.Issuer != "":
			if doc.Issuer == id.String() {
				return Issuer
			}
			issuer = true
		case a.status >= 500 && says(a) != "": // it would have metadata if it worked
			issuer = true
		}
	}
	if post.status == 401 || hasMetadata && doc.Resource != "" || !issuer {
		return Resource
	}
	return Issuer
}

// found adds a finding about the current URL.
func (w *walker) found(step string, f discovery.Finding) {
	w.report.Findings = append(w.report.Findings, Finding{w.about, step, f})
}

func (w *walker) ok(step, code, format string, args ...any) {
	w.found(step, discovery.Finding{Code: code, Level: discovery.OK, Message: fmt.Sprintf(format, args...)})
}

func (w *walker) warn(step, code, message, cure string) {
	w.found(step, discovery.Finding{Code: code, Level: discovery.Warning, Message: message, Cure: cure})
}

func (w *walker) fail(step, code, message, cure string) {
	w.found(step, discovery.Finding{Code: code, Level: discovery.Error, Message: message, Cure: cure})
}
