// Package browser handles the browsers that open a server's pages: it identifies
// them, reads and sets their cookies, seals what they keep for the server, and
// reads the forms that they send.
package browser

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// Sealer encrypts and authenticates what browsers keep for a server.
type Sealer interface {
	// Seal encrypts and authenticates plain.
	Seal(ctx context.Context, purpose sealed.Purpose, plain []byte) (string, error)
	// Open returns what was sealed for purpose. The error is [sealed.ErrSeal] if
	// text was not sealed here for that purpose. Any other error means that this
	// could not be found out.
	Open(ctx context.Context, purpose sealed.Purpose, text string) ([]byte, error)
}

// Site is a server that has pages for browsers.
type Site struct {
	// Issuer is the server's identifier. The names of its cookies depend on it.
	Issuer string
	// Secure says that the site is https. Its cookies then have the prefix
	// __Host-, so that no other host of the domain can plant them.
	Secure bool
	// IDCookie begins the names of the cookies that tell browsers apart, see
	// [Visit.identify].
	IDCookie string
	// IDLifetime is how long the browser keeps such a cookie. Zero means until
	// the browser is closed.
	IDLifetime time.Duration
	// Sealer seals what browsers keep.
	Sealer Sealer
	// Now returns the time.
	Now func() time.Time
}

// Visit is one request of a browser. It is made once for each request, and
// remembers the identifier that it sets. The request isn't changed.
type Visit struct {
	// W and R are the response and the request.
	W http.ResponseWriter
	R *http.Request

	site *Site
	ids  []string // none until the browser has one
}

// Visit returns the visit of w and r.
func (s *Site) Visit(w http.ResponseWriter, r *http.Request) *Visit {
	v := &Visit{W: w, R: r, site: s}
	v.ids = v.identifiers()
	return v
}

// Context returns the request's context.
func (v *Visit) Context() context.Context { return v.R.Context() }

// envelope is what is sealed. It says for which browser, and until when.
type envelope struct {
	Browser string          `json:"b"`
	Expires time.Time       `json:"e"`
	Value   json.RawMessage `json:"v"`
}

// ErrClosed means that a text was not sealed here for this purpose, was sealed
// for another browser, or has expired.
var ErrClosed = errors.New("it has expired, or belongs to another browser")

// maxSealed bounds a sealed text from a browser, in bytes.
const maxSealed = maxForm

// Seal encrypts value for this browser to keep, in a cookie or a form. It opens
// in no other browser, for no other purpose, and not after lifetime. So an
// attacker can't make a user finish what the attacker has begun.
func (v *Visit) Seal(purpose sealed.Purpose, value any, lifetime time.Duration) (string, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	b, err = json.Marshal(envelope{hashOf(v.identify()), v.site.Now().Add(lifetime), b})
	if err != nil {
		return "", err
	}
	return v.site.Sealer.Seal(v.Context(), purpose, b)
}

// Open decodes into value what this browser keeps for purpose. The error is
// [ErrClosed] if it was not sealed for that, or has expired. Any other error
// means that this could not be found out.
func (v *Visit) Open(purpose sealed.Purpose, text string, value any) error {
	if text == "" || len(text) > maxSealed || len(v.ids) == 0 {
		return ErrClosed
	}
	b, err := v.site.Sealer.Open(v.Context(), purpose, text)
	if errors.Is(err, sealed.ErrSeal) {
		return ErrClosed
	}
	if err != nil {
		return err
	}
	var e envelope
	if json.Unmarshal(b, &e) != nil || !v.is(e.Browser) || !v.site.Now().Before(e.Expires) {
		return ErrClosed
	}
	if json.Unmarshal(e.Value, value) != nil {
		return ErrClosed // sealed by another version
	}
	return nil
}

// Redirect sends the browser to another URL, with 303 See Other, so that a form
// isn't sent again. The URL must not be built from the request's path.
func (v *Visit) Redirect(to string) {
	v.W.Header().Set("Location", to)
	v.W.Header().Set("Referrer-Policy", "no-referrer")
	v.W.WriteHeader(http.StatusSeeOther)
}
