package testkit

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Network connects servers and clients in memory. In a bubble of
// testing/synctest, waiting on a real socket would stop the clock; here time
// passes while both sides of a connection wait.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

// NewNetwork returns a network without servers.
func NewNetwork() *Network { return &Network{listeners: make(map[string]*listener)} }

// lastPort makes the addresses of all networks differ, so that what a process
// remembers about one server isn't taken for another's.
var lastPort atomic.Int32

// Listen returns a listener with its own loopback address.
func (n *Network) Listen() net.Listener {
	serial := int(lastPort.Add(1))
	l := &listener{
		network: n,
		address: &net.TCPAddr{IP: net.IPv4(127, 255, byte(serial>>14), 1), Port: 1<<14 + serial&(1<<14-1)},
		accept:  make(chan net.Conn),
		closed:  make(chan struct{}),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[l.address.String()] = l
	return l
}

// DialContext connects to the listener at address. It has the signature of
// DialContext in [http.Transport].
func (n *Network) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := fmt.Errorf("dialing %s: %w", address, syscall.ECONNREFUSED)
	if l == nil {
		return nil, refused
	}
	client, server := net.Pipe()
	select {
	case l.accept <- conn{server, l.address}:
		return conn{client, l.address}, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Through makes client dial in the network. The client must have its own
// [*http.Transport].
func (n *Network) Through(t testing.TB, client *http.Client) *http.Client {
	t.Helper()
	transport := client.Transport.(*http.Transport)
	transport.DialContext, transport.Proxy = n.DialContext, nil
	t.Cleanup(transport.CloseIdleConnections)
	return client
}

// listener is a server's end of a network.
type listener struct {
	network *Network
	address *net.TCPAddr
	accept  chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, l.address.String())
		close(l.closed)
	})
	return nil
}

// Addr implements [net.Listener].
func (l *listener) Addr() net.Addr { return l.address }

// conn is one side of a connection. Both sides show the listener's address,
// because no test looks at the client's.
type conn struct {
	net.Conn
	address net.Addr
}

// LocalAddr implements [net.Conn].
func (c conn) LocalAddr() net.Addr { return c.address }

// RemoteAddr implements [net.Conn].
func (c conn) RemoteAddr() net.Addr { return c.address }

var _ net.Listener = (*listener)(nil)
