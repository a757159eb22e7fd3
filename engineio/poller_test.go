package engineio

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// eachWay runs a test with a poller, and with a goroutine for each connection.
func eachWay(t *testing.T, f func(t *testing.T, with setup)) {
	t.Run("poller", func(t *testing.T) { f(t, setup{}) })
	t.Run("goroutine", func(t *testing.T) { f(t, setup{alone: true}) })
}

func TestReading(t *testing.T) {
	eachWay(t, func(t *testing.T, with setup) {
		c, _ := newRig(t, with).ws()
		for _, size := range []int{1, readBufferSize - 20, readBufferSize, 3 * readBufferSize, 300_000} {
			long := "4" + strings.Repeat("x", size)
			c.send(long, "4short")
			c.want(long, "4short")
		}
		for _, b := range text("4drop by drop") {
			c.raw([]byte{b})
			time.Sleep(time.Millisecond) // so that they arrive one by one: nothing depends on it
		}
		c.want("4drop by drop")
		p, rest := c.probed(t, with)
		p.want("4with the request")
		rest()
	})
}

// probed upgrades a session by a client that sends on before it has the answer to its handshake.
func (c *wsClient) probed(t *testing.T, with setup) (w *wsClient, end func()) {
	r := newRig(t, with)
	pc, _ := r.poll()
	w = pc.probe()
	pc.get()
	w.send("5", "4with the request")
	return w, func() { w.reset() }
}

// TestEndBehindData has the end of a connection arrive with its last message: both have to be seen.
func TestEndBehindData(t *testing.T) {
	eachWay(t, func(t *testing.T, with setup) {
		with.message = keep
		r := newRig(t, with)
		for i := range 200 {
			c, p := r.ws()
			last := fmt.Sprintf("4last %d", i)
			c.send(last)
			c.conn.Close()
			if got := wait(t, "the message", p.got).data; got != last[1:] {
				t.Fatalf("got %q", got)
			}
			p.wantEnding(ReasonTransportClose)
		}
	})
}

// TestHeldUpReceivers wants a session served while others hold up who serves them.
func TestHeldUpReceivers(t *testing.T) {
	eachWay(t, func(t *testing.T, with setup) {
		var held sync.WaitGroup
		release := make(chan struct{})
		with.message = func(p *peer, data []byte, binary bool) error {
			if string(data) == "hold" {
				held.Done()
				<-release
			}
			return echo(p, data, binary)
		}
		r := newRig(t, with)
		other, _ := r.ws()
		clients := make([]*wsClient, 40)
		held.Add(len(clients))
		for i := range clients {
			clients[i], _ = r.ws()
			clients[i].send("4hold", "4then")
		}
		held.Wait()
		for i := range 100 {
			other.send(fmt.Sprintf("4%d", i))
			other.want(fmt.Sprintf("4%d", i))
		}
		close(release)
		for _, c := range clients {
			c.want("4hold", "4then")
		}
	})
}
