package authserver

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
)

// The hashes of testPassword, of several kinds.
const (
	bcrypt5     = "$2a$05$0PIlvoamRCa64A3bUEewT.auI0TBWmXrrqNUP2bhl790ShyajmUoC"
	argon2id    = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$/M91eeHPN8zgTnkUZID59l/jfFKTse9nAiCk9bOPLjs"
	argon2id128 = "$argon2id$v=19$m=128,t=1,p=1$c2FsdHNhbHRzYWx0$h7AGQmesst6b4JKyhfrr99BN1NxI6ro5hKRQA0lEJ9A"
)

// counting records what is compared, by its kind of work.
type counting struct {
	caddyauth.Comparer
	work string
	log  *[]string
	err  error
}

func (c *counting) Compare(hashed, plain []byte) (bool, error) {
	*c.log = append(*c.log, c.work)
	if c.err != nil {
		return false, c.err
	}
	return c.Comparer.Compare(hashed, plain)
}

// mixed is a site with users of several kinds, and what it compares.
func mixed(t *testing.T) (*site, *[]string) {
	t.Helper()
	s := newTestSite(t, func(h *Handler) {
		h.Users = []*User{
			{Username: "cheap", Password: testHash},
			{Username: "dear", Password: bcrypt5},
			{Username: "cheap2", Password: testHash},
			{Username: "argon", Password: argon2id},
			{Username: "argon128", Password: argon2id128},
		}
	})
	log := new([]string)
	for _, u := range s.Users {
		u.comparer = &counting{Comparer: u.comparer, work: u.work, log: log}
	}
	return s, log
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	s, _ := mixed(t)
	for _, u := range s.Users {
		got, err := s.checkPassword(u.Username, testPassword)
		if err != nil || got == nil || got.Username != u.Username {
			t.Errorf("%s: got %v, %v", u.Username, got, err)
		}
		for name, password := range map[string]string{
			"wrong": "demo-passwore", "empty": "", "the hash": u.Password, "oversized": strings.Repeat("x", maxPassword+1), "longer": testPassword + "x",
		} {
			if got, err := s.checkPassword(u.Username, password); got != nil || err != nil {
				t.Errorf("%s, %s: got %v, %v", u.Username, name, got, err)
			}
		}
	}
	for _, name := range []string{"nobody", "", "CHEAP", "cheap "} {
		if got, err := s.checkPassword(name, testPassword); got != nil || err != nil {
			t.Errorf("%q: got %v, %v", name, got, err)
		}
	}
}

// Every name costs the same work in the same order, whether or not there is such
// a user, however their password is hashed, and whatever was given for it.
func TestSameWorkForEveryName(t *testing.T) {
	t.Parallel()
	s, log := mixed(t)
	want := []string{"bcrypt 4", "bcrypt 5", "argon2id 64 1 1 16 43", "argon2id 128 1 1 16 43"}
	for _, name := range []string{"cheap", "cheap2", "dear", "argon", "argon128", "nobody", ""} {
		for _, password := range []string{testPassword, "wrong", ""} {
			*log = nil
			if _, err := s.checkPassword(name, password); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(*log, want) {
				t.Errorf("%q with %q: compared %q, want %q", name, password, *log, want)
			}
		}
	}
	// Nor does one that is never compared.
	for _, name := range []string{"cheap", "nobody"} {
		*log = nil
		if _, err := s.checkPassword(name, strings.Repeat("x", maxPassword+1)); err != nil || len(*log) > 0 {
			t.Errorf("%q, oversized: compared %q, %v", name, *log, err)
		}
	}
}

