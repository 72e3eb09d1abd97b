//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package storage

import (
	"errors"
	"os"
	"syscall"
)

// tryLockFile takes the lock of a file, and removes the file when the lock is
// released.
func tryLockFile(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
	case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EINTR):
		err = errLocked
	case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.EINVAL):
		err = errNoLocks
	}
	if err == nil && !isFile(f, name) {
		// The previous holder removed the file after it was opened here. Nobody
		// else would find this lock.
		err = errLocked
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		// The file is removed before the lock ends. Afterwards it could be
		// another holder's.
		_ = os.Remove(name)
		f.Close()
	}, nil
}

// isFile reports whether f is the file of that name.
func isFile(f *os.File, name string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(name)
	return err == nil && os.SameFile(open, named)
}
