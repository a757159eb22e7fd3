package engineio

import (
	"syscall"
	"unsafe"
)

// hasRaw says that a connection's descriptor can be read and written without waiting.
const hasRaw = true

// rawWrite, rawWritev and rawRead are system calls on descriptors that never wait, so the runtime is not told of them: while it
// is told of one, it may give the processor to another thread, from which it then has to be got back, and its monitor
// stays on watch. That costs more than the rest of a short write. b must not be empty.
func rawWrite(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))) //nolint:gosec // what syscall.Write does
	return int(n), errno
}

// rawWritev writes the first of some pieces, none of which may be empty.
func rawWritev(fd uintptr, pieces [][]byte) (int, syscall.Errno) {
	var iov [16]syscall.Iovec
	count := min(len(pieces), len(iov))
	for i, p := range pieces[:count] {
		iov[i].Base = unsafe.SliceData(p)
		iov[i].SetLen(len(p))
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov)), uintptr(count)) //nolint:gosec // as above
	return int(n), errno
}

func rawRead(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))) //nolint:gosec // what syscall.Read does
	return int(n), errno
}