// A password that can't be compared is not a wrong one, and that is so for every
// name.
func TestPasswordsThatCantBeCompared(t *testing.T) {
	t.Parallel()
	s, _ := mixed(t)
	broken := errors.New("out of order")
	s.users["argon"].comparer.(*counting).err = broken
	for _, name := range []string{"cheap", "argon", "nobody"} {
		if got, err := s.checkPassword(name, testPassword); got != nil || !errors.Is(err, broken) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// A user's hash never answers for another user.
func TestStandInsCountForNothing(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, func(h *Handler) {
		h.Users = []*User{{Username: "cheap", Password: testHash}, {Username: "other", Password: bcrypt5[:len(bcrypt5)-5] + "aaaaa"}}
	})
	for _, name := range []string{"other", "nobody"} {
		if got, err := s.checkPassword(name, testPassword); got != nil || err != nil {
			t.Errorf("%s, with another user's password: got %v, %v", name, got, err)
		}
	}
}

// testHashModule is a module for hashes of its own.
type testHashModule struct{}

func (testHashModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.authentication.hashes.reversed_for_tests", New: func() caddy.Module { return new(testHashModule) }}
}

func (testHashModule) Compare(hashed, plain []byte) (bool, error) {
	slices.Reverse(plain)
	return string(hashed) == string(plain), nil
}

func init() { caddy.RegisterModule(testHashModule{}) }

func TestHashModules(t *testing.T) {
	t.Parallel()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	for _, tt := range []struct{ name, hash, password, want string }{
		{"bcrypt by default", "", testHash, ""},
		{"argon2id by its look", "", argon2id, ""},
		{"said", `{"algorithm":"argon2id"}`, argon2id, ""},
		{"another module's", `{"algorithm":"reversed_for_tests"}`, "drowssap-omed", ""},

		{"no password", "", "", "the password is missing"},
		{"in the clear", "", testPassword, "caddy hash-password"},
		{"another kind than said", `{"algorithm":"argon2id"}`, testHash, "leave argon2id out"},
		{"the other way round", `{"algorithm":"bcrypt"}`, argon2id, "hashed with argon2id, not with bcrypt"},
		{"no algorithm", `{}`, testHash, "the algorithm is missing"},
		{"no object", `"bcrypt"`, testHash, "hash:"},
		{"an unknown one", `{"algorithm":"md5"}`, "x", "unknown module"},
		{"too costly", "", strings.Replace(testHash, "$04$", "$31$", 1), "14 is enough"},
		{"argon2id, too much memory", "", strings.Replace(argon2id, "m=64", "m=4194304", 1), "too expensive"},
		{"argon2id, too many passes", "", strings.Replace(argon2id, "m=64,t=1", "m=1048576,t=5", 1), "too expensive"},
		{"argon2id, no passes", "", strings.Replace(argon2id, "t=1", "t=0", 1), "above zero"},
		{"argon2id, no threads", "", strings.Replace(argon2id, "p=1", "p=0", 1), "above zero"},
		{"argon2id, another order", "", strings.Replace(argon2id, "m=64,t=1", "t=1,m=64", 1), "not hashed with argon2id"},
		{"argon2id, without names", "", strings.Replace(argon2id, "m=64", "64", 1), "in this order"},
		{"argon2id, a short hash", "", argon2id[:strings.LastIndexByte(argon2id, '$')+1] + "AAAA", "too short"},
		{"argon2id, no hash", "", argon2id[:strings.LastIndexByte(argon2id, '$')+1], "too short"},
		{"argon2id, a short salt", "", strings.Replace(argon2id, "c2FsdHNhbHRzYWx0", "c2Fs", 1), "too short"},
		{"argon2id, broken", "", "$argon2id$v=19$m=64", "--algorithm argon2id"},
		{"argon2i", "", strings.Replace(argon2id, "argon2id", "argon2i", 1), "not hashed"},
	} {
		u := &User{Username: "ada", Password: tt.password}
		if tt.hash != "" {
			u.HashRaw = []byte(tt.hash)
		}
		err := u.provision(ctx)
		switch {
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want == "":
			if same, err := u.comparer.Compare([]byte(u.Password), []byte(testPassword)); !same || err != nil {
				t.Errorf("%s: the password doesn't fit: %v", tt.name, err)
			}
		}
	}
}

func TestWorkOfOtherModules(t *testing.T) {
	t.Parallel()
	for hash, want := range map[string]string{
		"$scrypt$ln=16,r=8,p=1$c2FsdA$aGFzaA": "other$scrypt$ln=16,r=8,p=1",
		"$x$salt$hash":                        "other$x",
		"$x$hash":                             "other",
		"hash":                                "other",
	} {
		if got, err := workOf("other", hash); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", hash, got, err, want)
		}
	}
}
