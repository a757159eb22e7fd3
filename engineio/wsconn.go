package engineio

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Websocket close codes that this package sends (RFC 6455, section 7.4.1). closeNoStatus is a close frame
// without a code; 0 sends no frame.
const (
	closeProtocolError = uint16(ws.StatusProtocolError)
	closeInvalidData   = uint16(ws.StatusInvalidFramePayloadData)
	closeTooLarge      = uint16(ws.StatusMessageTooBig)
	closeTryLater      = uint16(1013)
	closeNoStatus      = uint16(ws.StatusNoStatusRcvd)
	closeLast          = ws.StatusCode(4999) // RFC 6455 gives the codes beyond no meaning; Node's websocket library refuses them too
	closeEcho          = uint16(1)           // not a code: a close frame with the code and the reason of the client's own
)

// wsConn is a websocket connection. One goroutine at a time has it, by turns one that waits and one of the crew: it reads
// it, and is the only one to close it; others end it with farewell or kick.
type wsConn struct {
	net.Conn
	raw     syscall.RawConn // nil where the connection has no descriptor (TLS)
	srv     *Server
	s       *Session
	deflate bool        // permessage-deflate was negotiated
	probing *time.Timer // bounds an upgrade; nil once the connection carries the session

	// Where a poller waits for the connection, who raises turns from zero has it served, and who serves it has it until
	// turns is zero again.
	poller atomic.Pointer[poller]
	turns  atomic.Int32
	hung   atomic.Bool // there is an end to be read, behind what else is there
	kicked atomic.Bool
	fd     int

	parted *time.Timer   // bounds what is left of a connection that a poller waits for; Server.partMu
	gone   bool          // closed by its reader; Server.partMu
	told   bool          // that it ends; Server.partMu
	said   chan struct{} // closed when the farewell was written, where that takes a goroutine; Server.partMu

	in       readOp
	message  []byte // the fragments so far of a message
	goodbye  []byte // what the client's close frame held
	opcode   ws.OpCode
	deflated bool // the message under way is compressed
	inflight bool // a fragmented message is under way
}

