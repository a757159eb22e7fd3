package socketio

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkEcho takes an event that is acknowledged from the parser through the inbox and the handler into
// the session's queue, as many as window in one batch.
func BenchmarkEcho(b *testing.B) {
	for _, window := range []int{1, 32} {
		b.Run(fmt.Sprint("window", window), func(b *testing.B) {
			s, url := start(b, nil)
			n := s.Of("/")
			done := make(chan struct{}, window)
			n.On("echo", func(e *Event) error {
				err := e.Ack(e.Args)
				done <- struct{}{}
				return err
			})
			c := dial(b, url)
			conn := n.Socket(c.join("/")).conn
			go io.Copy(io.Discard, c.conn)
			packet := []byte(`212["echo",{"room":"lobby","text":"Hello, how are you today?"}]`)
			b.ReportAllocs()
			b.ResetTimer()
			under := 0
			for range b.N {
				if err := conn.Message(packet, false); err != nil {
					b.Fatal(err)
				}
				if under++; under == window {
					conn.EndBatch().Run()
					for ; under > 0; under-- {
						<-done
					}
				}
			}
			if under > 0 {
				conn.EndBatch().Run()
			}
			b.StopTimer()
			c.conn.Close()
		})
	}
}

// BenchmarkBroadcast sends one event to a room of websocket clients on the loopback, and waits until the
// queues have been written.
func BenchmarkBroadcast(b *testing.B) {
	for _, members := range []int{1, 100, 500} {
		b.Run(strconv.Itoa(members), func(b *testing.B) {
			s, url := start(b, func(o *Options) { o.Engine.SendBuffer = 1 << 30 })
			n := s.Of("/")
			clients, _ := crowd(b, s, url, members, func(int) []string { return []string{"r"} })
			for _, c := range clients {
				go io.Copy(io.Discard, c.conn)
			}
			room := n.To("r")
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := room.Emit("chat message", "Hello, how are you today?", 12); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/delivery")
			for _, c := range clients {
				c.conn.Close()
			}
		})
	}
}

// BenchmarkRecipients walks the targets of a broadcast.
func BenchmarkRecipients(b *testing.B) {
	n := newNamespace(&Server{}, "/", nil)
	for i := range 1000 {
		s := &Socket{ns: n, conn: &conn{}, id: fmt.Sprint("id", i), index: -1}
		n.register(s)
		n.join(s, "all")
		n.join(s, fmt.Sprint("half", i%2))
	}
	for name, t := range map[string]*target{
		"room":   {rooms: []string{"all"}},
		"rooms":  {rooms: []string{"half0", "half1"}},
		"except": {rooms: []string{"all"}, except: []string{"half0"}},
		"one":    {rooms: []string{"id7"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n.mu.Lock()
				n.recipients(t)
				n.releaseRecipients()
				n.mu.Unlock()
			}
		})
	}
}

// TestIdleConnectionMemory prints what this package and the engine keep for a connection with one socket. It
// needs the client's side in another process to be exact, so it is a figure to look at and not a test.
func TestIdleConnectionMemory(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("IDLE_CONNECTIONS"))
	if err != nil {
		t.Skip("set IDLE_CONNECTIONS to a number")
	}
	s, url := start(t, nil)
	measure := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := measure()
	for range count {
		c := &conn{server: s, session: nil}
		s.lobby.add(c)
		k := &Socket{conn: c, ns: s.Of("/"), id: strings.Clone(s.ids.next()), index: -1}
		c.sockets = append(c.one[:0], joined{"/", k})
		n := s.Of("/")
		n.mu.Lock()
		n.register(k)
		n.mu.Unlock()
		s.lobby.remove(c)
	}
	t.Logf("%d bytes of this package for a connection with one socket", (measure()-before)/uint64(count))
	n := s.Of("/")
	n.mu.Lock()
	n.all = nil
	clear(n.sockets)
	n.mu.Unlock()
	_ = url
}
