package inprocess

import (
	"fmt"
	"testing"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	const issuer = "https://signin.example"
	check := func(when, want string) {
		t.Helper()
		if got := fmt.Sprint(SignIn(issuer)); got != want {
			t.Errorf("%s: got %s, want %s", when, got, want)
		}
	}
	check("at first", "[]")
	before := RegisterSignIn(issuer, []string{"1 user"})
	after := RegisterSignIn(issuer, []string{"2 users", "github"})
	check("during a reload", "[2 users github]")
	before()
	check("after a reload", "[2 users github]")
	after()
	check("at the end", "[]")
}
