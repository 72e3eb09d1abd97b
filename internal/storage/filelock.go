package storage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// The locks of certmagic.FileStorage are files that a goroutine keeps fresh. The
// goroutine outlives the lock by some seconds, and then keeps any lock of the
// same name fresh, even one of a killed process that nobody will release. So for
// files, this package uses the operating system's locks, which end with the
// process that holds them. In a network folder they work between machines if the
// file system supports locks, as NFS does.

var (
	// errLocked means that another process holds the lock.
	errLocked = errors.New("the lock is held")
	// errNoLocks means that the file system doesn't support locks.
	errNoLocks = errors.New("the file system has no locks")
)

// maxFilePause is the longest pause between two attempts to take a lock.
// Processes seldom share a lock, and hold it briefly.
const maxFilePause = 50 * time.Millisecond

// lockFile waits until no other process holds the lock of that name in the folder
// dir. The error is errNoLocks if the file system doesn't support locks.
func lockFile(ctx context.Context, dir, name string) (unlock func(), err error) {
	name = filepath.Join(dir, name+".lock")
	for pause := time.Millisecond; ; pause = min(2*pause, maxFilePause) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		unlock, err := tryLockFile(name)
		if !errors.Is(err, errLocked) {
			return unlock, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}
