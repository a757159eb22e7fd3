//go:build linux

package client

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// socket is a TCP connection without blocking calls. What the owner appends to out leaves when the batch of
// input at hand is done, or with flush.
type socket struct {
	loop      *Loop
	fd        int
	connected bool
	blocked   bool   // the kernel took only part of out: wait until it is writable
	in        []byte // input that isn't a whole message yet
	want      int    // how long in must be before it is worth looking at again
	out       []byte
	owner     owner
}

// owner is the protocol above a socket.
type owner interface {
	opened()
	// data gets everything unconsumed and returns how much of it is dealt with, and how long the rest must
	// become before another look makes sense (0: any more will do).
	data(p []byte, now int64) (used, want int, err error)
	closed(err error)
}

func (l *Loop) dial(o owner) (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	s := &socket{loop: l, fd: fd, owner: o}
	if err := s.start(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func (s *socket) start() error {
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("nodelay: %w", err)
	}
	// A reset at the end leaves no port in TIME_WAIT for the next run.
	if err := unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return fmt.Errorf("linger: %w", err)
	}
	if err := unix.Connect(s.fd, s.loop.addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect: %w", err)
	}
	if err := s.loop.register(s, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
		return fmt.Errorf("epoll add: %w", err)
	}
	return nil
}

func (s *socket) ready(events uint32) {
	if !s.connected {
		s.finishConnect()
		return
	}
	if events&unix.EPOLLOUT != 0 && s.blocked {
		s.blocked = false
		s.interest(unix.EPOLLIN)
		s.flush()
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLRDHUP) != 0 && s.fd >= 0 {
		s.read()
	}
}

func (s *socket) finishConnect() {
	code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		s.fail(fmt.Errorf("connect: %w", err))
		return
	}
	s.connected = true
	s.interest(unix.EPOLLIN)
	s.owner.opened()
	s.flush()
}

func (s *socket) read() {
	shared := len(s.in) == 0
	buf := s.loop.buf
	if !shared {
		if need := max(s.want, len(s.in)+64<<10); cap(s.in) < need {
			s.in = append(make([]byte, 0, need+need/4), s.in...)
		}
		buf = s.in[:cap(s.in)]
	}
	n, err := unix.Read(s.fd, buf[len(s.in):])
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil:
		s.fail(fmt.Errorf("read: %w", err))
		return
	case n == 0:
		s.fail(io.EOF)
		return
	}
	buf = buf[:len(s.in)+n]
	if !shared {
		s.in = buf
	}
	if len(buf) < s.want {
		return
	}
	used, want, err := s.owner.data(buf, s.loop.Now())
	if err != nil {
		s.fail(err)
		return
	}
	if s.fd < 0 {
		return
	}
	s.want = want
	if rest := buf[used:]; len(rest) == 0 {
		s.in = s.in[:0]
	} else {
		s.in = append(s.in[:0], rest...)
	}
	s.flush()
}

// flush writes what out holds, as far as the kernel takes it.
func (s *socket) flush() {
	if len(s.out) == 0 || s.blocked || !s.connected || s.fd < 0 {
		return
	}
	n, err := unix.Write(s.fd, s.out)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		n = 0
	case err != nil:
		s.fail(fmt.Errorf("write: %w", err))
		return
	}
	if n == len(s.out) {
		s.out = s.out[:0]
		return
	}
	s.out = append(s.out[:0], s.out[n:]...)
	s.blocked = true
	s.interest(unix.EPOLLIN | unix.EPOLLOUT)
}

func (s *socket) interest(events uint32) {
	if err := unix.EpollCtl(s.loop.epoll, unix.EPOLL_CTL_MOD, s.fd, &unix.EpollEvent{Events: events, Fd: int32(s.fd)}); err != nil {
		s.fail(fmt.Errorf("epoll mod: %w", err))
	}
}

func (s *socket) fail(err error) {
	if s.fd < 0 {
		return
	}
	s.close()
	s.owner.closed(err)
}

func (s *socket) close() {
	if s.fd < 0 {
		return
	}
	s.loop.sockets[s.fd] = nil
	unix.Close(s.fd)
	s.fd = -1
}
