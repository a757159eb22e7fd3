package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// listen opens the server's port, with the system's default TCP keepalive: heartbeats of the protocol
// find dead clients long before it. limit bounds the open connections; 0 means no bound.
func listen(ctx context.Context, address string, limit int, logger zerolog.Logger) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w%s", address, err, listenAdvice(err))
	}
	if limit > 0 {
		return &limitedListener{Listener: ln, limit: int64(limit), logger: logger}, nil
	}
	return ln, nil
}

func listenAdvice(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return ": another process has this port; end it, or set listen (HOLDFAST_LISTEN) to another one"
	case errors.Is(err, fs.ErrPermission):
		return ": ports below 1024 need privileges; set listen (HOLDFAST_LISTEN) to a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": this machine has no such address; set listen (HOLDFAST_LISTEN) to one of its own"
	}
	return ""
}

// refusalLogInterval keeps a flood of connections past the limit from flooding the log too.
const refusalLogInterval = 10 * time.Second

// limitedListener closes connections past its limit at once, so that a client learns of it, rather than
// leaving them in the system's queue.
type limitedListener struct {
	net.Listener
	limit  int64
	open   atomic.Int64
	logger zerolog.Logger

	refused  int // by Accept alone, which one goroutine calls
	loggedAt time.Time
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return conn, nil
		}
		if l.open.Add(1) <= l.limit {
			return &limitedConn{TCPConn: tcp, listener: l}, nil
		}
		l.open.Add(-1)
		l.refuse(tcp)
	}
}

func (l *limitedListener) refuse(conn *net.TCPConn) {
	conn.Close()
	l.refused++
	if time.Since(l.loggedAt) >= refusalLogInterval {
		l.logger.Warn().Int("connections", l.refused).Int64("limit", l.limit).Msg("connections were refused: limits.max_connections is reached")
		l.refused, l.loggedAt = 0, time.Now()
	}
}

// limitedConn gives its place back when it is closed. It embeds the TCP connection itself, whose file
// descriptor the protocol's write path uses.
type limitedConn struct {
	*net.TCPConn
	listener *limitedListener
	once     sync.Once
}

func (c *limitedConn) Close() error {
	c.once.Do(func() { c.listener.open.Add(-1) })
	return c.TCPConn.Close()
}
