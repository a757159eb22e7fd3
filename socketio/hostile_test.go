package socketio

import (
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/engineio"
)

// Each of these is answered by the end of the connection, and harms nobody else.
func TestHostilePackets(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	reasons := make(chan string, 1)
	n.OnDisconnect(func(_ *Socket, reason string) { reasons <- reason })
	n.On("e", func(e *Event) error {
		for i := range e.Args {
			var v any
			if err := e.Args[i].Bind(&v); err != nil {
				return err
			}
		}
		return e.Ack(e.Args)
	})
	witness := dial(t, url)
	witness.join("/")
	for _, c := range []struct {
		send   []string
		reason string
	}{
		{[]string{``}, "parse error"},
		{[]string{`9`}, "parse error"},
		{[]string{`2`}, "parse error"},
		{[]string{`212`}, "parse error"},
		{[]string{`2[]`}, "parse error"},
		{[]string{`2{}`}, "parse error"},
		{[]string{`2[null]`}, "parse error"},
		{[]string{`2["connect"]`}, "parse error"},
		{[]string{`2["disconnecting"]`}, "parse error"},
		{[]string{`2["e"`}, "parse error"},
		{[]string{`2["e",]`}, "parse error"},
		{[]string{`2["e"]x`}, "parse error"},
		{[]string{`5999999-[`}, "parse error"},
		{[]string{`5-["e"]`}, "parse error"},
		{[]string{`51-["e",{"_placeholder":true,"num":1}]`}, "parse error"},
		{[]string{`51-["e",{"_placeholder":true,"num":-1}]`}, "parse error"},
		{[]string{`51-["e",{"_placeholder":true,"num":0.5}]`}, "parse error"},
		{[]string{`51-["e",{"_placeholder":true,"num":"0"}]`}, "parse error"},
		{[]string{`51-["e",{"_placeholder":true}]`}, "parse error"},
		{[]string{`51-["e",{"\u005fplaceholder":true,"num":9}]`}, "parse error"},
		{[]string{`51-["e",{"_placeholder":true,"num":0}]`, `2["e"]`}, "parse error"},
		{[]string{`399999999999999999999999[]`}, "parse error"},
		{[]string{`30{}`}, "parse error"},
		{[]string{`1[]`}, "parse error"},
		{[]string{`2["e",` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `]`}, "parse error"},
		{[]string{`0[]`}, "parse error"},
		{[]string{`0"x"`}, "parse error"},
		{[]string{`0`}, "forced server close"},
		{[]string{`4{}`}, "forced server close"},
		{[]string{`2/elsewhere,["e"]`}, "forced server close"},
		{[]string{`1/elsewhere,`}, "forced server close"},
	} {
		hostile := dial(t, url)
		hostile.join("/")
		for _, p := range c.send {
			_ = wsWrite(hostile, p) // the server may have hung up after the first
		}
		hostile.wantClosed()
		if r := receive(t, reasons, "end"); r != c.reason {
			t.Errorf("%.60q: reason %q, want %q", c.send, r, c.reason)
		}
	}
	binary := dial(t, url)
	binary.join("/")
	binary.sendBinary([]byte("out of the blue"))
	binary.wantClosed()
	if r := receive(t, reasons, "end"); r != "parse error" {
		t.Errorf("binary: reason %q", r)
	}

	// These are no breach.
	witness.send(`20["e",{"__proto__":{"a":1},"constructor":1}]`, `2["__proto__"]`, `2["nobody listens"]`, `39[1]`, `3`,
		`21["e",{"_placeholder":true,"num":99}]`)
	witness.want(`30[{"__proto__":{"a":1},"constructor":1}]`)
	witness.want(`31[{"_placeholder":true,"num":99}]`)
	if n.Len() != 1 {
		t.Errorf("%d sockets", n.Len())
	}
}

// Clients that vanish at a random moment around CONNECT leave nothing behind, and are told of once.
func TestResetsAroundConnect(t *testing.T) {
	total := 2000
	if testing.Short() {
		total = 200
	}
	s, url := start(t, nil)
	var connected, disconnected atomic.Int64
	var ends sync.Map
	for i, name := range []string{"/plain", "/checked"} {
		n := s.Of(name)
		if i == 1 {
			n.Use(func(s *Socket) error {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
				return s.Join("early")
			})
		}
		n.OnConnect(func(s *Socket) error { connected.Add(1); return s.Join("room", s.ID()+"-own") })
		n.OnDisconnecting(func(s *Socket, _ string) { _ = s.Join("late") })
		n.OnDisconnect(func(s *Socket, _ string) {
			disconnected.Add(1)
			if _, twice := ends.LoadOrStore(s.ID(), true); twice {
				t.Error("disconnected twice")
			}
		})
		n.On("bye", func(e *Event) error { e.Socket.Disconnect(rand.IntN(2) == 0); return nil })
	}
	stop := make(chan struct{})
	var emitter sync.WaitGroup
	emitter.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_ = s.Of("/plain").To("room").Emit("x", 1)
				_ = s.Of("/checked").Emit("x", 1)
			}
		}
	})
	var wg sync.WaitGroup
	for w := range 20 {
		wg.Go(func() {
			for i := range total / 20 {
				c := dial(t, url)
				time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, c.reset)
				for _, p := range []string{"0/plain,", "0/checked,", `2/plain,["bye"]`} {
					if wsWrite(c, p) != nil {
						break
					}
					if (w+i)%2 == 0 {
						if _, err := c.next(); err != nil {
							break
						}
					}
				}
				c.wantClosed()
			}
		})
	}
	wg.Wait()
	eventually(t, "all sessions gone", func() bool { return s.Engine().Len() == 0 })
	eventually(t, "all workers gone", func() bool { return s.workers.Load() == 0 })
	close(stop)
	emitter.Wait()
	if c, d := connected.Load(), disconnected.Load(); c != d || c == 0 {
		t.Errorf("%d connected, %d disconnected", c, d)
	}
	for _, n := range s.list() {
		n.mu.Lock()
		if len(n.sockets)+len(n.all)+len(n.rooms) != 0 {
			t.Errorf("%s: %d sockets, %d members, %d rooms are left", n.name, len(n.sockets), len(n.all), len(n.rooms))
		}
		n.mu.Unlock()
	}
	if s.Stats().Sockets != 0 {
		t.Errorf("%d sockets counted", s.Stats().Sockets)
	}
}

// A client that never reads is cut off by the engine, and its socket goes with it.
func TestClientThatNeverReads(t *testing.T) {
	s, url := start(t, func(o *Options) { o.Engine.SendBuffer = 64 << 10 })
	n := s.Of("/")
	reason := make(chan string, 1)
	n.OnDisconnect(func(_ *Socket, r string) { reason <- r })
	c := dial(t, url)
	c.conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	c.join("/")
	payload := strings.Repeat("x", 16<<10)
	eventually(t, "cut off", func() bool {
		_ = n.Emit("x", payload)
		return n.Len() == 0
	})
	if r := receive(t, reason, "end"); r != string(engineio.ReasonBufferFull) {
		t.Errorf("reason %q", r)
	}
}
