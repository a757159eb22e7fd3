package engineio

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// TestCloseDeliversFirst closes sessions right behind what they were sent: the client has all of it, and then the end.
func TestCloseDeliversFirst(t *testing.T) {
	const times, each = 200, 50
	want := numbered(0, each)
	fill := func(p *peer) {
		for _, m := range want {
			p.Send(NewTextFrame(m[1:])) //nolint:errcheck // what is missing fails the test
		}
		p.end()
		if err := p.Send(NewTextFrame("late")); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
	}
	t.Run("websocket", func(t *testing.T) {
		r := newRig(t, setup{})
		for range times {
			c, p := r.ws()
			fill(p)
			c.want(want...)
			c.wantClose(0)
			p.wantEnding(ReasonForcedClose)
		}
	})
	t.Run("websocket over TLS", func(t *testing.T) {
		r := newRig(t, setup{secure: true})
		for range times {
			c, p := r.ws()
			fill(p)
			c.want(want...)
			c.wantClose(0)
			p.wantEnding(ReasonForcedClose)
		}
	})
	t.Run("websocket, client is sending", func(t *testing.T) {
		r := newRig(t, setup{message: keep})
		for range times {
			c, p := r.ws()
			var sender sync.WaitGroup
			sender.Go(func() {
				for c.write(textFrame("4on and on")) == nil {
				}
			})
			wait(t, "a message", p.got)
			fill(p)
			c.want(want...)
			c.wantClose(0)
			p.wantEnding(ReasonForcedClose)
			c.conn.Close()
			sender.Wait()
		}
	})
	t.Run("polling", func(t *testing.T) {
		r := newRig(t, setup{})
		c := r.client()
		for i := range times {
			c.sid = ""
			c.sid = sidOf(t, c.get())
			p := r.session()
			var got []string
			if i%2 == 0 {
				fill(p)
			} else { // while a GET waits
				polled := c.goGet()
				p.polling()
				fill(p)
				got = strings.Split(wait(t, "the answer", polled).body, "\x1e")
			}
			for len(got) == 0 || got[len(got)-1] != "1" {
				got = append(got, c.packets()...) // the close comes by itself: see answerPoll
			}
			if join(got) != join(append(want[:each:each], "1")) {
				t.Fatalf("got %q", got)
			}
			p.wantEnding(ReasonForcedClose)
			c.wantGone()
		}
	})
	t.Run("in Open", func(t *testing.T) {
		r := newRig(t, setup{open: fill})
		for range times / 10 {
			c, p := r.ws()
			c.want(want...)
			c.wantClose(0)
			p.wantEnding(ReasonForcedClose)
			poller := r.client()
			polled := poller.packets()
			poller.sid = sidOf(t, polled[0])
			if join(polled[1:]) != join(want) || poller.get() != "1" {
				t.Fatalf("got %q", polled)
			}
			r.session().wantEnding(ReasonForcedClose)
		}
	})
}

// TestSendInOpen wants what the handler sends at once to be there, however much.
func TestSendInOpen(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	r := newRig(t, setup{open: func(p *peer) {
		for _, m := range []string{"a", long, "b"} {
			p.Send(NewTextFrame(m)) //nolint:errcheck // what is missing fails the test
		}
	}})
	c, _ := r.ws()
	c.want("4a", "4"+long, "4b")
	if got := r.client().packets(); join(got[1:]) != join([]string{"4a", "4" + long, "4b"}) {
		t.Errorf("polled %.100q", got)
	}
}

// TestHandshakeNeverRead has the handler send a lot to a client that takes nothing of it.
func TestHandshakeNeverRead(t *testing.T) {
	long := NewTextFrame(strings.Repeat("x", 7<<20))
	r := newRig(t, setup{
		options: func(o *Options) {
			o.SendBuffer, o.PingInterval, o.PingTimeout = 8<<20, 50*time.Millisecond, 50*time.Millisecond
		},
		open: func(p *peer) { p.Send(long) }, //nolint:errcheck // one frame is always taken
	})
	_, p := r.ws()
	p.wantEnding(ReasonPingTimeout)
}

