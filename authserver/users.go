package authserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
)

// User signs in with a password.
type User struct {
	// The user name, which is also the subject of their tokens.
	Username string `json:"username"`

	// The hashed password, as `caddy hash-password` prints it. Placeholders are
	// replaced.
	Password string `json:"password"`

	// The hash algorithm, as in `basic_auth`. Default: argon2id if the hash
	// says so, else bcrypt.
	HashRaw json.RawMessage `json:"hash,omitempty" caddy:"namespace=http.authentication.hashes inline_key=algorithm"`

	// The full name, for pages and tokens.
	Name string `json:"name,omitempty"`

	// The email address, for pages and tokens.
	Email string `json:"email,omitempty"`

	comparer caddyauth.Comparer
	// work is the same for users whose passwords take the same time to check.
	work string
}

// maxPassword bounds a password, in bytes. bcrypt reads only the first 72.
const maxPassword = 1024

func (u *User) provision(ctx caddy.Context) error {
	switch {
	case u.Username == "":
		return errors.New("the user name is missing")
	case strings.ContainsFunc(u.Username, func(r rune) bool { return r <= ' ' || r == ':' || r == 0x7f }):
		// The colon is reserved for users of an upstream.
		return errors.New("a user name can't contain spaces, colons or control characters")
	case len(u.Username) > 100:
		return errors.New("the user name is too long")
	case u.Password == "":
		return errors.New("the password is missing: hash one with `caddy hash-password`")
	}
	if u.HashRaw == nil {
		algorithm := "bcrypt"
		if strings.HasPrefix(u.Password, "$argon2id$") {
			algorithm = "argon2id"
		}
		u.HashRaw = hashModule(algorithm)
	}
	var module struct {
		Algorithm string `json:"algorithm"`
	}
	if err := json.Unmarshal(u.HashRaw, &module); err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	var err error
	if u.work, err = workOf(module.Algorithm, u.Password); err != nil {
		return err
	}
	loaded, err := ctx.LoadModule(u, "HashRaw")
	if err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	u.comparer = loaded.(caddyauth.Comparer)
	return nil
}

// hashModule returns the configuration of the module that compares passwords with
// the algorithm.
func hashModule(algorithm string) json.RawMessage {
	b, _ := json.Marshal(map[string]string{"algorithm": algorithm}) // can't fail
	return b
}

// credential returns a hash that changes with the password.
func (u *User) credential() string {
	sum := sha256.Sum256([]byte(u.Password))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func (u *User) signedIn() oauth.User {
	return oauth.User{
		Subject:    u.Username,
		Credential: u.credential(),
		Username:   u.Username,
		Name:       u.Name,
		Email:      u.Email,
		// The operator entered the address.
		EmailVerified: u.Email != "",
	}
}

// checkPassword returns the user with that name if the password is correct.
//
// It does the same work for every name. Users' passwords may be hashed in several
// ways that take different times. So it always makes one comparison of each kind
// in use, in the same order: with the user's own hash for its kind, and with any
// user's hash for the others, whose results are ignored.
func (h *Handler) checkPassword(username, password string) (*User, error) {
	if len(password) > maxPassword {
		return nil, nil
	}
	user, right := h.users[username], false
	var errs []error
	for _, compared := range h.kinds {
		own := user != nil && user.work == compared.work
		if own {
			compared = user
		}
		same, err := compared.comparer.Compare([]byte(compared.Password), []byte(password))
		errs = append(errs, err)
		right = right || own && same && err == nil
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("comparing passwords: %w", err)
	}
	if !right {
		return nil, nil
	}
	return user, nil
}

// kindsOf returns one user for each kind of work.
func kindsOf(users []*User) []*User {
	var kinds []*User
	for _, u := range users {
		if !slices.ContainsFunc(kinds, func(other *User) bool { return other.work == u.work }) {
			kinds = append(kinds, u)
		}
	}
	return kinds
}

// checkUser reports whether the user may still sign in. It is called before
// tokens are renewed, and for every session.
func (h *Handler) checkUser(_ context.Context, user oauth.User) error {
	if user.Source != "" {
		return h.checkUpstreamUser(user)
	}
	known := h.users[user.Subject]
	switch {
	case known == nil:
		return errors.New("the user no longer exists")
	case known.credential() != user.Credential:
		return errors.New("the user's password was changed")
	}
	return nil
}
