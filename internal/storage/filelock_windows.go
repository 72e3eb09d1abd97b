package storage

import (
	"errors"
	"syscall"
)

const (
	fileFlagDeleteOnClose = 0x04000000

	errorSharingViolation = syscall.Errno(32)
)

// tryLockFile opens a file that no other process can open meanwhile, and that is
// deleted when it is closed.
func tryLockFile(name string) (unlock func(), err error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	const nobodyElse = 0
	f, err := syscall.CreateFile(path, syscall.GENERIC_WRITE, nobodyElse, nil, syscall.OPEN_ALWAYS,
		syscall.FILE_ATTRIBUTE_NORMAL|fileFlagDeleteOnClose, 0)
	// Access is denied while the file is being deleted.
	if errors.Is(err, errorSharingViolation) || errors.Is(err, syscall.ERROR_ACCESS_DENIED) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = syscall.CloseHandle(f) }, nil
}