func TestCloseInTime(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.CloseTimeout = 20 * time.Millisecond }})
	t.Run("websocket that never reads", func(t *testing.T) {
		_, p := r.stalledSession()
		p.end()
		p.wantEnding(ReasonForcedClose)
	})
	t.Run("polling that never polls", func(t *testing.T) {
		c, p := r.poll()
		p.end()
		p.wantEnding(ReasonForcedClose)
		c.wantGone()
	})
}

func TestCloseWith(t *testing.T) {
	r := newRig(t, setup{})
	t.Run("websocket", func(t *testing.T) {
		c, p := r.ws()
		p.CloseWith("my reason")
		p.CloseWith("another")
		c.wantClose(0)
		p.wantEnding("my reason")
	})
	t.Run("websocket that does not hang up", func(t *testing.T) {
		c, p := r.ws()
		conn := p.websocketConn()
		p.CloseWith("my reason")
		if h, _ := c.next(); h.OpCode != ws.OpClose {
			t.Errorf("got %+v", h)
		}
		c.wantEOF()
		if conn.isGone() {
			t.Error("the stream ended with the connection, not with the close frame")
		}
	})
	t.Run("websocket that never reads", func(t *testing.T) {
		_, p := r.stalledSession()
		p.CloseWith("my reason")
		p.wantEnding("my reason")
	})
	t.Run("polling", func(t *testing.T) {
		c, p := r.poll()
		p.Send(NewTextFrame("never")) //nolint:errcheck // it is discarded
		p.CloseWith("my reason")
		p.wantEnding("my reason")
		c.wantGone()
		c, p = r.poll()
		got := c.goGet()
		p.polling()
		p.CloseWith("my reason")
		if a := wait(t, "the answer", got); a.body != "1" {
			t.Errorf("got %q, %v", a.body, a.err)
		}
	})
	t.Run("in Open", func(t *testing.T) {
		r := newRig(t, setup{open: func(p *peer) {
			p.CloseWith("my reason")
			for range 1000 { // time for an end that does not wait for the receiver
				runtime.Gosched()
			}
		}})
		r.websocket("").wantClose(0)
		r.session().wantEnding("my reason")
		if got := r.client().get(); got != "1" {
			t.Errorf("polled %q", got)
		}
		r.session().wantEnding("my reason")
	})
	t.Run("from within Message", func(t *testing.T) {
		c, p := newRig(t, setup{message: func(p *peer, _ []byte, _ bool) error { p.CloseWith("my reason"); return nil }}).ws()
		c.send("4a")
		c.wantClose(0)
		p.wantEnding("my reason")
	})
}

// TestGoodbyeWhileClosing has the client leave while the server waits for it to take the rest.
func TestGoodbyeWhileClosing(t *testing.T) {
	r := newRig(t, setup{})
	c, p := r.poll()
	p.end()
	c.post("4dropped", "1")
	p.wantEnding(ReasonForcedClose) // it was the server that ended it
	_, p = r.stalledSession()
	p.end()
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	conn.kick() // as if the client had gone
	p.wantEnding(ReasonForcedClose)
}

// TestBlockedCloseHoldsUpNobody has receivers never return from Close, for every way that leads to it.
func TestBlockedCloseHoldsUpNobody(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan Reason, 100)
	r := &rig{t: t, opened: make(chan *peer, 100)}
	o := DefaultOptions()
	o.PingInterval, o.PingTimeout, o.SendBuffer = 50*time.Millisecond, 50*time.Millisecond, 100_000
	srv, err := NewServer(o, opener(func(s *Session) Receiver {
		p := &peer{Session: s, rig: r, on: echo}
		r.opened <- p
		return blockedCloser{p, entered, release}
	}))
	if err != nil {
		t.Fatal(err)
	}
	r.srv = srv
	r.serveSockets(false)
	defer close(release)
	rounds := 2 * len(srv.flushers)
	for range rounds {
		r.ws()         // answers no ping: ended by the clock
		_, p := r.ws() // never reads: ended by a sender
		f := NewTextFrame(strings.Repeat("x", 50_000))
		for p.Send(f) == nil {
			runtime.Gosched()
		}
		c, _ := r.ws() // resets: ended by the reader
		c.reset()
		_, p = r.ws()                                       // takes no more writes: ended by a flusher
		p.websocketConn().SetWriteDeadline(time.Unix(1, 0)) //nolint:errcheck // then the end is waited for in vain
		p.Send(f)                                           //nolint:errcheck // it need not get there
	}
	for range 4 * rounds {
		wait(t, "the end", entered)
	}
	for range srv.flushers { // one of each
		c, _ := r.ws()
		c.send("3", "4still served")
		for m := c.text(); m != "4still served"; m = c.text() {
		}
	}
}

