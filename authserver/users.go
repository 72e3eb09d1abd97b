package authserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
)

// User is somebody who signs in with a password.
type User struct {
	// The user name, which is also the subject of their tokens.
	Username string `json:"username"`

	// The password, hashed with bcrypt as `caddy hash-password` does it.
	Password string `json:"password"`

	// The full name, for pages and tokens.
	Name string `json:"name,omitempty"`

	// The e-mail address, for pages and tokens.
	Email string `json:"email,omitempty"`
}

// maxPassword bounds a password, in bytes. bcrypt looks at the first 72.
const maxPassword = 1024

func (u *User) check() error {
	switch {
	case u.Username == "":
		return errors.New("the user name is missing")
	case strings.ContainsFunc(u.Username, func(r rune) bool { return r <= ' ' || r == ':' || r == 0x7f }):
		// The colon is for users of an upstream.
		return errors.New("a user name has no blanks, colons or control characters")
	case len(u.Username) > 100:
		return errors.New("the user name is too long")
	}
	cost, err := bcrypt.Cost([]byte(u.Password))
	if err != nil {
		return errors.New("the password is not hashed with bcrypt: `caddy hash-password` does it")
	}
	if cost > 16 {
		return fmt.Errorf("bcrypt's cost of %d makes every sign-in, and every guess, take many seconds: 14 is enough", cost)
	}
	return nil
}

// credential changes with the password.
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
		// The operator wrote it down.
		EmailVerified: u.Email != "",
	}
}

// checkPassword reports whether password is the user's. It takes the time of
// bcrypt also if there is no such user, so that nobody can tell. At most one
// password per processor but one is checked at a time: guesses must not take
// the machine away from those who are signed in.
func (h *Handler) checkPassword(ctx context.Context, username, password string) (*User, error) {
	select {
	case h.state.passwords <- struct{}{}:
		defer func() { <-h.state.passwords }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to check a password: %w", context.Cause(ctx))
	}
	user, hash := h.users[username], h.noPassword
	if user != nil {
		hash = []byte(user.Password)
	}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	if user == nil || err != nil || len(password) > maxPassword {
		return nil, nil
	}
	return user, nil
}

// noPassword returns a hash of the highest cost among the users', which no
// password has: its last part is not one that bcrypt makes.
func noPassword(users []*User) []byte {
	cost := bcrypt.DefaultCost
	for _, u := range users {
		if c, err := bcrypt.Cost([]byte(u.Password)); err == nil {
			cost = max(cost, c)
		}
	}
	return fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat(".", 53))
}

// welcome reports whether the user may still be here: it is asked before tokens
// are renewed, and of every session.
func (h *Handler) welcome(_ context.Context, user oauth.User) error {
	if user.Source != "" {
		return h.welcomeFromUpstream(user)
	}
	known := h.users[user.Subject]
	switch {
	case known == nil:
		return errors.New("there is no such user any longer")
	case known.credential() != user.Credential:
		return errors.New("the user's password was changed")
	}
	return nil
}
