package engineio

import (
	"syscall"
	"unsafe"
)

// hasRaw says that a connection's descriptor can be read and written without waiting.
const hasRaw = true

// rawWrite and rawRead are system calls on descriptors that never wait, so the runtime is not told of them: while it
// is told of one, it may give the processor to another thread, from which it then has to be got back, and its monitor
// stays on watch. That costs more than the rest of a short write. b must not be empty.
func rawWrite(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))) //nolint:gosec // what syscall.Write does
	return int(n), errno
}

func rawRead(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))) //nolint:gosec // what syscall.Read does
	return int(n), errno
}
