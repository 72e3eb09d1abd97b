// Package browser knows the browsers that open a server's pages: which of them
// is asking, the cookies it holds, what it keeps for the server, and the forms
// it sends.
package browser

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// Sealer encrypts and authenticates what browsers keep for a server.
type Sealer interface {
	Seal(ctx context.Context, purpose sealed.Purpose, plain []byte) (string, error)
	// Open returns what was sealed for purpose. The error is [sealed.ErrSeal] if
	// text was not sealed here for that purpose; any other error means that this
	// could not be found out.
	Open(ctx context.Context, purpose sealed.Purpose, text string) ([]byte, error)
}

// Site is a server that browsers visit.
type Site struct {
	// Issuer is the server's identifier. Its cookies have it in their names.
	Issuer string
	// Secure says that the site is https. Its cookies then have the prefix
	// __Host-, so that no other host of the domain can plant them.
	Secure bool
	// IDCookie is the name of the cookie that tells browsers apart.
	IDCookie string
	// IDLifetime is how long the browser keeps that cookie. Zero: until it is
	// closed.
	IDLifetime time.Duration
	// Sealer seals what browsers keep.
	Sealer Sealer
	// Now returns the time.
	Now func() time.Time
}

// Visit is one request of a browser. It is made once for each request, and knows
// the cookies that it has set itself: the request is left as it came.
type Visit struct {
	W http.ResponseWriter
	R *http.Request

	site *Site
	id   string // empty until the browser has one
}

// Visit returns the visit that w and r are about.
func (s *Site) Visit(w http.ResponseWriter, r *http.Request) *Visit {
	v := &Visit{W: w, R: r, site: s}
	if id := v.Cookie(s.IDCookie); len(id) == idLength {
		v.id = id
	}
	return v
}

// idLength is the length of what [rand.Text] returns.
const idLength = 26

// Context returns the request's context.
func (v *Visit) Context() context.Context { return v.R.Context() }

// Browser returns a hash that tells this browser from others; empty if there is
// nothing yet to tell it by.
func (v *Visit) Browser() string {
	if v.id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(v.id))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// identify gives the browser something to tell it by, unless it has that.
func (v *Visit) identify() {
	if v.id == "" {
		v.id = rand.Text()
		v.SetCookie(v.site.IDCookie, v.id, v.site.IDLifetime)
	}
}

// envelope is what is sealed: it says for which browser, and until when.
type envelope struct {
	Browser string          `json:"b"`
	Expires time.Time       `json:"e"`
	Value   json.RawMessage `json:"v"`
}

// ErrClosed says that what a browser brought back was not sealed here for this
// purpose, or for another browser, or too long ago.
var ErrClosed = errors.New("it has expired, or belongs to another browser")

// maxSealed bounds what a browser brings back, in bytes.
const maxSealed = 16 << 10

// Seal encrypts value for this browser to keep, in a cookie or a form. It opens
// in no other browser, for no other purpose, and not after lifetime, so nobody
// can be made to finish what a stranger has begun.
func (v *Visit) Seal(purpose sealed.Purpose, value any, lifetime time.Duration) (string, error) {
	v.identify()
	b, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	b, err = json.Marshal(envelope{v.Browser(), v.site.Now().Add(lifetime), b})
	if err != nil {
		return "", err
	}
	return v.site.Sealer.Seal(v.Context(), purpose, b)
}

// Open reads into value what this browser was given to keep for purpose. The
// error is [ErrClosed] if it wasn't, or no longer counts; any other error means
// that this could not be found out.
func (v *Visit) Open(purpose sealed.Purpose, text string, value any) error {
	if text == "" || len(text) > maxSealed || v.id == "" {
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
	if json.Unmarshal(b, &e) != nil || e.Browser != v.Browser() || !v.site.Now().Before(e.Expires) {
		return ErrClosed
	}
	if json.Unmarshal(e.Value, value) != nil {
		return ErrClosed // of another version
	}
	return nil
}

// Redirect sends the browser on, with 303 See Other, so that a form isn't sent
// along. Where to is never made of the request's path.
func (v *Visit) Redirect(to string) {
	v.W.Header().Set("Location", to)
	v.W.Header().Set("Referrer-Policy", "no-referrer")
	v.W.WriteHeader(http.StatusSeeOther)
}
