//go:build linux

package client

import (
	"encoding/binary"
	"errors"

	"github.com/gobwas/ws"
)

// maxFrame bounds what a server may announce: far above anything that a scenario asks for.
const maxFrame = 64 << 20

var (
	errMasked  = errors.New("websocket: masked frame from a server")
	errTooLong = errors.New("websocket: frame too long")
)

// appendFrame appends a final, masked frame: what a client has to send. Its payload is the prefix and then p.
func appendFrame(dst []byte, op ws.OpCode, prefix string, p []byte, mask [4]byte) []byte {
	dst = append(dst, 0x80|byte(op))
	switch n := len(prefix) + len(p); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(append(dst, prefix...), p...)
	ws.Cipher(dst[start:], mask, 0)
	return dst
}

// frame is the head of a frame at the start of a buffer.
type frame struct {
	op     ws.OpCode
	fin    bool
	header int
	length int
}

// parseFrame reads a frame's head. When p is too short for it, ok is false.
func parseFrame(p []byte) (f frame, ok bool, err error) {
	if len(p) < 2 {
		return f, false, nil
	}
	f.op, f.fin = ws.OpCode(p[0]&0x0f), p[0]&0x80 != 0
	if p[1]&0x80 != 0 {
		return f, false, errMasked
	}
	f.header, f.length = 2, int(p[1])
	switch f.length {
	case 126:
		if len(p) < 4 {
			return f, false, nil
		}
		f.header, f.length = 4, int(binary.BigEndian.Uint16(p[2:]))
	case 127:
		if len(p) < 10 {
			return f, false, nil
		}
		n := binary.BigEndian.Uint64(p[2:])
		if n > maxFrame {
			return f, false, errTooLong
		}
		f.header, f.length = 10, int(n)
	}
	return f, true, nil
}
