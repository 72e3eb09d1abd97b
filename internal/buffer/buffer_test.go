package buffer_test

import (
	"bytes"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/buffer"
)

// A buffer is empty and has the space that was asked for, whatever others left in it.
func TestNew(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 2048, 2049, 1 << 20, 64 << 20} {
		for range 3 {
			b := buffer.New(size)
			if len(b) != 0 || cap(b) < size {
				t.Errorf("%d bytes: got %d of %d", size, len(b), cap(b))
			}
			buffer.Keep(append(b, "left"...))
		}
	}
}

// What is in a buffer stays in it as it grows, to no more than is wanted.
func TestGrown(t *testing.T) {
	t.Parallel()
	b := append(buffer.New(0), "kept"...)
	for range 8 {
		before := cap(b)
		b = buffer.Grown(b, 1<<20)
		if !bytes.Equal(b, []byte("kept")) || cap(b) > max(4*before, 1<<20)*4 {
			t.Fatalf("grown from %d to %d, with %q", before, cap(b), b)
		}
	}
	// A foreign one is no buffer, and kept by nobody.
	buffer.Keep(make([]byte, 0, 77))
}
