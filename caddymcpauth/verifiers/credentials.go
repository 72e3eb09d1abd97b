package verifiers

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Credentials are what the front door is at an authorization server: a client of its
// own, which the operator of that server registers.
type Credentials struct {
	// The front door's client id at the authorization server. Required.
	// Placeholders are replaced once, at provision.
	ClientID string `json:"client_id,omitempty"`

	// The client secret. Write it as a placeholder, such as `{env.SECRET}` or
	// `{file./run/secrets/introspection}`. Required unless
	// client_auth is private_key_jwt.
	ClientSecret string `json:"client_secret,omitempty"`

	// How the front door authenticates: `client_secret_basic`,
	// `client_secret_post` or `private_key_jwt`. Default: private_key_jwt if
	// there is a private key, else client_secret_basic.
	ClientAuth string `json:"client_auth,omitempty"`

	// The file with the private key for private_key_jwt: PEM, without a
	// passphrase; RSA, EC or Ed25519.
	PrivateKey string `json:"private_key,omitempty"`

	// The kid of the private key, if the authorization server wants one.
	KeyID string `json:"key_id,omitempty"`
}

// Option reads one of the options that are credentials:
//
//	client_id     <id>
//	client_secret <secret>
//	client_auth   client_secret_basic | client_secret_post | private_key_jwt
//	private_key   <file>
//	key_id        <kid>
//
// It reports false for any other option.
func (c *Credentials) Option(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "client_id":
		return true, option.Text(d, &c.ClientID)
	case "client_secret":
		return true, option.Text(d, &c.ClientSecret)
	case "client_auth":
		return true, option.Text(d, &c.ClientAuth)
	case "private_key":
		return true, option.Text(d, &c.PrivateKey)
	case "key_id":
		return true, option.Text(d, &c.KeyID)
	default:
		return false, nil
	}
}

// Authenticator replaces placeholders, and returns how the front door authenticates to
// an issuer.
func (c *Credentials) Authenticator(issuer string) (token.ClientAuth, error) {
	if err := option.Replace(
		option.Setting{Name: "client_id", Value: &c.ClientID},
		option.Setting{Name: "client_secret", Value: &c.ClientSecret},
		option.Setting{Name: "private_key", Value: &c.PrivateKey},
	); err != nil {
		return nil, err
	}
	method := c.ClientAuth
	if method == "" {
		method = "client_secret_basic"
		if c.PrivateKey != "" {
			method = "private_key_jwt"
		}
	}
	if c.ClientID == "" {
		return nil, errors.New("client_id is missing: the front door needs credentials of its own at the authorization server")
	}
	switch method {
	case "client_secret_basic", "client_secret_post":
		switch {
		case c.ClientSecret == "":
			return nil, errors.New("client_secret is missing or empty")
		case c.PrivateKey != "" || c.KeyID != "":
			return nil, fmt.Errorf("private_key and key_id are for private_key_jwt, not for %s", method)
		case method == "client_secret_post":
			return token.ClientSecretPost(c.ClientID, c.ClientSecret), nil
		}
		return token.ClientSecretBasic(c.ClientID, c.ClientSecret), nil
	case "private_key_jwt":
		switch {
		case c.ClientSecret != "":
			return nil, errors.New("client_secret is not for private_key_jwt: remove one of the two")
		case c.PrivateKey == "":
			return nil, errors.New("private_key is missing: name the file with the PEM key")
		}
		key, err := os.ReadFile(c.PrivateKey)
		if err != nil {
			return nil, fmt.Errorf("private_key: %w", err)
		}
		return token.PrivateKeyJWT(c.ClientID, issuer, c.KeyID, key, time.Now)
	}
	return nil, fmt.Errorf("client_auth %q is none of client_secret_basic, client_secret_post, private_key_jwt", method)
}
