package engineio

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/rs/zerolog"
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

// TestEndedBeforeJoining ends a connection before a poller waits for it, as the end of a session may that comes in the midst
// of its handshake: nobody else would ever look at it.
func TestEndedBeforeJoining(t *testing.T) {
	for name, end := range map[string]func(*wsConn){
		"kick": (*wsConn).kick,
		"part": func(c *wsConn) { c.part() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, setup{})
			_, holder := r.ws() // holds the server open
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			theirs, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c := newWSConn(theirs, r.srv, holder.Session)
			end(c)
			c.start(nil)
			eventually(t, "the connection to be closed", c.isGone)
		})
	}
}

// TestShutdownIsNoError wants nothing in the log above debug when a server ends in good order.
func TestShutdownIsNoError(t *testing.T) {
	var mu sync.Mutex
	var logged bytes.Buffer
	write := writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return logged.Write(b)
	})
	r := newRig(t, setup{options: func(o *Options) { o.Logger = zerolog.New(write).Level(zerolog.InfoLevel) }})
	c, p := r.ws()
	c.conn.Close()
	p.wantEnding(ReasonTransportClose)
	if err := r.srv.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if logged.Len() > 0 {
		t.Errorf("logged: %s", logged.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
