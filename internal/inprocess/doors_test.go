package inprocess_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
)

func TestDoors(t *testing.T) {
	t.Parallel()
	const issuer = "https://doors.example"
	names := func() (names string) {
		for _, d := range inprocess.Doors(issuer) {
			names += d.Resource
		}
		return names
	}
	if got := names(); got != "" {
		t.Errorf("nobody registered, and there is %s", got)
	}
	a := inprocess.RegisterDoor(issuer, inprocess.Door{Resource: "a"})
	b := inprocess.RegisterDoor(issuer, inprocess.Door{Resource: "b"})
	// A reload: the next configuration comes before this one goes.
	again := inprocess.RegisterDoor(issuer, inprocess.Door{Resource: "a"})
	other := inprocess.RegisterDoor("https://other.example", inprocess.Door{Resource: "x"})
	defer other()
	if got := names(); got != "aba" {
		t.Errorf("got %s, want aba", got)
	}
	list := inprocess.Doors(issuer)
	a()
	a()
	if got := names(); got != "ba" {
		t.Errorf("after one is released twice: got %s, want ba", got)
	}
	if list[0].Resource != "a" || list[1].Resource != "b" {
		t.Errorf("a list that was handed out changes: %v", list)
	}
	b()
	again()
	if got := names(); got != "" {
		t.Errorf("got %s, want none", got)
	}
}
