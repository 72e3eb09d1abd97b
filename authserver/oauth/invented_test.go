package oauth

import (
	"net/url"
	"testing"
)

// What a stranger makes up takes no lock: each would leave a file, or a key.
func TestInventedSecretsTakeNoLock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	locks := 0
	f.store.Fail(func(operation, _ string) error {
		if operation == "lock" {
			locks++
		}
		return nil
	})
	for name, form := range map[string]url.Values{
		"a code":          redeemForm("invented"),
		"a refresh token": refreshForm("invented"),
	} {
		if got := post(t, f.Server, TokenPath, form); got.status != 400 || got.Error != "invalid_grant" || locks != 0 {
			t.Errorf("%s: got %d %s, %d locks", name, got.status, got.body, locks)
		}
	}
}
