package browser

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// maxForm bounds what a page's form sends, in bytes. Most of it is what the page
// had sealed, such as an authorization request with a long query.
const maxForm = 64 << 10

var (
	// ErrCrossSite means that a form was sent by another site's page.
	ErrCrossSite = errors.New("the form was sent by another site")
	// ErrForm means that a form can't be read, or could be read in two ways.
	ErrForm = errors.New("the form can't be read")
)

// crossSite refuses forms of other sites.
var crossSite = http.NewCrossOriginProtection()

// Form reads the form that a page of this site sent. The error is [ErrCrossSite]
// or [ErrForm].
func (v *Visit) Form() (url.Values, error) {
	if err := crossSite.Check(v.R); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCrossSite, err)
	}
	if kind, _, err := mime.ParseMediaType(v.R.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, fmt.Errorf("%w: it is not application/x-www-form-urlencoded", ErrForm)
	}
	body, err := io.ReadAll(http.MaxBytesReader(v.W, v.R.Body, maxForm))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, fmt.Errorf("%w: a field is given twice", ErrForm)
		}
	}
	return form, nil
}
