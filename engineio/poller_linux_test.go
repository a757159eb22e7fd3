package engineio

import (
	"slices"
	"sync"
	"testing"
)

// onePoller is the poller of all the rig's connections.
func (r *rig) onePoller() *poller {
	for i := range r.srv.pollers {
		r.srv.pollers[i] = r.srv.pollers[0]
	}
	return r.srv.pollers[0]()
}

// TestTurns wants a connection that has more than a read's worth waiting to let the others go first.
func TestTurns(t *testing.T) {
	var mu sync.Mutex
	var got []string
	r := newRig(t, setup{message: func(_ *peer, data []byte, _ bool) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(data))
		return nil
	}})
	p := r.onePoller()
	greedy, _ := r.ws()
	modest, _ := r.ws()
	settled := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.ready) == 0 && !p.standing
	}
	eventually(t, "the crew to be done", settled)

	p.mu.Lock()
	p.standing = true // nobody else comes
	p.mu.Unlock()
	waiting := func(n int) func() bool {
		return func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.ready)-p.next == n }
	}
	var flood []byte
	for range 2 * readBufferSize / 8 {
		flood = append(flood, text("4g")...)
	}
	greedy.raw(flood)
	eventually(t, "the first to be ready", waiting(1))
	modest.send("4m")
	eventually(t, "both to be ready", waiting(2))
	p.mu.Lock()
	first := p.ready[p.next]
	p.next++
	p.mu.Unlock()
	first.serve()
	p.mu.Lock()
	line := slices.Clone(p.ready[p.next:])
	p.mu.Unlock()
	if len(line) != 2 || line[0] == first || line[1] != first {
		t.Errorf("%d are ready, the greedy one first", len(line))
	}
	p.Run()
	eventually(t, "all to be handled", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) == len(flood)/len(text("4g"))+1
	})
}

// TestFalseReadiness wakes a connection for which nothing has come, as an event does that was meant for an earlier one
// with the same descriptor.
func TestFalseReadiness(t *testing.T) {
	r := newRig(t, setup{})
	p := r.onePoller()
	c, peer := r.ws()
	c.send("4a")
	c.want("4a")
	conn := peer.websocketConn()
	eventually(t, "the turn to be over", func() bool { return conn.turns.Load() == 0 })
	conn.hung.Store(true)
	if conn.turns.Add(1) == 1 {
		p.push(conn)
	}
	eventually(t, "the turn to be over", func() bool { return conn.turns.Load() == 0 && !conn.hung.Load() })
	c.send("4b")
	c.want("4b")
	if peer.endings.Load() != 0 {
		t.Error("the session has ended")
	}
}

// TestPollerForgets wants nothing kept of connections that have ended.
func TestPollerForgets(t *testing.T) {
	r := newRig(t, setup{})
	p := r.onePoller()
	for range 50 {
		c, peer := r.ws()
		c.reset()
		peer.wantEnding(ReasonTransportClose)
	}
	eventually(t, "the connections to be forgotten", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return !slices.ContainsFunc(p.conns, func(c *wsConn) bool { return c != nil }) &&
			!slices.ContainsFunc(p.ready[:cap(p.ready)], func(c *wsConn) bool { return c != nil })
	})
}
