//go:build linux

package scenario

import (
	"bytes"
	"strconv"
)

// A stamp is 24 hexadecimal digits at the start of a payload: a number (8) and a time (16).
const stampLen = 24

// payloadLen is the size of a payload where a scenario says nothing else, in bytes: a short chat message.
const payloadLen = 64

// appendStamp appends a stamp, then padding up to size bytes in all.
func appendStamp(dst []byte, number uint32, time int64, size int) []byte {
	dst = appendHex(dst, uint64(number), 8)
	dst = appendHex(dst, uint64(time), 16)
	for i := stampLen; i < size; i++ {
		dst = append(dst, 'x')
	}
	return dst
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[v>>shift&15])
	}
	return dst
}

// parseStamp reads a stamp; not ok means that there is none.
func parseStamp(p []byte) (number uint32, time int64, ok bool) {
	if len(p) < stampLen {
		return 0, 0, false
	}
	n, ok1 := parseHex(p[:8])
	t, ok2 := parseHex(p[8:stampLen])
	return uint32(n), int64(t), ok1 && ok2
}

func parseHex(p []byte) (v uint64, ok bool) {
	for _, c := range p {
		d := uint64(c - '0')
		if d > 9 {
			d = uint64(c-'a') + 10
			if d < 10 || d > 15 {
				return 0, false
			}
		}
		v = v<<4 | d
	}
	return v, true
}

// parseInt reads decimal digits at the start of p and returns how many there are.
func parseInt(p []byte) (v, n int) {
	for n < len(p) && p[n]-'0' <= 9 && n < 9 {
		v = v*10 + int(p[n]-'0')
		n++
	}
	return v, n
}

// acked splits `<kind><id>[...]`, an ack in its text form.
func acked(p []byte, kind string) (id int, args []byte, ok bool) {
	if !bytes.HasPrefix(p, []byte(kind)) {
		return 0, nil, false
	}
	id, n := parseInt(p[len(kind):])
	return id, p[len(kind)+n:], n > 0
}

// event strips `2["name",` off an event.
func event(p []byte, head string) (args []byte, ok bool) {
	if len(p) < len(head) || string(p[:len(head)]) != head {
		return nil, false
	}
	return p[len(head):], true
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }
