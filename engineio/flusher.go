package engineio

import (
	"sync"
)

const (
	flushChunk = 64 << 10 // bytes gathered for one write
	flushWhole = 16 << 10 // a frame of this size is written from where it lies
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

// run flushes until done is closed.
func (fl *flusher) run(done <-chan struct{}) {
	var batch []*Session
	for {
		select {
		case <-fl.wake:
		case <-done:
			return
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
	for {
		frames, conn, ok := s.nextWrite(fl.frames[:0], written)
		if !ok {
			return
		}
		fl.frames = frames
		if conn.raw == nil {
			own := append([]*Frame(nil), frames...)
			s.srv.spawn(func() { s.catchUp(nil, own, 0) })
			return
		}
		size := framesSize(frames)
		rest, left, err := fl.out.write(conn, frames)
		s.srv.stats.bytesOut.Add(uint64(size))
		if err != nil {
			s.writeFailed(err)
			return
		}
		if rest != nil || len(left) > 0 {
			own := append([]*Frame(nil), left...)
			begun := size - framesSize(left)
			s.mu.Lock()
			s.stalled = true
			s.mu.Unlock()
			s.srv.spawn(func() { s.catchUp(rest, own, begun) })
			return
		}
		clear(frames)
		written = size
	}
}

// nextWrite releases what was written, and takes the next frames. It reports false when there is nothing
// to write now, and then the queue's way out is free again or the session at its end.
func (s *Session) nextWrite(frames []*Frame, written int64) ([]*Frame, *wsConn, bool) {
	s.mu.Lock()
	s.size -= written
	conn := s.conn
	switch {
	case s.state == stateClosed:
		code := s.closeCode
		s.mu.Unlock()
		conn.farewell(code)
		return nil, nil, false
	case len(s.queue) > 0:
		frames = s.take(frames)
		s.mu.Unlock()
		return frames, conn, true
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
func (s *Session) catchUp(rest []byte, frames []*Frame, begun int64) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	var out gatherer
	if len(rest) > 0 {
		if _, err := conn.Write(rest); err != nil {
			s.writeFailed(err)
			return
		}
	}
	written := begun
	for {
		if err := out.writeAll(conn, frames); err != nil {
			s.writeFailed(err)
			return
		}
		written += framesSize(frames)
		clear(frames)
		var ok bool
		frames, _, ok = s.nextWrite(frames[:0], written)
		if !ok {
			return
		}
		written = 0
		if conn.raw == nil {
			s.srv.stats.bytesOut.Add(uint64(framesSize(frames)))
		}
	}
}

// writeFailed ends a session whose connection takes no more.
func (s *Session) writeFailed(err error) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	conn.kick()
	s.finish(ReasonTransportClose, err, 0)
}

func framesSize(frames []*Frame) int64 {
	size := int64(0)
	for _, f := range frames {
		size += int64(len(f.wire))
	}
	return size
}

// gatherer puts frames together so that they leave in few writes.
type gatherer struct {
	buf []byte
	op  writeOp
}

// write tries without blocking. What the connection did not take comes back: the rest of what was under
// way, and the frames after it.
func (g *gatherer) write(c *wsConn, frames []*Frame) (rest []byte, left []*Frame, err error) {
	if len(frames) == 1 {
		wire := c.wireOf(frames[0])
		n, err := g.op.try(c.raw, wire)
		if n < len(wire) {
			return wire[n:], nil, err
		}
		return nil, nil, err
	}
	for len(frames) > 0 {
		chunk, n, shared := g.gather(c, frames)
		frames = frames[n:]
		sent, err := g.op.try(c.raw, chunk)
		if err != nil {
			return nil, nil, err
		}
		if sent < len(chunk) {
			rest = chunk[sent:]
			if !shared {
				rest = append([]byte(nil), rest...)
			}
			return rest, frames, nil
		}
	}
	return nil, nil, nil
}

// writeAll waits until the connection has taken everything.
func (g *gatherer) writeAll(c *wsConn, frames []*Frame) error {
	for len(frames) > 0 {
		chunk, n, _ := g.gather(c, frames)
		frames = frames[n:]
		if _, err := c.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// gather returns the next bytes to write and how many frames they hold. Shared bytes belong to a frame,
// the others to the gatherer, until the next call.
func (g *gatherer) gather(c *wsConn, frames []*Frame) (chunk []byte, n int, shared bool) {
	if wire := c.wireOf(frames[0]); len(wire) >= flushWhole || len(frames) == 1 {
		return wire, 1, true
	}
	if g.buf == nil {
		g.buf = make([]byte, 0, flushChunk)
	}
	g.buf = g.buf[:0]
	for _, f := range frames {
		wire := c.wireOf(f)
		if len(wire) >= flushWhole || len(g.buf)+len(wire) > flushChunk {
			break
		}
		g.buf = append(g.buf, wire...)
		n++
	}
	return g.buf, n, false
}
