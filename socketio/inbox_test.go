package socketio

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestOrderOfTenThousand(t *testing.T) {
	s, url := start(t, func(o *Options) { o.ReceiveBuffer = 4096 }) // so that back pressure is at work too
	const count = 10_000
	var got []int
	done := make(chan struct{})
	s.Of("/").On("n", func(e *Event) error {
		var i int
		if err := e.Bind(&i); err != nil {
			return err
		}
		if i%1000 == 0 {
			time.Sleep(time.Millisecond)
		}
		if got = append(got, i); len(got) == count {
			close(done)
		}
		return nil
	})
	c := dial(t, url)
	c.join("/")
	for i := range count {
		c.send(fmt.Sprintf(`2["n",%d]`, i))
	}
	receive(t, done, "last event")
	if !slices.IsSorted(got) {
		t.Error("out of order")
	}
}

func TestFirstEventWaitsForConnectHandler(t *testing.T) {
	for _, middleware := range []bool{false, true} {
		s, url := start(t, nil)
		n := s.Of("/")
		if middleware {
			n.Use(func(*Socket) error { return nil })
		}
		var ready sync.Map
		n.OnConnect(func(s *Socket) error {
			time.Sleep(50 * time.Millisecond)
			ready.Store(s.ID(), true)
			return nil
		})
		n.On("first", func(e *Event) error {
			_, ok := ready.Load(e.Socket.ID())
			return e.Ack(ok)
		})
		var wg sync.WaitGroup
		for range 150 {
			wg.Go(func() {
				c := dial(t, url)
				c.join("/")
				c.send(`20["first"]`)
				c.want(`30[true]`)
			})
		}
		wg.Wait()
	}
}

func TestBlockedHandlerDoesNotStopAnything(t *testing.T) {
	s, url := start(t, func(o *Options) { o.ReceiveBuffer = 2000 })
	release := make(chan struct{})
	s.Of("/").On("block", func(e *Event) error { <-release; return e.Ack("done") })
	s.Of("/other").On("echo", func(e *Event) error { return e.Ack(e.Args) })
	c := dial(t, url)
	c.join("/")
	c.join("/other")
	c.send(`21["block"]`, `2/other,1["echo",1]`)
	c.want(`3/other,1[1]`)
	close(release)
	c.want(`31["done"]`)
}

func TestReceiveBufferStopsReading(t *testing.T) {
	s, url := start(t, func(o *Options) { o.ReceiveBuffer = 64 << 10 })
	release, reason := make(chan struct{}), make(chan string, 1)
	var handled atomic.Int32
	sockets := make(chan *Socket, 1)
	n := s.Of("/")
	n.OnConnect(func(s *Socket) error { sockets <- s; return nil })
	n.On("block", func(*Event) error { <-release; handled.Add(1); return nil })
	n.OnDisconnect(func(_ *Socket, r string) { reason <- r })
	c := dial(t, url)
	c.join("/")
	socket := receive(t, sockets, "socket")
	event := `2["block","` + strings.Repeat("x", 1000) + `"]`
	sent := make(chan int, 1)
	go func() {
		i := 0
		for ; i < 100_000; i++ {
			if c.conn.SetWriteDeadline(time.Now().Add(time.Second)) != nil || wsWrite(c, event) != nil {
				break
			}
		}
		sent <- i
	}()
	if n := receive(t, sent, "end of sending"); n >= 100_000 {
		t.Error("everything was read")
	}
	socket.mu.Lock()
	queued := socket.queued
	socket.mu.Unlock()
	if queued > 64<<10 {
		t.Errorf("%d bytes wait", queued)
	}
	// A reader that waits for room does not keep the end from coming.
	socket.Disconnect(true)
	close(release)
	if r := receive(t, reason, "reason"); r != reasonServerDisconnect {
		t.Errorf("reason %q", r)
	}
	if handled.Load() != 1 {
		t.Errorf("%d events handled, 1 had begun", handled.Load())
	}
}
