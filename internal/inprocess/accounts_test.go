package inprocess

import "testing"

func TestAccountPage(t *testing.T) {
	t.Parallel()
	const issuer = "https://accounts.example"
	check := func(when, want string) {
		t.Helper()
		if got := AccountPage(issuer); got != want {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
	check("at first", "")
	before := RegisterAccountPage(issuer, issuer+"/before")
	defer RegisterAccountPage("https://other.example", "https://other.example/account")()
	check("registered", issuer+"/before")
	after := RegisterAccountPage(issuer, issuer+"/after")
	check("during a reload", issuer+"/after")
	before()
	check("after a reload", issuer+"/after")
	after()
	check("at the end", "")
}
