package testkit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// ports hands out every port once.
var ports = struct {
	sync.Mutex
	given map[int]bool
}{given: make(map[int]bool)}

// FreePort returns a port of loopback that nobody listens on. It is below those
// that systems give to outgoing connections: one of these could take it before
// the test does.
func FreePort(t testing.TB) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range 1000 {
		port := 20_000 + rand.IntN(10_000)
		if ports.given[port] {
			continue
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		ln.Close()
		ports.given[port] = true
		return port
	}
	t.Fatal("no free port")
	return 0
}

// FreeAddress returns a loopback address with a port of [FreePort].
func FreeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePort(t))
}
