package engineio

import (
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"

	"github.com/gobwas/ws"
)

// frameRoom is what BeginFrame leaves before the payload: the longest header of an unmasked websocket
// frame and the type digit of an Engine.IO message.
const frameRoom = 10 + 1

// frameOverhead is what a frame counts in a send buffer on top of its bytes: about what its place in the queue
// and, where nobody shares it, the frame itself take.
const frameOverhead = 64

// Frame is one message as it goes over the wire, or a text message and the binary messages that belong
// to it and must leave with it. It is encoded once, never changes, and is shared by the queues of all
// who get it.
type Frame struct {
	wire        []byte   // the websocket frames, one behind the other
	attachments [][]byte // the binary messages, as parts of wire
	deflated    atomic.Pointer[[]byte]
	textOff     uint8 // of the packet, type digit included, in wire
	textEnd     uint32
	control     bool // not a message: ping, close, noop
	plain       bool // not to be compressed
}

// BeginFrame returns a buffer to append the text of a message to, with room for sizeHint bytes of it.
// What it already holds is space for the headers. EndFrame makes the Frame.
func BeginFrame(sizeHint int) []byte {
	return make([]byte, frameRoom, frameRoom+sizeHint)
}

// EndFrame makes a Frame of a buffer that BeginFrame gave out, and of attachments, which follow as
// binary messages. It takes the buffer over; the attachments are copied.
func EndFrame(buf []byte, attachments ...[]byte) *Frame {
	f := &Frame{}
	buf[frameRoom-1] = byte(packetMessage)
	start := putHeader(buf[:frameRoom-1], ws.OpText, len(buf)-(frameRoom-1))
	f.textOff = uint8(frameRoom - 1 - start)
	f.textEnd = uint32(len(buf) - start)
	if len(attachments) == 0 {
		f.wire = buf[start:]
		return f
	}
	size := len(buf)
	for _, a := range attachments {
		size += frameRoom + len(a)
	}
	wire := make([]byte, 0, size-start)
	wire = append(wire, buf[start:]...)
	f.attachments = make([][]byte, len(attachments))
	var header [frameRoom]byte
	for i, a := range attachments {
		at := putHeader(header[:frameRoom-1], ws.OpBinary, len(a))
		wire = append(wire, header[at:frameRoom-1]...)
		wire = append(wire, a...)
		f.attachments[i] = wire[len(wire)-len(a) : len(wire) : len(wire)]
	}
	f.wire = wire
	return f
}

// NewTextFrame makes a Frame of one text message.
func NewTextFrame(payload string) *Frame {
	return EndFrame(append(BeginFrame(len(payload)), payload...))
}

// NewBinaryFrame makes a Frame of one binary message, which is copied.
func NewBinaryFrame(payload []byte) *Frame {
	var header [frameRoom]byte
	at := putHeader(header[:frameRoom-1], ws.OpBinary, len(payload))
	f := &Frame{wire: append(append(make([]byte, 0, frameRoom+len(payload)), header[at:frameRoom-1]...), payload...)}
	f.attachments = [][]byte{f.wire[len(f.wire)-len(payload):]}
	return f
}

// controlFrame makes a packet without data, or with little, that is not a message.
func controlFrame(packet string) *Frame {
	wire := append([]byte{0x80 | byte(ws.OpText), byte(len(packet))}, packet...)
	return &Frame{wire: wire, textOff: 2, textEnd: uint32(len(wire)), control: true, plain: true}
}

// openFrame makes the packet that begins a session.
func openFrame(packet []byte) *Frame {
	buf := append(BeginFrame(len(packet)), packet[1:]...)
	f := EndFrame(buf)
	f.wire[f.textOff] = byte(packetOpen)
	f.control, f.plain = true, true
	return f
}

// putHeader writes the header of a final, unmasked frame so that it ends where room ends, and returns
// where it begins.
func putHeader(room []byte, op ws.OpCode, length int) int {
	var at int
	end := len(room)
	switch {
	case length < 126:
		at = end - 2
		room[at+1] = byte(length)
	case length <= 0xffff:
		at = end - 4
		room[at+1] = 126
		binary.BigEndian.PutUint16(room[at+2:], uint16(length))
	default:
		at = end - 10
		room[at+1] = 127
		binary.BigEndian.PutUint64(room[at+2:], uint64(length))
	}
	room[at] = 0x80 | byte(op)
	return at
}

// Len is the size on a websocket in bytes, headers included.
func (f *Frame) Len() int { return len(f.wire) }

// cost is what the frame counts in a send buffer. A frame of a few bytes takes many times that in memory, so
// that a bound on bytes alone would be none for a client that is sent, or asks for, a lot of small ones.
func (f *Frame) cost() int64 { return int64(len(f.wire)) + frameOverhead }

// Text is the text payload, without the type digit. It must not be changed.
func (f *Frame) Text() []byte {
	if f.textEnd == 0 {
		return nil
	}
	return f.wire[int(f.textOff)+1 : f.textEnd]
}

// Attachments are the binary messages that follow the text. They must not be changed.
func (f *Frame) Attachments() [][]byte { return f.attachments }

// NoCompress returns the same frame, marked to go out uncompressed whatever the transport negotiated.
func (f *Frame) NoCompress() *Frame {
	if f.plain {
		return f
	}
	return &Frame{wire: f.wire, attachments: f.attachments, textOff: f.textOff, textEnd: f.textEnd, control: f.control, plain: true}
}

// Compressible says whether a transport may compress the frame.
func (f *Frame) Compressible() bool { return !f.plain }

// appendPolling appends the frame's packets to a polling payload (Engine.IO v4, "HTTP long-polling").
func (f *Frame) appendPolling(b []byte) []byte {
	if f.textEnd != 0 {
		if len(b) > 0 {
			b = append(b, packetSeparator)
		}
		b = append(b, f.wire[f.textOff:f.textEnd]...)
	}
	for _, a := range f.attachments {
		if len(b) > 0 {
			b = append(b, packetSeparator)
		}
		b = append(b, binaryMark)
		b = base64.StdEncoding.AppendEncode(b, a)
	}
	return b
}
