package storage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// The locks of certmagic.FileStorage are files that a goroutine keeps fresh. That
// goroutine outlives the lock by some seconds, and then keeps fresh whatever lock
// has the same name: also that of another process which was killed, and which
// nobody ever releases. So on files, locks are the operating system's, which end
// with the process that holds them. On a network's folder they work between
// machines if the file system has them, as NFS does.

var (
	// errLocked says that another holds the lock.
	errLocked = errors.New("the lock is held")
	// errNoLocks says that the file system has no locks.
	errNoLocks = errors.New("the file system has no locks")
)

// maxFilePause is the longest pause between two looks at a lock, which processes
// share seldom and hold briefly.
const maxFilePause = 50 * time.Millisecond

// lockFile waits until no other process holds the lock of that name in the folder
// dir. Its error is errNoLocks if there can be none.
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
