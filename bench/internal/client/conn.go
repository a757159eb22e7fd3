//go:build linux

package client

import (
	"bytes"
	"errors"
	"fmt"
)

// Transport names an Engine.IO transport.
type Transport string

// The transports; a connection stays on the one it began with.
const (
	WebSocket Transport = "websocket"
	Polling   Transport = "polling"
)

// Handler gets what happens on connections. Its methods are called from Loop.Run, one at a time. Slices are valid
// during the call only.
type Handler interface {
	// Ready: the root namespace has accepted the connection; took is the time since the dial, in nanoseconds.
	Ready(c *Conn, took int64)
	// Packet gets a Socket.IO packet in its text form, e.g. 2["event",...]. now is when it was read.
	Packet(c *Conn, p []byte, now int64)
	// Binary gets an attachment.
	Binary(c *Conn, p []byte, now int64)
	// Closed is called once for a connection that the loop lost, not for one that Close ended.
	Closed(c *Conn, err error)
}

// Conn is one Socket.IO connection to the root namespace.
type Conn struct {
	// Index is the number the caller gave it.
	Index int

	handler Handler
	dialled int64
	ready   bool
	gone    bool
	t       transport
}

// transport carries Engine.IO packets.
type transport interface {
	text(prefix string, p []byte)
	binary(p []byte)
	flush()
	close()
	engineOpen(p []byte) error
}

// Dial starts a connection; Handler.Ready or Handler.Closed tells how it went.
func (l *Loop) Dial(t Transport, index int, h Handler) (*Conn, error) {
	c := &Conn{Index: index, handler: h, dialled: l.Now()}
	var err error
	if t == Polling {
		c.t, err = dialPolling(l, c)
	} else {
		c.t, err = dialWebSocket(l, c)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Send queues a Socket.IO packet in its text form. It leaves with the next Flush, or by itself when the call
// comes from a Handler method of the same connection.
func (c *Conn) Send(p []byte) { c.t.text("4", p) }

// SendBinary queues an attachment; see Send.
func (c *Conn) SendBinary(p []byte) { c.t.binary(p) }

// Flush writes what is queued.
func (c *Conn) Flush() { c.t.flush() }

// Close resets the connection. The handler hears nothing more of it.
func (c *Conn) Close() {
	c.gone = true
	c.t.close()
}

var errConnect = errors.New("socket.io: connection refused by the server")

// packet handles one Engine.IO packet.
func (c *Conn) packet(p []byte, now int64) error {
	if len(p) == 0 {
		return errors.New("engine.io: empty packet")
	}
	switch p[0] {
	case '4':
		if c.ready {
			c.handler.Packet(c, p[1:], now)
			return nil
		}
		return c.accepted(p, now)
	case '2':
		c.t.text("3", p[1:])
	case '0':
		if err := c.t.engineOpen(p[1:]); err != nil {
			return err
		}
		c.Send([]byte("0"))
	case '6':
	case '1':
		return errors.New("engine.io: closed by the server")
	default:
		return fmt.Errorf("engine.io: unexpected packet %.40q", p)
	}
	return nil
}

func (c *Conn) accepted(p []byte, now int64) error {
	if !bytes.HasPrefix(p, []byte("40")) {
		return fmt.Errorf("%w: %.80q", errConnect, p)
	}
	c.ready = true
	c.handler.Ready(c, now-c.dialled)
	return nil
}

func (c *Conn) lost(err error) {
	if c.gone {
		return
	}
	c.gone = true
	c.t.close()
	c.handler.Closed(c, err)
}
