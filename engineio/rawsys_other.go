//go:build !unix

package engineio

import "syscall"

// hasRaw says that a connection's descriptor can be read and written without waiting. Here it can't, so that each
// connection is written by a goroutine of its own.
const hasRaw = false

func rawWrite(uintptr, []byte) (int, syscall.Errno) { panic("engineio: no raw connections here") }

func rawWritev(uintptr, [][]byte) (int, syscall.Errno) { panic("engineio: no raw connections here") }

func rawRead(uintptr, []byte) (int, syscall.Errno) { panic("engineio: no raw connections here") }
