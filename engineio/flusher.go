package engineio

import (
	"net"
	"slices"
	"sync"
)

const (
	flushChunk = 64 << 10 // bytes gathered for one write
	flushWhole = 16 << 10 // a frame of this size is written from where it lies

	// flushTurns is how often a session's queue is emptied before others have their turn: one that is filled
	// as fast as it is emptied must not keep the flusher for itself.
	flushTurns = 4
	// scratchKept bounds the frames that a flusher keeps room for.
	scratchKept = 16 << 10
)

// flusher writes what is queued for the sessions of its shard, each in one write where it fits. It is the
// only one to write to a websocket, unless the client is slow: then a goroutine of the session's own takes
// over until the client has caught up (catchUp).
type flusher struct {
	wake chan struct{}

	mu      sync.Mutex
	waiting []*Session

	frames []*Frame // scratch of the goroutine
	out    gatherer
}

func newFlusher() *flusher {
	return &flusher{wake: make(chan struct{}, 1)}
}

// add has a session flushed whose scheduled flag the caller has just set.
func (fl *flusher) add(s *Session) {
	fl.mu.Lock()
	fl.waiting = append(fl.waiting, s)
	first := len(fl.waiting) == 1
	fl.mu.Unlock()
	if first {
		fl.signal()
	}
}

func (fl *flusher) addAll(sessions []*Session) {
	fl.mu.Lock()
	first := len(fl.waiting) == 0
	fl.waiting = append(fl.waiting, sessions...)
	fl.mu.Unlock()
	if first {
		fl.signal()
	}
}

func (fl *flusher) signal() {
	select {
	case fl.wake <- struct{}{}:
	default:
	}
}

// run flushes until done is closed, and then once more, since a session that has ended may still be due its farewell.
func (fl *flusher) run(done <-chan struct{}) {
	var batch []*Session
	for last := false; !last; {
		select {
		case <-fl.wake:
		case <-done:
			last = true
		}
		fl.mu.Lock()
		batch, fl.waiting = fl.waiting, batch[:0]
		fl.mu.Unlock()
		for i, s := range batch {
			batch[i] = nil
			fl.flush(s)
		}
	}
}

// flush writes what a session has queued, as far as its client takes it.
func (fl *flusher) flush(s *Session) {
	written := int64(0)
	for range flushTurns {
		frames, conn, ok := s.nextWrite(fl.frames[:0], written)
		if !ok {
			return
		}
		if cap(frames) <= scratchKept {
			fl.frames = frames
		}
		if conn.raw == nil {
			own := append([]*Frame(nil), frames...)
			clear(frames)
			s.srv.spawn(func() { s.catchUp(nil, own, 0) })
			return
		}
		written = costOf(frames)
		rest, left, err := fl.out.write(conn, frames)
		s.srv.stats.bytesOut.Add(fl.out.sent())
		switch {
		case err != nil:
			clear(frames)
			s.writeFailed(err)
			return
		case len(rest) > 0 || len(left) > 0:
			own := append([]*Frame(nil), left...)
			clear(frames)
			s.stall(conn, rest, own, written-costOf(own))
			return
		}
		clear(frames)
	}
	s.release(written)
	fl.add(s)
}

// stall gives a session whose client does not keep up a writer of its own.
func (s *Session) stall(conn *wsConn, rest [][]byte, frames []*Frame, begun int64) {
	s.mu.Lock()
	s.stalled = true
	over := s.state == stateClosed
	s.mu.Unlock()
	if over {
		conn.kick() // whoever ended the session did not know that its client is slow
		return
	}
	s.srv.spawn(func() { s.catchUp(rest, frames, begun) })
}

// release takes what was written off the session's account.
func (s *Session) release(written int64) {
	s.mu.Lock()
	s.size -= written
	s.mu.Unlock()
}

// nextWrite releases what was written, and takes the next frames. It reports false when there is nothing
// to write now, and then the queue's way out is free again or the session at its end.
func (s *Session) nextWrite(frames []*Frame, written int64) ([]*Frame, *wsConn, bool) {
	s.mu.Lock()
	s.size -= written
	conn := s.conn
	switch {
	case len(s.queue) > 0:
		frames = s.take(frames)
		s.mu.Unlock()
		return frames, conn, true
	case s.state == stateClosed:
		code := s.closeCode
		s.mu.Unlock()
		conn.farewell(code)
		return nil, nil, false
	case s.state == stateClosing && s.reason != "":
		reason := s.reason
		s.stalled = false
		s.scheduled = false
		s.mu.Unlock()
		s.srv.spawn(func() { s.finish(reason, nil, closeNoStatus) })
		return nil, nil, false
	default:
		s.stalled = false
		s.scheduled = false
		s.mu.Unlock()
		return nil, nil, false
	}
}

