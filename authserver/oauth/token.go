package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxForm bounds the body of a request to an endpoint, in bytes.
const maxForm = 64 << 10

// parseForm returns the parameters of a POST. They must be in the body, and none
// may be repeated except resource (RFC 6749, section 3.2).
func parseForm(r *http.Request) (url.Values, error) {
	if !isMediaType(r, "application/x-www-form-urlencoded") {
		return nil, invalidRequest("The request must be application/x-www-form-urlencoded.")
	}
	body, err := readBody(r, maxForm)
	if err != nil {
		return nil, &Error{Code: "invalid_request", Description: "The request is too large or incomplete.", Status: http.StatusRequestEntityTooLarge, Cause: err}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalidRequest("The request's parameters are malformed.")
	}
	if len(omitEmpty(form)) > 0 {
		return nil, invalidRequest("A parameter is given twice.")
	}
	for _, secret := range []string{"client_secret", "code", "refresh_token", "code_verifier", "token", "assertion", "subject_token"} {
		if strings.Contains(r.URL.RawQuery, secret+"=") {
			return nil, invalidRequest("Credentials don't belong in the URL: it is logged by every server on the way.")
		}
	}
	return form, nil
}

// omitEmpty removes the parameters without a value, which count as omitted. It
// returns the names of those that are repeated although they must not be (RFC
// 6749, sections 3.1 and 3.2). A parameter counts as repeated even if only one of
// its values is not empty: another reader may take the empty one. resource may be
// repeated (RFC 8707, section 2).
func omitEmpty(parameters url.Values) (repeated []string) {
	for name, values := range parameters {
		if len(values) > 1 && name != "resource" {
			repeated = append(repeated, name)
		}
		values = slices.DeleteFunc(values, func(value string) bool { return value == "" })
		if parameters[name] = values; len(values) == 0 {
			delete(parameters, name)
		}
	}
	return repeated
}

// clientEndpoint answers requests of an authenticated client.
type clientEndpoint func(ctx context.Context, w http.ResponseWriter, c *Client, form url.Values, event *Event) error

// serveClient authenticates the client and calls serve.
func (s *Server) serveClient(w http.ResponseWriter, r *http.Request, serve clientEndpoint) (*Event, error) {
	event := &Event{}
	form, err := parseForm(r)
	if err != nil {
		return event, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	c, err := s.authenticate(ctx, r, form)
	if err != nil {
		return event, err
	}
	event.Client = c.ID
	return event, serve(ctx, w, c, form, event)
}

// authenticate returns the client that sends the request (RFC 6749, section 2.3):
// authenticated with Basic, in the form, or by an assertion that it has signed, or by
// its identifier alone if it is public.
//
// Either way to send a secret is accepted, whichever one the client registered
// for: it is the same secret over the same TLS, section 2.3.1 requires every
// server to support Basic, and libraries choose by the server's metadata, not by
// their registration. These are never accepted: no secret from a client that has
// one, a secret from a client that has none, and two ways at once.
func (s *Server) authenticate(ctx context.Context, r *http.Request, form url.Values) (*Client, error) {
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		return s.authenticateByKey(ctx, r, form)
	}
	id, secret, method, err := clientCredentialsOf(r, form)
	if err != nil {
		return nil, err
	}
	c, err := s.client(ctx, id)
	if err == nil {
		switch {
		case c.Public() && method == methodNone:
			return c, nil
		case c.Public():
			// Accepting it would make the client think that it is protected.
			err = invalidClient("The client has no secret.", nil)
		case c.Keys != nil:
			err = invalidClient("The client must authenticate with its key: private_key_jwt.", nil)
		case method == methodNone:
			err = invalidClient("The client must authenticate.", nil)
		case !c.secretMatches(secret):
			err = invalidClient("The client's secret is wrong.", nil)
		default:
			return c, nil
		}
	}
	if e := asError(err); e.Code == "invalid_client" {
		e.challenge = method == methodBasic
		return nil, e
	}
	return nil, err
}

func clientCredentialsOf(r *http.Request, form url.Values) (id, secret, method string, err error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		if form.Has("client_secret") {
			return form.Get("client_id"), form.Get("client_secret"), methodPost, nil
		}
		return form.Get("client_id"), "", methodNone, nil
	}
	scheme, encoded, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Basic") {
		return "", "", "", invalidRequest("There must be one Authorization header, with the Basic scheme.")
	}
	if form.Has("client_secret") {
		return "", "", "", invalidRequest("The client uses two authentication methods at once.")
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	name, password, found := strings.Cut(string(plain), ":")
	if err == nil && found {
		// Section 2.3.1: both are form-encoded first.
		var errID, errSecret error
		id, errID = url.QueryUnescape(name)
		secret, errSecret = url.QueryUnescape(password)
		err = errors.Join(errID, errSecret)
	}
	if err != nil || !found {
		e := invalidClient("The Basic credentials are malformed.", nil)
		e.challenge = true
		return "", "", "", e
	}
	if form.Has("client_id") && form.Get("client_id") != id {
		return "", "", "", invalidRequest("The request names two client identifiers.")
	}
	return id, secret, methodBasic, nil
}

// token is the token endpoint (RFC 6749, section 3.2).
func (s *Server) token(ctx context.Context, w http.ResponseWriter, c *Client, form url.Values, event *Event) error {
	var out *tokens
	var err error
	switch grantType := form.Get("grant_type"); grantType {
	case authorizationCode:
		event.Grant = grantType
		out, err = s.redeem(ctx, c, form, event)
	case refreshToken:
		event.Grant = grantType
		out, err = s.refresh(ctx, c, form, event)
	case clientCredentials:
		event.Grant = grantType
		out, err = s.clientCredentials(ctx, c, form.Get("scope"), form["resource"])
	case tokenExchange:
		event.Grant = grantType
		out, err = s.exchange(ctx, c, form, event)
	case jwtBearer:
		event.Grant = grantType
		out, err = s.acceptIdentity(ctx, c, form, event)
	case "":
		err = invalidRequest("grant_type is missing.")
	default:
		err = badRequest("unsupported_grant_type", "The grant_type is not one of the metadata's grant_types_supported.")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}
