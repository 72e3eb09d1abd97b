package clientdoc

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// InvalidError means that a client identifier is invalid, or that its URL has no
// metadata document of the client. Trying again doesn't help until the publisher
// changes something.
//
// Its text is for the log. It contains nothing that a server sent.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return "client metadata: " + e.Err.Error() }

func (e *InvalidError) Unwrap() error { return e.Err }

// unavailable returns the error for a document that can't be fetched for now: its
// server is unreachable, fails, took too long, or too many fetches are waiting. Its
// text is for the log. It contains nothing that a server sent.
func unavailable(err error) error {
	return &outbound.UnavailableError{Err: fmt.Errorf("client metadata: %w", err)}
}

// silentError means that there was no complete HTTP response.
type silentError struct{ error }

func (e *silentError) Unwrap() error { return e.error }

func invalid(cause string) error { return &InvalidError{errors.New(cause)} }

func errClosed() error { return unavailable(errors.New("the fetcher is closed")) }

// exchangeError returns what went wrong in an exchange with a server. The errors
// of net/http and crypto/tls quote what they could not read, such as the greeting
// of another protocol, or names in a certificate. An attacker who probes our
// network must not see that, nor write into our log, so the errors are replaced,
// not wrapped.
func exchangeError(err error) error {
	return unavailable(&silentError{exchangeCause(err)})
}

func exchangeCause(err error) error {
	var (
		viaProxy    *proxyError
		refused     *refusedError
		timeout     net.Error
		dns         *net.DNSError
		hostname    x509.HostnameError
		authority   x509.UnknownAuthorityError
		certificate x509.CertificateInvalidError
		verify      *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		errno       syscall.Errno
	)
	switch {
	case errors.As(err, &viaProxy):
		return viaProxy
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the server took too long")
	case errors.As(err, &dns) && dns.IsNotFound:
		return errors.New("the host does not exist")
	case errors.As(err, &dns):
		return errors.New("the host could not be resolved")
	case errors.As(err, &hostname):
		return errors.New("the certificate is not for this host")
	case errors.As(err, &authority):
		return errors.New("the certificate is signed by an unknown authority")
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return errors.New("the certificate has expired or is not yet valid")
	case errors.As(err, &certificate), errors.As(err, &verify):
		return errors.New("the certificate is not valid")
	case errors.As(err, &record):
		return errors.New("the server does not speak TLS")
	case errors.As(err, &alert):
		return fmt.Errorf("TLS handshake: %w", alert)
	case errors.As(err, &errno):
		return fmt.Errorf("connection: %w", errno)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return errors.New("the body is not valid gzip")
	}
	return errors.New("the server closed the connection, or its answer is not HTTP within the limits")
}
