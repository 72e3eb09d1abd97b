package clientdoc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

const (
	// maxBody bounds a document, in bytes after decompression. Section 8.7 of the
	// draft recommends 5 KB; clients that list their keys need more.
	maxBody = 16 << 10

	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 16 << 10
)

// newClient returns the HTTP client of a fetcher. It keeps no cookies,
// credentials or connections, so a server can't link one fetch to another.
func newClient(dial func(ctx context.Context, network, address string) (net.Conn, error), roots *x509.CertPool) *http.Client {
	// A redirect is returned as the response. Section 5 of the draft forbids
	// following it: the document must be at the client's own URL.
	return outbound.WithoutRedirects(&http.Client{
		Transport: &http.Transport{
			// The environment's proxy is not used: it would resolve the name
			// itself, and dial what the dialer refuses. See
			// [Fetcher.sendThrough].
			Proxy:                  nil,
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHeader,
		},
	})
}

// get fetches the document at an address, or revalidates old if it is not nil. The error
// is an [*InvalidError] or an [*outbound.UnavailableError].
func (f *Fetcher) get(ctx context.Context, at address, old *document) (*document, error) {
	doc, err := f.getDocument(ctx, at, old)
	if at.keys {
		return keySetDocument(doc, err)
	}
	return doc, err
}

func (f *Fetcher) getDocument(ctx context.Context, at address, old *document) (*document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.url, nil)
	if err != nil {
		return nil, invalid("the URL is malformed")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", outbound.UserAgent)
	if old != nil && old.etag != "" {
		req.Header.Set("If-None-Match", old.etag)
	}
	asked := f.now()
	resp, err := f.exchange(req)
	if err != nil {
		return nil, exchangeError(err)
	}
	defer resp.Body.Close()

	if resp.StatusCode == http.StatusNotModified && req.Header.Get("If-None-Match") != "" {
		// RFC 9111, section 4.3.4: the same body, with a new lifetime. The
		// response must repeat the headers that determine it (RFC 9110, section
		// 15.4.5).
		doc := &document{body: old.body, set: old.set, etag: old.etag, fetched: asked}
		doc.expires, doc.noStale = lease(resp.Header, asked)
		return doc, nil
	}
	if err := checkStatus(resp.StatusCode); err != nil {
		return nil, err
	}
	if !isJSON(resp.Header.Get("Content-Type")) {
		return nil, invalid("the media type is neither application/json nor application/*+json")
	}
	body, err := outbound.ReadBody(resp.Body, maxBody)
	if _, ok := errors.AsType[*outbound.TooLargeError](err); ok {
		return nil, &InvalidError{fmt.Errorf("the document is larger than %d bytes", maxBody)}
	}
	if err != nil {
		return nil, exchangeError(err)
	}
	doc := &document{body: body, etag: entityTag(resp.Header), fetched: asked}
	if at.keys {
		doc.set, err = keys.ParseSet(body)
	} else {
		err = checkDocument(body, at.url)
	}
	if err != nil {
		return nil, &InvalidError{err}
	}
	doc.expires, doc.noStale = lease(resp.Header, asked)
	return doc, nil
}

// checkStatus returns an error unless status is 200, the only one with which a
// document is valid (section 5 of the draft).
func checkStatus(status int) error {
	err := fmt.Errorf("the server answered %d", status)
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusTooManyRequests || status >= 500:
		return unavailable(err)
	case status >= 300 && status < 400 && status != http.StatusNotModified:
		return &InvalidError{fmt.Errorf("%w, but redirects are not followed: the document must be at the URL itself", err)}
	}
	return &InvalidError{err}
}

// isJSON reports whether a Content-Type is that of JSON, or of a format built on
// it (section 4 of the draft). No other type is accepted: on a server where users
// upload texts and pictures, they could otherwise publish clients in its name.
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	subtype, ok := strings.CutPrefix(mediaType, "application/")
	return ok && (subtype == "json" || strings.HasSuffix(subtype, "+json") && subtype != "+json")
}
