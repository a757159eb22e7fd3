package engineio

import (
	"errors"
	"time"
)

var errUpgrade = errors.New("upgrade was not completed")

// offering counts the requests for an upgrade that are being answered: its client may go on before offerProbe is called.
func (s *Session) offering(by int8) {
	s.mu.Lock()
	s.offers += by
	s.mu.Unlock()
}

// offerProbe makes c the connection that may take over from polling. It reports false when the session is not
// one that can be upgraded now.
func (s *Session) offerProbe(c *wsConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed || s.conn != nil || s.probe != nil {
		return false
	}
	s.probe = c
	c.probing = time.AfterFunc(s.srv.opts.UpgradeTimeout, c.kick)
	return true
}

// dropProbe forgets a connection that did not take over.
func (s *Session) dropProbe(c *wsConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe == c {
		s.probe = nil
		s.upgrading = false
	}
}

// probePacket takes a packet on a connection that does not carry the session yet (Engine.IO v4, "Upgrade").
func (s *Session) probePacket(c *wsConn, p packet) error {
	switch {
	case p.kind == packetPing && string(p.data) == "probe":
		s.mu.Lock()
		if s.probe != c {
			s.mu.Unlock()
			return errUpgrade
		}
		s.upgrading = true
		s.noops = 0
		s.mu.Unlock()
		if err := c.writeNow(pongProbe.wire); err != nil {
			return err
		}
		// The poll that waits is answered, so that the client can say that it is ready.
		s.mu.Lock()
		s.poll.wake()
		s.mu.Unlock()
		return nil
	case p.kind == packetUpgrade && c.probing.Stop():
		return s.upgrade(c)
	default:
		return errUpgrade
	}
}

// upgrade moves the session to the connection. What is queued follows at once; what was queued before went out by
// polling, since the client ends its last poll before it asks for this.
func (s *Session) upgrade(c *wsConn) error {
	s.mu.Lock()
	if s.state == stateClosed || s.probe != c {
		s.mu.Unlock()
		return errUpgrade
	}
	s.conn, s.probe, s.upgrading = c, nil, false
	c.probing = nil
	s.poll.wake()
	wake := false
	if len(s.queue) > 0 || s.state == stateClosing {
		wake = s.rouse()
	}
	s.mu.Unlock()
	s.srv.stats.upgrades.Add(1)
	if wake {
		s.srv.flusherOf(s).add(s)
	}
	return nil
}