func newWSConn(conn net.Conn, srv *Server, s *Session) *wsConn {
	c := &wsConn{Conn: conn, srv: srv, s: s}
	if sc, ok := conn.(syscall.Conn); ok && hasRaw {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	return c
}

// wsError is a violation of the websocket protocol, with the code to answer it with.
type wsError struct {
	code uint16
	msg  string
}

func (e *wsError) Error() string { return e.msg }

var (
	errPeerClosed = errors.New("client closed the websocket")
	errTooBig     = &wsError{closeTooLarge, "message too large"}
	errBadText    = &wsError{closeInvalidData, "text is not UTF-8"}
	errBadClose   = &wsError{closeProtocolError, "malformed close frame"}
	errBadDeflate = &wsError{closeInvalidData, "malformed compressed data"}
)

// start begins the reading of the connection, which goes on to its end. taken are bytes that arrived with the
// handshake.
func (c *wsConn) start(taken []byte) {
	c.srv.tasks.Add(1) // until leave
	if len(taken) > 0 {
		c.in.buf = getBuffer(max(len(taken), readBufferSize))
		c.in.n = copy(c.in.buf, taken)
	}
	switch {
	case c.raw != nil && c.join(c.srv.pollerOf(c.s)):
	case len(taken) > 0:
		c.srv.engage(c)
	default:
		go c.wait()
	}
}

// join has a poller wait for the connection. It reports false when that is not possible.
func (c *wsConn) join(p *poller) bool {
	if p == nil {
		return false
	}
	c.turns.Store(1)
	c.poller.Store(p)
	if err := p.add(c); err != nil {
		c.poller.Store(nil)
		c.srv.opts.Logger.Warn().Err(err).Msg("a websocket needs a goroutine of its own")
		return false
	}
	if c.in.n > 0 || c.kicked.Load() || !c.turns.CompareAndSwap(1, 0) { // a kick before c.poller was set lined up nothing
		p.push(c)
	}
	return true
}

// serve handles what has arrived, by one read. What is left is served when others have had their turn.
func (c *wsConn) serve() {
	seen := c.turns.Load() // before the read: what comes later is another turn
	more := true
	switch {
	case c.kicked.Load():
		c.in.err = os.ErrDeadlineExceeded
	case c.in.n == 0:
		more = c.in.readNow(uintptr(c.fd), &c.hung)
	}
	work, err := c.handleRead()
	if err != nil {
		c.finishReading(work, err)
		return
	}
	c.in.release()
	if more || !c.turns.CompareAndSwap(seen, 0) {
		c.poller.Load().push(c)
	}
	if work != nil {
		c.s.work(work)
	}
}

// wait is what a connection does without a poller while nothing arrives.
func (c *wsConn) wait() {
	c.in.read(c)
	c.srv.engage(c)
}

// Run implements Work for wait: it handles what has arrived, and waits for more or ends the connection.
func (c *wsConn) Run() {
	work, err := c.handleRead()
	if err != nil {
		c.finishReading(work, err)
		return
	}
	go c.wait()
	if work != nil {
		c.s.work(work)
	}
}

// handleRead handles what the last read has brought, the error too.
func (c *wsConn) handleRead() (work Work, err error) {
	err = c.in.err
	if n := c.in.n; n > 0 {
		c.in.n = 0
		c.in.have += n
		c.srv.stats.bytesIn.Add(uint64(n))
		var failed error
		if work, failed = c.handOver(); failed != nil {
			err = failed
		}
	}
	return work, err
}

// finishReading ends the connection, whose last batch left some work.
func (c *wsConn) finishReading(work Work, err error) {
	if work != nil {
		c.srv.engage(putOff{c.s, work})
	}
	defer c.srv.tasks.Done()
	defer c.leave()
	switch {
	case c.probing != nil:
		c.probing.Stop()
		c.s.dropProbe(c)
		c.farewell(closeNoStatus)
		c.linger()
	case c.end(err):
		c.linger()
	}
	c.in.have = 0
	c.in.release()
}

// refuse ends a connection that no session takes.
func (c *wsConn) refuse() {
	defer c.leave()
	c.farewell(closeNoStatus)
	c.linger()
	c.in.have = 0
	c.in.release()
}

// end ends the session for what ended the reading. It reports whether the client may still be sending.
func (c *wsConn) end(err error) bool {
	switch e := err.(type) { //nolint:errorlint // made here or below, never wrapped
	case *wsError:
		c.s.finish(ReasonTransportError, e, e.code)
		return true
	case *packetError:
		c.s.fail(err)
		return true
	}
	switch {
	case errors.Is(err, errClientClosed), errors.Is(err, errPacket), errors.Is(err, errDirection), errors.Is(err, errPanic):
		c.s.fail(err)
		return true
	case errors.Is(err, errPeerClosed):
		c.s.finish(ReasonTransportClose, nil, closeEcho)
		return !c.hasToldEnd() // with a close frame each way it is the server that hangs up
	default:
		c.s.finish(ReasonTransportClose, err, 0)
	}
	return false
}

// handle takes one packet; the session's inbound lock is held.
func (c *wsConn) handle(p packet) error {
	if c.probing != nil {
		return c.s.probePacket(c, p)
	}
	return c.s.handle(p)
}

// handOver handles the frames that are complete. One batch is one turn of the session's inbound lock.
func (c *wsConn) handOver() (Work, error) {
	work, used, need, err := c.takeTurn()
	if err != nil {
		return work, err
	}
	if used > 0 { // or a large frame that drips in would be moved onto itself for every drop
		c.in.have = copy(c.in.buf, c.in.buf[used:c.in.have])
	}
	c.in.fit(need)
	return work, nil
}

func (c *wsConn) takeTurn() (work Work, used, need int, err error) {
	c.s.beginTurn()
	defer c.s.endTurn()
	used, need, err = c.frames(c.in.buf[:c.in.have])
	return c.s.endBatch(), used, need, err
}

// frames handles the complete frames of b. It returns how much of b they took, and the size of the frame
// that is still incomplete, if that is known.
func (c *wsConn) frames(b []byte) (used, need int, err error) {
	for {
		rest := b[used:]
		h, size := readHeader(rest)
		if size == 0 {
			return used, 0, nil // incomplete
		}
		if err := c.check(&h); err != nil {
			return used, 0, err
		}
		end := size + int(h.Length)
		if len(rest) < end {
			return used, end, nil
		}
		payload := rest[size:end:end]
		ws.Cipher(payload, h.Mask, 0)
		if err := c.frame(&h, payload); err != nil {
			return used, 0, err
		}
		used += end
		if used == len(b) {
			return used, 0, nil
		}
	}
}

// readHeader reads the header of the frame with which b begins, and its size (RFC 6455, section 5.2). A size of 0 says
// that b ends within it. A length with its highest bit set is negative.
func readHeader(b []byte) (h ws.Header, size int) {
	if len(b) < 2 {
		return h, 0
	}
	h.Fin, h.Rsv, h.OpCode = b[0]&0x80 != 0, b[0]>>4&7, ws.OpCode(b[0]&0xf)
	h.Masked, h.Length = b[1]&0x80 != 0, int64(b[1]&0x7f)
	size = 2
	switch {
	case h.Length == 126 && len(b) >= 4:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
		size = 4
	case h.Length == 127 && len(b) >= 10:
		h.Length = int64(binary.BigEndian.Uint64(b[2:])) //nolint:gosec // negative is for check to see
		size = 10
	case h.Length >= 126:
		return h, 0
	}
	if h.Masked {
		if len(b) < size+len(h.Mask) {
			return h, 0
		}
		copy(h.Mask[:], b[size:])
		size += len(h.Mask)
	}
	return h, size
}

// check refuses a frame by its header, before any of it is kept.
func (c *wsConn) check(h *ws.Header) error {
	state := ws.StateServerSide
	if c.deflate {
		state |= ws.StateExtended
	}
	if c.inflight {
		state |= ws.StateFragmented
	}
	if err := ws.CheckHeader(*h, state); err != nil {
		return &wsError{closeProtocolError, err.Error()}
	}
	if h.Length < 0 {
		return &wsError{closeProtocolError, "length is out of range"}
	}
	if h.Rsv != 0 && (h.Rsv != 0b100 || h.OpCode.IsControl() || h.OpCode == ws.OpContinuation) {
		return &wsError{closeProtocolError, "reserved bits are set"}
	}
	if h.Length > c.srv.opts.MaxPayload-int64(len(c.message)) && !h.OpCode.IsControl() {
		return errTooBig
	}
	return nil
}

// frame handles one frame, unmasked.
func (c *wsConn) frame(h *ws.Header, payload []byte) error {
	switch h.OpCode {
	case ws.OpPing:
		return c.pong(payload)
	case ws.OpPong:
		return nil
	case ws.OpClose:
		if len(payload) == 1 {
			return errBadClose
		}
		if len(payload) >= 2 {
			code, reason := ws.ParseCloseFrameData(payload)
			if err := ws.CheckCloseFrameData(code, reason); err != nil || code > closeLast {
				return errBadClose
			}
		}
		c.goodbye = append(c.goodbye, payload...)
		return errPeerClosed
	case ws.OpText, ws.OpBinary:
		c.opcode, c.deflated = h.OpCode, h.Rsv != 0
		if h.Fin {
			return c.deliver(payload)
		}
		c.inflight = true
	}
	c.message = append(c.message, payload...)
	if !h.Fin {
		return nil
	}
	message := c.message
	c.message, c.inflight = nil, false
	return c.deliver(message)
}

// deliver hands over one whole message.
func (c *wsConn) deliver(message []byte) error {
	if c.deflated {
		plain, err := inflate(message, c.srv.opts.MaxPayload)
		if err != nil {
			return err
		}
		message = plain
	}
	if c.opcode == ws.OpBinary {
		return c.handle(packet{kind: packetMessage, binary: true, data: message})
	}
	if !utf8.Valid(message) {
		return errBadText
	}
	p, err := parseText(message)
	if err != nil {
		return err
	}
	return c.handle(p)
}

// pong answers a websocket ping, which is not Engine.IO's.
func (c *wsConn) pong(payload []byte) error {
	wire := make([]byte, 0, 2+len(payload))
	wire = append(wire, 0x80|byte(ws.OpPong), byte(len(payload)))
	wire = append(wire, payload...)
	if c.probing != nil {
		return c.writeNow(wire)
	}
	c.s.Send(&Frame{wire: wire, control: true, plain: true}) //nolint:errcheck // a session that can't take it is at its end
	return nil
}

// writeNow writes from the reader's goroutine, on a connection that does not carry the session yet.
func (c *wsConn) writeNow(wire []byte) error {
	c.SetWriteDeadline(time.Now().Add(c.srv.opts.UpgradeTimeout)) //nolint:errcheck // the write fails if this does
	if _, err := c.Write(wire); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}

// formOf is the frame in the form that goes over this connection.
func (c *wsConn) formOf(f *Frame) *Frame {
	if c.deflate && !f.plain {
		return f.deflate(c.srv.opts.PerMessageDeflate)
	}
	return f
}