type blockedCloser struct {
	*peer
	entered chan<- Reason
	release <-chan struct{}
}

func (b blockedCloser) Close(reason Reason, _ error) {
	b.entered <- reason
	<-b.release
}

// TestRandomResets has clients vanish at any moment of their life, while the server sends, closes and upgrades.
func TestRandomResets(t *testing.T) {
	const clients, atOnce = 2000, 16
	var mu sync.Mutex
	var all []*peer
	r := newRig(t, setup{open: func(p *peer) {
		mu.Lock()
		all = append(all, p)
		mu.Unlock()
		p.Send(NewTextFrame("welcome")) //nolint:errcheck // it may be gone already
	}})
	go func() {
		for range r.opened { // the tests of one session take it from there; nobody does here
		}
	}()
	t.Cleanup(func() { close(r.opened) })
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range clients {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			conn, err := r.dial()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.(*net.TCPConn).SetLinger(0)           //nolint:errcheck // a slower end than a reset is one too
			conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // likewise
			pause := time.Duration(rand.IntN(1500)) * time.Microsecond
			br := bufio.NewReader(conn)
			if i%4 == 3 { // by polling, with a GET that is never answered
				io.WriteString(conn, "GET /?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n") //nolint:errcheck // it may be cut
				res, err := http.ReadResponse(br, nil)
				if err != nil {
					return
				}
				body, _ := io.ReadAll(res.Body) //nolint:errcheck // likewise
				_, rest, _ := strings.Cut(string(body), `"sid":"`)
				sid, _, _ := strings.Cut(rest, `"`)
				io.WriteString(conn, "GET /?EIO=4&transport=polling&sid="+sid+" HTTP/1.1\r\nHost: x\r\n\r\n") //nolint:errcheck // likewise
				time.Sleep(pause)
				return
			}
			io.WriteString(conn, "GET /?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+ //nolint:errcheck // likewise
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			if i%4 == 0 {
				time.Sleep(pause)
				return
			}
			if _, err := http.ReadResponse(br, nil); err != nil {
				return
			}
			for range rand.IntN(20) {
				if ws.WriteFrame(conn, ws.MaskFrame(textFrame("4hello"))) != nil {
					return
				}
			}
			if i%4 == 2 {
				ws.WriteFrame(conn, ws.MaskFrame(ws.NewCloseFrame(nil))) //nolint:errcheck // likewise
			}
			time.Sleep(pause)
		})
		if rand.IntN(3) == 0 {
			mu.Lock()
			if len(all) > 0 {
				p := all[rand.IntN(len(all))]
				switch rand.IntN(3) {
				case 0:
					p.end()
				case 1:
					p.CloseWith("chance")
				default:
					p.Send(NewTextFrame("more")) //nolint:errcheck // it may be gone
				}
			}
			mu.Unlock()
		}
	}
	wg.Wait()
	// A polling client that vanished without a GET open would only be found by the heartbeat.
	for _, s := range r.srv.sessions.all() {
		if s.Transport() == TransportPolling {
			s.CloseWith("left over")
		}
	}
	eventually(t, "every session to end", func() bool { return r.srv.Len() == 0 })
	mu.Lock()
	defer mu.Unlock()
	for _, p := range all {
		eventually(t, "the receiver to be told", func() bool { return p.endings.Load() > 0 })
		if n := p.endings.Load(); n != 1 {
			t.Errorf("a receiver was told %d times that it is over", n)
		}
	}
	closed := uint64(0)
	for _, n := range r.srv.Stats().Closed {
		closed += n
	}
	if h := r.srv.Stats().Handshakes; closed != h || h != uint64(len(all)) {
		t.Errorf("%d sessions, %d counted as opened, %d as closed", len(all), h, closed)
	}
}