// catchUp writes to a client that does not take its packets at once, and waits for it. It ends when the
// queue is empty or the connection is at its end. begun is what rest counts in the queue, with the frames
// that left before it in the same write.
func (s *Session) catchUp(rest [][]byte, frames []*Frame, begun int64) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	out := gatherer{buf: getBuffer(flushChunk)}
	defer out.free()
	for ok := true; ok; {
		err := out.writeAll(conn, rest, frames)
		s.srv.stats.bytesOut.Add(out.sent())
		if err != nil {
			s.writeFailed(err)
			return
		}
		written := begun + costOf(frames)
		clear(frames)
		rest, begun = nil, 0
		frames, _, ok = s.nextWrite(frames[:0], written)
	}
}

// writeFailed ends a session whose connection takes no more.
func (s *Session) writeFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.kick()
	if s.state != stateClosed {
		s.finishSoon(ReasonTransportClose, err, 0)
	}
}

func costOf(frames []*Frame) int64 {
	cost := int64(0)
	for _, f := range frames {
		cost += f.cost()
	}
	return cost
}

// gatherer puts frames together so that they leave in few writes.
type gatherer struct {
	buf []byte
	one [1][]byte // backs pieces where there is one
	op  writeOp
	n   int // bytes written since sent was asked
}

// sent is how many bytes have been written since it was last asked.
func (g *gatherer) sent() uint64 {
	n := g.n
	g.n = 0
	return uint64(n)
}

func (g *gatherer) free() {
	if g.buf != nil {
		putBuffer(g.buf)
		g.buf = nil
	}
}

// write tries without blocking. What the connection did not take comes back: the rest of what was under
// way, and the frames after it.
func (g *gatherer) write(c *wsConn, frames []*Frame) (rest [][]byte, left []*Frame, err error) {
	defer clear(g.one[:])
	for len(frames) > 0 {
		pieces, n, shared := g.gather(c, frames)
		frames = frames[n:]
		sent, err := g.op.try(c.raw, pieces)
		g.n += sent
		if err != nil {
			return nil, nil, err
		}
		if rest = unsent(pieces, sent, shared); len(rest) > 0 {
			return rest, frames, nil
		}
	}
	return nil, nil, nil
}

// unsent is what is left of pieces, copied where they are not shared.
func unsent(pieces [][]byte, sent int, shared bool) (rest [][]byte) {
	for _, p := range pieces {
		if sent >= len(p) {
			sent -= len(p)
			continue
		}
		p, sent = p[sent:], 0
		if !shared {
			p = slices.Clone(p)
		}
		rest = append(rest, p)
	}
	return rest
}

// writeAll waits until the connection has taken everything.
func (g *gatherer) writeAll(c *wsConn, rest [][]byte, frames []*Frame) error {
	defer clear(g.one[:])
	for len(rest) > 0 || len(frames) > 0 {
		if len(rest) == 0 {
			var n int
			rest, n, _ = g.gather(c, frames)
			frames = frames[n:]
		}
		pieces := net.Buffers(slices.Clone(rest)) // which the write uses up
		n, err := pieces.WriteTo(c.Conn)
		g.n += int(n)
		if err != nil {
			return err
		}
		rest = nil
	}
	return nil
}

// gather returns the next bytes to write, in pieces, and how many frames they hold. Shared bytes belong to a frame,
// the others to the gatherer, until the next call.
func (g *gatherer) gather(c *wsConn, frames []*Frame) (pieces [][]byte, n int, shared bool) {
	if f := c.formOf(frames[0]); len(frames) == 1 || f.Len() >= flushWhole {
		if pieces = f.parts(); pieces == nil {
			g.one[0] = f.wire
			pieces = g.one[:]
		}
		return pieces, 1, true
	}
	if g.buf == nil {
		g.buf = getBuffer(flushChunk)
	}
	g.buf = g.buf[:0]
	for _, f := range frames {
		f = c.formOf(f)
		if f.Len() >= flushWhole || len(g.buf)+f.Len() > cap(g.buf) {
			break
		}
		g.buf = f.appendWire(g.buf)
		n++
	}
	g.one[0] = g.buf
	return g.one[:], n, false
}
