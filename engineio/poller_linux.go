package engineio

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	pollEvents = 128 // taken from the kernel at once
	pollTurns  = 32  // connections that one of the crew serves before it leaves the rest to the next

	edges uint32 = 1 << 31 // syscall.EPOLLET, which is a negative number
)

// poller waits for the connections of its shard, in place of a goroutine for each, and has the crew serve them in the
// order in which something arrived for them. With goroutines the runtime's scheduler decides on that order, and serves
// those again and again whose client answers fast while others wait. It stands in the runtime's own poller as one
// descriptor, so that no thread waits in it.
type poller struct {
	srv  *Server
	file *os.File // the epoll descriptor
	raw  syscall.RawConn
	fd   int

	closed atomic.Bool

	mu       sync.Mutex // a leaf
	conns    []*wsConn  // by descriptor
	ready    []*wsConn  // that have something to be served, each at most once
	next     int        // of ready
	standing bool       // one of the crew was called and has not come yet

	events [pollEvents]syscall.EpollEvent // scratch of the goroutine
}

func newPoller(srv *Server) (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // or os.NewFile would not wait by the runtime's poller
		syscall.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	p := &poller{srv: srv, fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if err := p.file.SetReadDeadline(time.Time{}); err != nil { // the runtime's poller did not take it: nothing would be waited for
		p.file.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return p, nil
}

// run waits until close is called.
func (p *poller) run() {
	n := 0
	wait := func(fd uintptr) bool {
		r, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&p.events)), pollEvents, 0, 0, 0) //nolint:gosec // what syscall.EpollWait does, without telling the runtime of a call that does not wait
		n = int(r)
		if errno != 0 {
			n = 0
		}
		return n > 0 || errno == syscall.EINTR
	}
	for {
		n = 0
		if err := p.raw.Read(wait); err != nil {
			if !p.closed.Load() { // the error of a file that is closed is internal to os here
				p.srv.opts.Logger.Error().Err(err).Msg("can't wait for the websockets")
			}
			return
		}
		p.mu.Lock()
		for i := range p.events[:n] {
			e := &p.events[i]
			c := p.conns[e.Fd]
			if c == nil {
				continue // it has been closed meanwhile
			}
			if e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
				c.hung.Store(true)
			}
			if c.turns.Add(1) == 1 {
				p.line(c)
			}
		}
		p.callAndUnlock()
	}
}

// close ends the goroutine. No connection may be left.
func (p *poller) close() {
	p.closed.Store(true)
	p.file.Close()
}

// add begins to wait for a connection.
func (p *poller) add(c *wsConn) error {
	err := c.raw.Control(func(fd uintptr) { c.fd = int(fd) })
	if err != nil {
		return err
	}
	p.mu.Lock()
	if n := c.fd + 1 - len(p.conns); n > 0 {
		p.conns = append(p.conns, make([]*wsConn, n)...)
	}
	p.conns[c.fd] = c
	p.mu.Unlock()
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | edges, Fd: int32(c.fd)}
	if err := syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, c.fd, &e); err != nil {
		p.forget(c)
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// remove ends the waiting, before the connection is closed.
func (p *poller) remove(c *wsConn) {
	p.forget(c)
	syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_DEL, c.fd, nil) //nolint:errcheck // closing it does the same
}

func (p *poller) forget(c *wsConn) {
	p.mu.Lock()
	p.conns[c.fd] = nil
	p.mu.Unlock()
}

// push has a connection served, whose turns the caller has just raised from zero, or still has.
func (p *poller) push(c *wsConn) {
	p.mu.Lock()
	p.line(c)
	p.callAndUnlock()
}

// line puts a connection behind the others. The caller holds p.mu.
func (p *poller) line(c *wsConn) {
	if p.next > len(p.ready)/2 && len(p.ready) == cap(p.ready) { // or a long line would be moved for every few that join it
		n := copy(p.ready, p.ready[p.next:])
		clear(p.ready[n:])
		p.ready, p.next = p.ready[:n], 0
	}
	p.ready = append(p.ready, c)
}

// callAndUnlock has one of the crew come if there is something to do and nobody is sure to come: who is at work may be
// held up by a handler. The caller holds p.mu.
func (p *poller) callAndUnlock() {
	if p.standing || p.next == len(p.ready) {
		p.mu.Unlock()
		return
	}
	p.standing = true
	p.srv.tasks.Add(1) // what is ready holds a task, but may be served and gone before that of the crew begins
	p.mu.Unlock()
	p.srv.engage(p)
	p.srv.tasks.Done()
}

// Run implements Work: it serves connections until none is ready, or until it has had its share. Then it leaves the
// processor, and the next goes on, so that what else waits, such as the flusher, has its turn. So however much there is
// to do, there are no more of the crew at it than processors, those that are held up, and one.
func (p *poller) Run() {
	p.mu.Lock()
	p.standing = false
	for n := 0; p.next < len(p.ready) && n < pollTurns; n++ {
		c := p.ready[p.next]
		p.ready[p.next] = nil
		p.next++
		if p.next == len(p.ready) {
			p.ready, p.next = p.ready[:0], 0
		}
		p.callAndUnlock()
		c.serve()
		p.mu.Lock()
	}
	p.callAndUnlock()
}
