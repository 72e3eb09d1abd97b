package reading

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// MaxQuery and MaxForm bound the query and the body of a request, in bytes.
const (
	MaxQuery = 16 << 10
	MaxForm  = 64 << 10
)

// ErrTooLarge says that a request has more than [MaxQuery] or [MaxForm] bytes.
var ErrTooLarge = errors.New("the request is too large")

// overrides are headers that stand for another method or path to some servers.
// CGI and WSGI turn dashes into underscores.
var overrides = map[string]bool{
	"x-http-method-override": true, "x-http-method": true, "x-method-override": true, "x-original-method": true,
	"x-original-url": true, "x-rewrite-url": true, "x-http-path-override": true, "x-original-uri": true,
}

// pathOverrides are those that stand for another path.
var pathOverrides = map[string]bool{"x-original-url": true, "x-rewrite-url": true, "x-http-path-override": true, "x-original-uri": true}

func foldHeader(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// WithoutOtherPaths removes the headers that stand for another path to some
// servers.
func WithoutOtherPaths(header http.Header) {
	for name := range header {
		if pathOverrides[foldHeader(name)] {
			delete(header, name)
		}
	}
}

// CheckHeaders returns an error if the headers could be read in two ways.
func CheckHeaders(header http.Header) error {
	for name, values := range header {
		folded := foldHeader(name)
		switch folded {
		case "content-type", "content-encoding", "content-length", "transfer-encoding", "authorization":
			if !strings.EqualFold(name, folded) {
				return errors.New("a header is spelled with an underscore: " + quote(name))
			}
			if len(values) != 1 {
				return errors.New("the header " + name + " is given twice")
			}
			if folded == "content-encoding" && !strings.EqualFold(values[0], "identity") {
				return errors.New("the body is compressed")
			}
		default:
			if overrides[folded] {
				return errors.New("the header " + name + " stands for another method or path")
			}
		}
	}
	return nil
}

// Query reads the parameters in the query of r.
func (r *Reader) Query(req *http.Request) (url.Values, error) {
	if len(req.URL.RawQuery) > MaxQuery {
		return nil, ErrTooLarge
	}
	return r.Parse(req.URL.RawQuery)
}

// NoBody returns an error if the request has a body: servers differ in whether
// they read it for GET.
func NoBody(req *http.Request) error {
	if req.ContentLength == 0 || req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	if req.ContentLength > 0 {
		return errors.New("the request has a body")
	}
	if n, err := io.ReadFull(req.Body, make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return errors.New("the request has a body")
	}
	return nil
}

// Form reads the parameters in the body of r. Only
// application/x-www-form-urlencoded is accepted (RFC 6749, section 3.2), because
// only some servers also read multipart/form-data or JSON.
func (r *Reader) Form(req *http.Request) (url.Values, error) {
	mediaType, parameters, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, errors.New("the body is not application/x-www-form-urlencoded")
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return nil, errors.New("the body's charset is not UTF-8")
		}
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, MaxForm+1))
	switch {
	case err != nil:
		return nil, errors.New("the body ended early")
	case len(body) > MaxForm:
		return nil, ErrTooLarge
	}
	return r.Parse(string(body))
}

// SetQuery replaces the query of req. It changes req itself, as Caddy's rewrite
// handler does: placeholders such as {query} are read from that very request, and
// later handlers must see nothing but what was judged.
func SetQuery(req *http.Request, parameters url.Values) {
	req.URL.RawQuery, req.URL.ForceQuery = Encode(parameters), false
	req.RequestURI = req.URL.RequestURI()
}

// SetForm replaces the body of req.
func SetForm(req *http.Request, parameters url.Values) {
	body := []byte(Encode(parameters))
	SetNoBody(req)
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Length", strconv.Itoa(len(body)))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
}

// SetNoBody removes the body of req and the headers that describe it.
func SetNoBody(req *http.Request) {
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Trailer", "Expect"} {
		req.Header.Del(name)
	}
	req.Body, req.GetBody, req.ContentLength = http.NoBody, nil, 0
	req.TransferEncoding, req.Trailer = nil, nil
}
