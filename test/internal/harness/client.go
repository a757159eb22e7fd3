package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/gobwas/ws"
)

const dialTimeout = 30 * time.Second

// Client is a Socket.IO client over websocket that reads when it is told to and never otherwise.
type Client struct {
	conn   net.Conn
	reader *bufio.Reader
}

// Dial connects a client to the namespace "/".
func Dial(ctx context.Context, addr string) (*Client, error) { return dial(ctx, addr, net.Dialer{}) }

// DialDeaf connects a client that is not going to read: the kernels of both sides hold little for it, so that the
// server feels it soon. On loopback, with its large segments, they would hold more than two megabytes.
func DialDeaf(ctx context.Context, addr string) (*Client, error) {
	return dial(ctx, addr, net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var small error
		err := raw.Control(func(fd uintptr) {
			small = errors.Join(
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536))
		})
		return errors.Join(err, small)
	}})
}

func dial(ctx context.Context, addr string, tcp net.Dialer) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialer := ws.Dialer{NetDial: tcp.DialContext}
	conn, buffered, _, err := dialer.Dial(ctx, "ws://"+addr+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, reader: buffered}
	if c.reader == nil {
		c.reader = bufio.NewReader(conn)
	}
	if err := c.join(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *Client) join() error {
	if err := c.conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	if err := c.Send("40"); err != nil {
		return err
	}
	for {
		text, err := c.Receive()
		if err != nil {
			return err
		}
		if strings.HasPrefix(text, "40") {
			return c.conn.SetDeadline(time.Time{})
		}
		if !strings.HasPrefix(text, "0") {
			return fmt.Errorf("instead of CONNECT: %.100q", text)
		}
	}
}

// Send writes one Engine.IO packet as a text frame.
func (c *Client) Send(packet string) error {
	return ws.WriteFrame(c.conn, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(packet))))
}

// Receive returns the next Engine.IO packet and answers pings on the way. The end of the connection is io.EOF.
func (c *Client) Receive() (string, error) {
	for {
		header, err := ws.ReadHeader(c.reader)
		if err != nil {
			return "", err
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(c.reader, payload); err != nil {
			return "", err
		}
		switch {
		case header.OpCode == ws.OpClose:
			return "", io.EOF
		case header.OpCode != ws.OpText:
		case string(payload) == "2":
			if err := c.Send("3"); err != nil {
				return "", err
			}
		default:
			return string(payload), nil
		}
	}
}

// Close ends the connection without a word.
func (c *Client) Close() error { return c.conn.Close() }
