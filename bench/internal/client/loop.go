//go:build linux

// Package client holds thousands of Socket.IO connections from one thread.
//
// It exists so that the load generator costs far less than any server under test: one epoll loop, no goroutine
// a connection, frames scanned in place in a large read buffer, everything that a batch of input answers
// written at once. It speaks just enough of Engine.IO v4 and Socket.IO v5 for that (root namespace, websocket
// or polling without an upgrade).
//
// Nothing in this package is safe for concurrent use: a Loop and all of its connections belong to one goroutine.
package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// readBuffer is what one read can take from a socket. It must be larger than a burst to one connection, so
// that a burst costs the generator one system call.
const readBuffer = 1 << 20

// Loop waits for readiness of its sockets and runs their protocol.
type Loop struct {
	epoll   int
	sockets []*socket // by file descriptor
	events  []unix.EpollEvent
	buf     []byte
	base    time.Time
	rand    *rand.ChaCha8
	addr    unix.Sockaddr
	host    string
}

// NewLoop makes a loop whose connections go to the IPv4 address host (four bytes) and port.
func NewLoop(ip [4]byte, port int) (*Loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &Loop{
		epoll:  ep,
		events: make([]unix.EpollEvent, 1024),
		buf:    make([]byte, readBuffer),
		base:   time.Now(),
		rand:   rand.NewChaCha8([32]byte{'b', 'e', 'n', 'c', 'h'}),
		addr:   &unix.SockaddrInet4{Addr: ip, Port: port},
		host:   fmt.Sprintf("%d.%d.%d.%d:%d", ip[0], ip[1], ip[2], ip[3], port),
	}, nil
}

// Close resets every connection that is still open and frees the loop.
func (l *Loop) Close() {
	for _, s := range l.sockets {
		if s != nil {
			s.close()
		}
	}
	unix.Close(l.epoll)
}

// Now is the time since the loop was made, in nanoseconds of the monotonic clock.
func (l *Loop) Now() int64 { return int64(time.Since(l.base)) }

// Run serves the sockets until the time given (as Now counts) or until done returns true; done is asked after
// each batch of events. It reports whether done did.
func (l *Loop) Run(until int64, done func() bool) (bool, error) {
	for {
		if done != nil && done() {
			return true, nil
		}
		left := until - l.Now()
		if left <= 0 {
			return false, nil
		}
		if err := l.poll(time.Duration(left)); err != nil {
			return false, err
		}
	}
}

func (l *Loop) poll(wait time.Duration) error {
	ms := int((wait + time.Millisecond - 1) / time.Millisecond)
	n, err := unix.EpollWait(l.epoll, l.events, ms)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("epoll wait: %w", err)
	}
	for _, ev := range l.events[:n] {
		if s := l.sockets[ev.Fd]; s != nil {
			s.ready(ev.Events)
		}
	}
	return nil
}

func (l *Loop) register(s *socket, events uint32) error {
	for len(l.sockets) <= s.fd {
		l.sockets = append(l.sockets, make([]*socket, len(l.sockets)+1024)...)
	}
	l.sockets[s.fd] = s
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: events, Fd: int32(s.fd)})
}
