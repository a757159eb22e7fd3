package engineio

import (
	"net"
	"time"

	"github.com/gobwas/ws"
)

// lingerTimeout is how long a connection that was said farewell may take to hang up. Closing it at once
// would make the kernel throw away what the client has not read yet, if anything of it is still arriving.
const lingerTimeout = 3 * time.Second

// farewell sends a close frame if the connection takes it at once, and bounds the time that the client has to hang
// up. Only who owns the way out of the session may call it.
func (c *wsConn) farewell(code uint16) {
	if code == 0 {
		c.kick()
		return
	}
	frame := []byte{0x80 | byte(ws.OpClose), 0}
	switch code {
	case closeNoStatus:
	case closeEcho:
		frame = append(frame, c.goodbye...)
	default:
		frame = append(frame, byte(code>>8), byte(code))
	}
	frame[1] = byte(len(frame) - 2)
	if !c.part() {
		return
	}
	if c.raw == nil {
		c.farewellWaiting(frame)
		return
	}
	var op writeOp
	n, err := op.try(c.raw, [][]byte{frame})
	c.srv.stats.bytesOut.Add(uint64(n))
	if err != nil || n < len(frame) {
		c.kick()
		return
	}
	c.srv.partMu.Lock()
	c.told = true
	c.srv.partMu.Unlock()
	c.lastWritten()
}

// hasToldEnd says whether a close frame has left, or is leaving (leave waits for it).
func (c *wsConn) hasToldEnd() bool {
	c.srv.partMu.Lock()
	defer c.srv.partMu.Unlock()
	return c.told
}

// lastWritten tells the client that nothing follows. A browser waits for that, some seconds long, before it tells
// the page that the connection is closed.
func (c *wsConn) lastWritten() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() //nolint:errcheck // fails only where it is closed already
	}
	if c.srv.hurry.Load() {
		c.cut()
	}
}

// farewellWaiting is for a connection that can't be written to without waiting.
func (c *wsConn) farewellWaiting(frame []byte) {
	said := make(chan struct{})
	c.srv.partMu.Lock()
	gone := c.gone
	if !gone {
		c.said, c.told = said, true
	}
	c.srv.partMu.Unlock()
	if gone {
		return
	}
	c.srv.spawn(func() {
		defer close(said)
		n, err := c.Write(frame)
		c.srv.stats.bytesOut.Add(uint64(n))
		if err != nil {
			c.cut()
			return
		}
		c.lastWritten()
	})
}

// part bounds the rest of the connection's life: what is being written, and the client's time to hang up. It
// reports false when the connection is closed already. Who is through with it must look at Server.hurry.
func (c *wsConn) part() bool {
	c.srv.partMu.Lock()
	gone := c.gone
	if !gone {
		c.srv.parting[c] = struct{}{}
		if c.parted == nil && c.raw != nil { // a poller may have it, now or soon
			c.parted = time.AfterFunc(lingerTimeout, c.kick)
		}
	}
	c.srv.partMu.Unlock()
	if gone {
		return false
	}
	c.SetDeadline(time.Now().Add(lingerTimeout)) //nolint:errcheck // fails only where it is closed already
	return true
}

// kick makes the reader, and a writer that waits, give up at once.
func (c *wsConn) kick() {
	c.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // fails only where it is closed already
	c.kicked.Store(true)
	if p := c.poller.Load(); p != nil && c.turns.Add(1) == 1 {
		p.push(c)
	}
}

// linger reads and forgets until the client hangs up or its time is over.
func (c *wsConn) linger() {
	c.part()
	if c.srv.hurry.Load() {
		c.cut()
	}
	for {
		c.in.have = 0
		if c.in.read(c); c.in.err != nil {
			return
		}
	}
}

// cut ends the connection below TLS, if it has that: closing it properly waits some seconds for a client that does
// not read to take the last word.
func (c *wsConn) cut() {
	c.kick()
	if below, ok := c.Conn.(interface{ NetConn() net.Conn }); ok && c.raw == nil {
		below.NetConn().Close()
	}
}

// leave closes the connection, behind a farewell that is being written. Its reader calls it, last of all.
func (c *wsConn) leave() {
	c.srv.partMu.Lock()
	c.gone = true
	delete(c.srv.parting, c)
	said, told := c.said, c.told
	if c.parted != nil {
		c.parted.Stop()
	}
	c.srv.partMu.Unlock()
	if p := c.poller.Load(); p != nil {
		p.remove(c)
	}
	if said != nil {
		<-said
	}
	if !told {
		c.cut()
	}
	c.Close()
}

// hurryParting cuts every connection that was said farewell, now and from now on.
func (srv *Server) hurryParting() {
	srv.hurry.Store(true)
	srv.partMu.Lock()
	defer srv.partMu.Unlock()
	for c := range srv.parting {
		c.cut()
	}
}
