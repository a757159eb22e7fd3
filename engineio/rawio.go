package engineio

import (
	"io"
	"sync/atomic"
	"syscall"
)

// writeOp tries writes without blocking. It keeps its closure, so that a write allocates nothing.
type writeOp struct {
	all  [][]byte // backs left
	left [][]byte
	n    int
	err  error
	f    func(fd uintptr) bool
}

// try writes as much of the pieces, none of them empty, as the connection takes at once. n less than their length without
// an error says that it is full.
func (o *writeOp) try(raw syscall.RawConn, pieces [][]byte) (n int, err error) {
	if o.f == nil {
		o.f = o.write
	}
	o.all = append(o.all[:0], pieces...)
	o.left, o.n, o.err = o.all, 0, nil
	err = raw.Write(o.f)
	clear(o.all)
	if err == nil {
		err = o.err
	}
	return o.n, err
}

func (o *writeOp) write(fd uintptr) bool {
	for len(o.left) > 0 {
		var n int
		var errno syscall.Errno
		if len(o.left) == 1 {
			n, errno = rawWrite(fd, o.left[0])
		} else {
			n, errno = rawWritev(fd, o.left)
		}
		switch {
		case errno == 0 && n > 0:
			o.took(n)
		case errno == 0:
			o.err = io.ErrUnexpectedEOF
			return true
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return true
		default:
			o.err = errno
			return true
		}
	}
	return true
}

// took moves on by n bytes.
func (o *writeOp) took(n int) {
	o.n += n
	for n > 0 {
		if n < len(o.left[0]) {
			o.left[0] = o.left[0][n:]
			return
		}
		n -= len(o.left[0])
		o.left = o.left[1:]
	}
}

// readOp waits for bytes without holding a buffer for them.
type readOp struct {
	buf  []byte // nil while nothing is held
	have int    // bytes of buf that wait for the rest of their frame
	n    int
	err  error
	f    func(fd uintptr) bool
}

// read waits for more bytes, puts them behind what is there, and leaves their number and the error in n and err. It
// takes a buffer only once there is something.
func (o *readOp) read(c *wsConn) {
	o.n, o.err = 0, nil
	if c.raw == nil {
		if o.buf == nil {
			o.buf = getBuffer(4 << 10)
		}
		o.n, o.err = c.Read(o.buf[o.have:])
		return
	}
	if o.f == nil {
		o.f = o.tryRead
	}
	if err := c.raw.Read(o.f); err != nil {
		o.err = err
	}
}

// readNow is read without waiting. It says whether there may be more: the buffer was filled, or what is behind is the end.
func (o *readOp) readNow(fd uintptr, hung *atomic.Bool) (more bool) {
	switch {
	case o.buf == nil:
		o.buf = getBuffer(readBufferSize)
	case len(o.buf) < readBufferSize:
		o.buf = resizeBuffer(o.buf, o.have, readBufferSize)
	}
	room := o.buf[o.have:]
	end := hung.Load()
	if end {
		hung.Store(false) // before the read: what is announced from here on must not get lost
	}
	for {
		n, errno := rawRead(fd, room)
		switch {
		case errno == 0 && n > 0:
			o.n = n
			if end {
				hung.Store(true) // still to be read
			}
			return n == len(room) || hung.Load()
		case errno == 0:
			o.err = io.EOF
			return false
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return false // an end that was announced before was that of an earlier connection with this descriptor
		default:
			o.err = errno
			return false
		}
	}
}

func (o *readOp) tryRead(fd uintptr) bool {
	if o.buf == nil {
		o.buf = getBuffer(readBufferSize)
	}
	for {
		n, errno := rawRead(fd, o.buf[o.have:])
		switch {
		case errno == 0 && n > 0:
			o.n = n
			return true
		case errno == 0:
			o.err = io.EOF
			return true
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			o.release()
			return false
		default:
			o.err = errno
			return true
		}
	}
}

// fit has the buffer follow what has arrived of a frame, not what its header promises: need bytes in all, if that is known.
func (o *readOp) fit(need int) {
	switch size := len(o.buf); {
	case o.have == 0:
		if size > readBufferSize {
			o.release()
		}
	case o.have > size/2 && need > size:
		o.buf = resizeBuffer(o.buf, o.have, min(need, 4*size))
	case o.have <= size/4 && size > 1<<smallestBuffer:
		o.buf = resizeBuffer(o.buf, o.have, 2*o.have)
	}
}

// release gives the buffer back when nothing is in it.
func (o *readOp) release() {
	if o.have == 0 && o.buf != nil {
		putBuffer(o.buf)
		o.buf = nil
	}
}
