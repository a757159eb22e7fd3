package engineio

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/gobwas/ws"
)

// frameRoom is what BeginFrame leaves before the payload: the longest header of an unmasked websocket
// frame and the type digit of an Engine.IO message.
const frameRoom = 10 + 1

// frameOverhead is what a frame counts in a send buffer on top of its bytes: about what its place in the queue
// and, where nobody shares it, the frame itself take.
const frameOverhead = 64

// SharedAttachment is from how many bytes on an attachment goes out from where it lies. Smaller ones are copied: they
// leave in one run with what is before and behind them.
const SharedAttachment = 4 << 10

// Frame is one message as it goes over the wire, or a text message and the binary messages that belong
// to it and must leave with it. It is encoded once, never changes, and is shared by the queues of all
// who get it.
type Frame struct {
	wire     []byte // the websocket frames, one behind the other, but for shared attachments
	bin      *binaries
	deflated atomic.Pointer[Frame]
	textEnd  uint32
	textOff  uint8 // of the packet, type digit included, in wire
	control  bool  // not a message: ping, close, noop
	plain    bool  // not to be compressed
}

// binaries are the binary messages of a frame.
type binaries struct {
	list  [][]byte
	parts [][]byte // what goes over a websocket, in pieces; nil where wire is all of it
	size  int      // of parts
	one   [1][]byte
	two   [2][]byte // back list and parts where there is one message
}

// Frames with a short text have room for it of their own. They fill what the allocator gives for them.
type (
	frame128 struct {
		Frame
		room [128 - frameSize]byte
	}
	frame192 struct {
		Frame
		room [192 - frameSize]byte
	}
	frame256 struct {
		Frame
		room [256 - frameSize]byte
	}
)

const frameSize = unsafe.Sizeof(Frame{})

// BeginFrame returns a Frame in the making, and a buffer to append the text of a message to, with room for sizeHint bytes
// of it. What it already holds is space for the headers. End completes the Frame.
func BeginFrame(sizeHint int) (*Frame, []byte) {
	switch size := frameRoom + sizeHint; {
	case size <= len(frame128{}.room):
		f := &frame128{}
		return &f.Frame, f.room[:frameRoom]
	case size <= len(frame192{}.room):
		f := &frame192{}
		return &f.Frame, f.room[:frameRoom]
	case size <= len(frame256{}.room):
		f := &frame256{}
		return &f.Frame, f.room[:frameRoom]
	}
	return &Frame{}, make([]byte, frameRoom, frameRoom+sizeHint)
}

// End completes a Frame of BeginFrame with the buffer that came with it, grown perhaps, and attachments, which follow as
// binary messages. It takes the buffer over; attachments of SharedAttachment bytes and more must not change any more. It
// returns f.
func (f *Frame) End(buf []byte, attachments ...[]byte) *Frame {
	buf[frameRoom-1] = byte(packetMessage)
	start := putHeader(buf[:frameRoom-1], ws.OpText, len(buf)-(frameRoom-1))
	f.textOff = uint8(frameRoom - 1 - start)
	f.textEnd = uint32(len(buf) - start)
	f.wire = buf[start:]
	if len(attachments) > 0 {
		f.attach(attachments)
	}
	return f
}

// attach puts attachments behind the text.
func (f *Frame) attach(attachments [][]byte) {
	size, shared := len(f.wire), 0
	for _, a := range attachments {
		size += frameRoom
		if len(a) < SharedAttachment {
			size += len(a)
		} else {
			shared++
		}
	}
	// Never grown, so that its parts stay where they are.
	wire := append(make([]byte, 0, size), f.wire...)
	b := &binaries{}
	f.bin = b
	if len(attachments) == 1 {
		b.list, b.parts = b.one[:], b.two[:0]
	} else {
		b.list, b.parts = make([][]byte, len(attachments)), make([][]byte, 0, 2*shared+1)
	}
	if shared == 0 {
		b.parts = nil
	}
	from := 0
	var header [frameRoom]byte
	for i, a := range attachments {
		at := putHeader(header[:frameRoom-1], ws.OpBinary, len(a))
		wire = append(wire, header[at:frameRoom-1]...)
		if len(a) >= SharedAttachment {
			b.list[i] = a
			b.parts = append(b.parts, wire[from:len(wire):len(wire)], a)
			b.size += len(wire) - from + len(a)
			from = len(wire)
			continue
		}
		wire = append(wire, a...)
		b.list[i] = wire[len(wire)-len(a) : len(wire) : len(wire)]
	}
	if shared > 0 && from < len(wire) {
		b.parts = append(b.parts, wire[from:])
		b.size += len(wire) - from
	}
	f.wire = wire
}

// NewTextFrame makes a Frame of one text message.
func NewTextFrame(payload string) *Frame {
	f, buf := BeginFrame(len(payload))
	return f.End(append(buf, payload...))
}

// NewBinaryFrame makes a Frame of one binary message, which is copied.
func NewBinaryFrame(payload []byte) *Frame {
	var header [frameRoom]byte
	at := putHeader(header[:frameRoom-1], ws.OpBinary, len(payload))
	wire := slices.Concat(header[at:frameRoom-1], payload)
	return &Frame{wire: wire, bin: &binaries{list: [][]byte{wire[len(wire)-len(payload):]}}}
}

// controlFrame makes a packet without data, or with little, that is not a message.
func controlFrame(packet string) *Frame {
	wire := append([]byte{0x80 | byte(ws.OpText), byte(len(packet))}, packet...)
	return &Frame{wire: wire, textOff: 2, textEnd: uint32(len(wire)), control: true, plain: true}
}

// openFrame makes the packet that begins a session.
func openFrame(packet []byte) *Frame {
	f, buf := BeginFrame(len(packet))
	f.End(append(buf, packet[1:]...))
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
func (f *Frame) Len() int {
	if f.bin != nil && f.bin.parts != nil {
		return f.bin.size
	}
	return len(f.wire)
}

// parts are the pieces of the frame on a websocket, where it is not one; else nil.
func (f *Frame) parts() [][]byte {
	if f.bin == nil {
		return nil
	}
	return f.bin.parts
}

// appendWire appends what goes over a websocket.
func (f *Frame) appendWire(b []byte) []byte {
	if f.parts() == nil {
		return append(b, f.wire...)
	}
	for _, part := range f.bin.parts {
		b = append(b, part...)
	}
	return b
}

// cost is what the frame counts in a send buffer. A frame of a few bytes takes many times that in memory, so
// that a bound on bytes alone would be none for a client that is sent, or asks for, a lot of small ones.
func (f *Frame) cost() int64 { return int64(f.Len()) + frameOverhead }

// Text is the text payload, without the type digit. It must not be changed.
func (f *Frame) Text() []byte {
	if f.textEnd == 0 {
		return nil
	}
	return f.wire[int(f.textOff)+1 : f.textEnd]
}

// Attachments are the binary messages that follow the text. They must not be changed.
func (f *Frame) Attachments() [][]byte {
	if f.bin == nil {
		return nil
	}
	return f.bin.list
}

// NoCompress returns the same frame, marked to go out uncompressed whatever the transport negotiated.
func (f *Frame) NoCompress() *Frame {
	if f.plain {
		return f
	}
	return &Frame{wire: f.wire, bin: f.bin, textOff: f.textOff, textEnd: f.textEnd, control: f.control, plain: true}
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
	for _, a := range f.Attachments() {
		if len(b) > 0 {
			b = append(b, packetSeparator)
		}
		b = append(b, binaryMark)
		b = base64.StdEncoding.AppendEncode(b, a)
	}
	return b
}
