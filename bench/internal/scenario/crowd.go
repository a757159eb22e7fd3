//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"time"

	"holdfast/bench/internal/client"
	"holdfast/bench/internal/hist"
)

// rampWidth is how many connections may be under way at once while a crowd gathers.
const rampWidth = 64

// crowd is the connections of a scenario. A scenario embeds it and adds Packet and Binary.
type crowd struct {
	env       *Env
	conns     []*client.Conn
	handler   client.Handler
	transport client.Transport
	ready     int
	dropped   int
	dropErr   error
	latency   hist.Histogram
	joined    func(c *client.Conn) // called when a connection is ready; may be nil
}

var errGather = errors.New("connections failed")

// gather opens n connections.
func (c *crowd) gather(env *Env, n int, t client.Transport, h client.Handler) error {
	c.env, c.handler, c.transport = env, h, t
	c.conns = make([]*client.Conn, 0, n)
	for range min(n, rampWidth) {
		if err := c.dial(); err != nil {
			return err
		}
	}
	limit := 30*time.Second + time.Duration(n)*5*time.Millisecond
	all, err := env.Loop.Run(env.Loop.Now()+int64(limit), func() bool { return c.ready+c.dropped == n })
	switch {
	case err != nil:
		return err
	case c.dropped > 0:
		return errors.Join(env.Server.Died(), fmt.Errorf("%w: %d of %d: %w", errGather, c.dropped, n, c.dropErr))
	case !all:
		return errors.Join(env.Server.Died(), fmt.Errorf("%w: %d of %d in %v", errGather, n-c.ready, n, limit))
	}
	return nil
}

func (c *crowd) dial() error {
	conn, err := c.env.Loop.Dial(c.transport, len(c.conns), c.handler)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	c.conns = append(c.conns, conn)
	return nil
}

// Ready counts the connection and starts the next.
func (c *crowd) Ready(conn *client.Conn, took int64) {
	c.ready++
	c.latency.Record(time.Duration(took))
	if c.joined != nil {
		c.joined(conn)
	}
	if len(c.conns) < cap(c.conns) {
		if err := c.dial(); err != nil {
			c.dropped, c.dropErr = c.dropped+1, err
		}
	}
}

// Closed counts a connection that broke.
func (c *crowd) Closed(_ *client.Conn, err error) {
	c.dropped++
	if c.dropErr == nil {
		c.dropErr = err
	}
}

// Packet ignores the packet.
func (c *crowd) Packet(*client.Conn, []byte, int64) {}

// Binary ignores the attachment.
func (c *crowd) Binary(*client.Conn, []byte, int64) {}
