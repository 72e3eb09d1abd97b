package authserver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
)

// workOf returns a text that is the same for all hashes that take the same time
// to compare. It returns an error if a password can't be compared with the hash,
// or if the comparison would take so long that sign-ins would overload the
// machine.
func workOf(algorithm, hash string) (string, error) {
	switch algorithm {
	case "":
		return "", errors.New("hash: the algorithm is missing, for example bcrypt")
	case "bcrypt":
		return bcryptWork(hash)
	case "argon2id":
		return argon2idWork(hash)
	}
	// Hashes of other modules are only known to follow the convention
	// $name$parameters$salt$hash.
	if parts := strings.Split(hash, "$"); len(parts) > 3 {
		return algorithm + strings.Join(parts[:len(parts)-2], "$"), nil
	}
	return algorithm, nil
}

func bcryptWork(hash string) (string, error) {
	if strings.HasPrefix(hash, "$argon2id$") {
		return "", errors.New("the password is hashed with argon2id, not with bcrypt")
	}
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil {
		return "", errors.New("the password is not hashed: hash it with `caddy hash-password`")
	}
	if cost > 16 {
		return "", fmt.Errorf("a bcrypt cost of %d makes every sign-in, and every guess, take many seconds: 14 is enough", cost)
	}
	return fmt.Sprintf("bcrypt %d", cost), nil
}

const (
	// maxArgonMemory bounds the memory for one comparison, in KiB.
	maxArgonMemory = 1 << 20
	// maxArgonWork bounds memory times passes. Caddy's own parameters need a
	// hundredth of it.
	maxArgonWork = 4 << 20
)

func argon2idWork(hash string) (string, error) {
	if strings.HasPrefix(hash, "$2") {
		return "", errors.New("the password is hashed with bcrypt, not with argon2id: leave argon2id out")
	}
	if _, _, err := caddyauth.DecodeHash([]byte(hash)); err != nil {
		return "", fmt.Errorf("the password is not hashed with argon2id: hash it with `caddy hash-password --algorithm argon2id` (%w)", err)
	}
	parts := strings.Split(hash, "$") // six, as checked above
	var memory, passes, threads uint64
	for _, p := range []struct {
		name  string
		value *uint64
	}{{"m=", &memory}, {"t=", &passes}, {"p=", &threads}} {
		var text string
		text, parts[3], _ = strings.Cut(parts[3], ",")
		digits, ok := strings.CutPrefix(text, p.name)
		var err error
		if *p.value, err = strconv.ParseUint(digits, 10, 32); !ok || err != nil || *p.value == 0 {
			return "", errors.New("the password's hash does not have the argon2id parameters m, t and p, in this order and above zero")
		}
	}
	switch {
	case memory > maxArgonMemory || memory*passes > maxArgonWork:
		return "", fmt.Errorf("argon2id with %d KiB of memory and %d passes makes every sign-in, and every guess, too expensive: use the defaults of `caddy hash-password --algorithm argon2id`", memory, passes)
	case len(parts[4]) < 11 || len(parts[5]) < 22:
		return "", errors.New("the password's hash is too short: argon2id needs a salt of at least 8 bytes and a hash of at least 16")
	}
	return fmt.Sprintf("argon2id %d %d %d %d %d", memory, passes, threads, len(parts[4]), len(parts[5])), nil
}
