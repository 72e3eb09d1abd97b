// Package buffer keeps the memory of messages and answers for the next ones.
package buffer

import "sync"

// pools hold buffers: those at i have space for smallest<<(2*i) bytes.
var pools [7]sync.Pool

const smallest = 2 << 10

// New returns an empty buffer with space for size bytes.
func New(size int) []byte {
	for i := range pools {
		if class := smallest << (2 * i); size <= class {
			if b, ok := pools[i].Get().(*[]byte); ok {
				return (*b)[:0]
			}
			return make([]byte, 0, class)
		}
	}
	return make([]byte, 0, size)
}

// Grown returns a buffer with what is in b and space for more, at most four times as
// much or limit. b is kept for others.
func Grown(b []byte, limit int) []byte {
	more := append(New(min(max(4*cap(b), smallest), limit)), b...)
	Keep(b)
	return more
}

// Keep keeps a buffer that nothing points into any more.
func Keep(b []byte) {
	for i := range pools {
		if cap(b) == smallest<<(2*i) {
			pools[i].Put(&b)
		}
	}
}
