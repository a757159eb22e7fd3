//go:build unix && !linux

package engineio

import (
	"errors"
	"syscall"
)

// hasRaw says that a connection's descriptor can be read and written without waiting.
const hasRaw = true

func rawWrite(fd uintptr, b []byte) (int, syscall.Errno) { return counted(syscall.Write(int(fd), b)) }

func rawWritev(fd uintptr, pieces [][]byte) (int, syscall.Errno) { return rawWrite(fd, pieces[0]) }

func rawRead(fd uintptr, b []byte) (int, syscall.Errno) { return counted(syscall.Read(int(fd), b)) }

func counted(n int, err error) (int, syscall.Errno) {
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = syscall.EIO
	}
	return n, errno
}
