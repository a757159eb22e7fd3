package engineio

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// stalledSession is one whose client does not read, with a writer that waits for it.
func (r *rig) stalledSession() (*wsClient, *peer) {
	r.t.Helper()
	c, p := r.ws()
	filler := NewTextFrame(strings.Repeat("f", 64<<10))
	for !p.isStalled() {
		if err := p.Send(filler); err != nil && !errors.Is(err, ErrBufferFull) {
			r.t.Fatal(err)
		}
		p.settled()
	}
	return c, p
}

func (p *peer) isStalled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stalled
}

// settled waits until the flusher has dealt with what was sent: it is written, or has found the client slow.
func (p *peer) settled() {
	p.rig.t.Helper()
	eventually(p.rig.t, "the flusher", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return !p.scheduled || p.stalled
	})
}

func (p *peer) queuedBytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// TestSlowReaderGetsEverythingInOrder sends a client 100,000 frames before it begins to read.
func TestSlowReaderGetsEverythingInOrder(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, setup{secure: secure, options: func(o *Options) { o.SendBuffer = 64 << 20 }})
			c, p := r.ws()
			const n = 100_000
			// The longer ones, now and then, are written from where they lie.
			long := strings.Repeat("x", 20_000)
			body := func(i int) string {
				if i%1000 == 0 {
					return strconv.Itoa(i) + long
				}
				return strconv.Itoa(i)
			}
			var b Batch
			for i := range n {
				if i%7 == 0 {
					if err := p.Send(NewTextFrame(body(i))); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := b.Send(p.Session, NewTextFrame(body(i))); err != nil {
					t.Fatal(err)
				}
				b.Flush()
			}
			for i := range n {
				if got := c.text(); got != "4"+body(i) {
					t.Fatalf("got %.20q where %d is next", got, i)
				}
			}
			eventually(t, "an empty account", func() bool { return p.queuedBytes() == 0 })
			if p.isStalled() {
				t.Error("still thought to be slow")
			}
			c.send("4back")
			c.want("4back")
		})
	}
}

// TestAccountIsSquare wants Session.size to be zero whenever nothing is queued, whatever has happened.
func TestAccountIsSquare(t *testing.T) {
	r := newRig(t, setup{})
	w, p := r.ws()
	c, q := r.poll()
	for i := range 200 {
		p.Send(NewTextFrame(strings.Repeat("x", i*i))) //nolint:errcheck // what is missing fails the test
		q.Send(NewTextFrame(strings.Repeat("x", i*i))) //nolint:errcheck // likewise
		q.SendVolatile(NewTextFrame("x"))
		p.SendVolatile(NewTextFrame("x"))
	}
	for n := 0; n < 200; {
		if m := w.text(); m != "4x" || n == 1 {
			n++
		}
	}
	c.get()
	eventually(t, "empty accounts", func() bool { return p.queuedBytes() == 0 && q.queuedBytes() == 0 })
}

// TestAccountOfAPartialWrite has a client take only some of what the flusher writes at once.
func TestAccountOfAPartialWrite(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.SendBuffer = 64 << 20 }})
	c, p := r.ws()
	p.websocketConn()
	p.settled()
	long := strings.Repeat("x", 10_000)
	const n = 3000
	var b Batch
	p.mu.Lock() // the flusher finds all of it
	for i := range n {
		if wake, err := p.enqueueLocked(NewTextFrame(strconv.Itoa(i)+long), false); err != nil {
			t.Error(err)
		} else if wake {
			b.add(p.Session)
		}
	}
	p.mu.Unlock()
	b.Flush()
	eventually(t, "the client to fall behind", p.isStalled)
	for i := range n {
		c.want("4" + strconv.Itoa(i) + long)
	}
	eventually(t, "the client to have caught up", func() bool { return !p.isStalled() })
	if got := p.queuedBytes(); got != 0 {
		t.Errorf("%d bytes on an empty queue's account", got)
	}
}

func TestVolatileWhileStalled(t *testing.T) {
	r := newRig(t, setup{})
	c, p := r.ws()
	if !p.SendVolatile(NewTextFrame("1")) {
		t.Error("a client that is ready was not sent a volatile packet")
	}
	c.want("41")
	c, p = r.stalledSession()
	if p.SendVolatile(NewTextFrame("2")) {
		t.Error("a client that is behind was sent a volatile packet")
	}
	var b Batch
	if b.SendVolatile(p.Session, NewTextFrame("2")) {
		t.Error("a client that is behind was sent a volatile packet by a batch")
	}
	b.Flush()
	go func() {
		for {
			if _, _, err := c.read(); err != nil {
				return
			}
		}
	}()
	eventually(t, "the client to catch up", func() bool { return !p.isStalled() })
	if !p.SendVolatile(NewTextFrame("3")) {
		t.Error("a client that has caught up was not sent a volatile packet")
	}
	p.settled()
}

func TestVolatileOverTLS(t *testing.T) {
	_, p := newRig(t, setup{secure: true}).ws()
	f := NewTextFrame(strings.Repeat("x", 32<<10))
	dropped := false
	for range 1000 {
		if dropped = !p.SendVolatile(f); dropped {
			break
		}
	}
	if !dropped || p.queuedBytes() > 200<<10 {
		t.Errorf("a client that never reads: dropped %t, %d bytes queued", dropped, p.queuedBytes())
	}
}

func TestVolatileOnPolling(t *testing.T) {
	c, p := newRig(t, setup{}).poll()
	if !p.SendVolatile(NewTextFrame("1")) {
		t.Error("the first packet between two polls was dropped")
	}
	if p.SendVolatile(NewTextFrame("2")) {
		t.Error("a packet was taken although another waits for the poll")
	}
	if got := c.get(); got != "41" {
		t.Errorf("got %q", got)
	}
	got := c.goGet()
	p.polling()
	if !p.SendVolatile(NewTextFrame("3")) {
		t.Error("a packet was dropped although a GET waits")
	}
	if a := wait(t, "the answer", got); a.body != "43" {
		t.Errorf("got %q, %v", a.body, a.err)
	}
}

// TestVolatileGoesFirst fills a polling client's buffer with volatile and other packets.
func TestVolatileGoesFirst(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.SendBuffer = 10_000 }})
	c, p := r.poll()
	got := c.goGet()
	p.polling()
	kb := strings.Repeat("x", 900)
	p.mu.Lock() // as long as this is held the GET can't leave with anything
	for range 5 {
		p.enqueueLocked(NewTextFrame("v"+kb), true)  //nolint:errcheck // what is missing fails the test
		p.enqueueLocked(NewTextFrame("o"+kb), false) //nolint:errcheck // likewise
	}
	for range 5 {
		if _, err := p.enqueueLocked(NewTextFrame("o"+kb), false); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.enqueueLocked(NewTextFrame("v"+kb), true); err == nil {
		t.Error("a volatile packet was taken into a buffer that is full")
	}
	p.mu.Unlock()
	if a := wait(t, "the answer", got); a.body != join(repeat("4o"+kb, 10)) {
		t.Errorf("got %d packets: %.200q", strings.Count(a.body, "\x1e")+1, a.body)
	}
	if n := r.srv.Stats().VolatileDropped; n != 5 {
		t.Errorf("%d volatile packets dropped", n)
	}
}

func repeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func TestSendBufferBound(t *testing.T) {
	const bound = 100_000
	t.Run("one frame is always taken", func(t *testing.T) {
		c, p := newRig(t, setup{options: func(o *Options) { o.SendBuffer = bound }}).ws()
		large := strings.Repeat("x", 10*bound)
		p.settled() // the open packet has left
		if err := p.Send(NewTextFrame(large)); err != nil {
			t.Fatal(err)
		}
		c.want("4" + large)
	})
	t.Run("polling", func(t *testing.T) {
		c, p := newRig(t, setup{options: func(o *Options) { o.SendBuffer = bound }}).poll()
		n := 0
		for p.Send(NewTextFrame("0123456789")) == nil {
			n++
		}
		if n < bound/100 || n > bound/70 { // each counts for more than its 13 bytes
			t.Errorf("%d small frames taken", n)
		}
		if err := p.Send(NewTextFrame("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after the bound: %v", err)
		}
		if e := p.ending(); e.reason != ReasonBufferFull || !errors.Is(e.err, ErrBufferFull) {
			t.Errorf("ended for %q, %v", e.reason, e.err)
		}
		c.wantGone()
	})
	for name, secure := range map[string]bool{"websocket": false, "websocket over TLS": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, setup{secure: secure, options: func(o *Options) { o.SendBuffer = bound }})
			_, p := r.ws()
			other, q := r.ws()
			frame := NewTextFrame(strings.Repeat("x", 10_000))
			for i := 0; ; i++ {
				err := p.Send(frame)
				if errors.Is(err, ErrBufferFull) {
					break
				}
				if err != nil || i > 1e6 {
					t.Fatalf("frame %d: %v", i, err)
				}
				if n := p.queuedBytes(); n > bound {
					t.Fatalf("%d bytes queued", n)
				}
				if i%100 == 0 {
					q.Send(NewTextFrame("fine")) //nolint:errcheck // the frame tells
					other.want("4fine")
				}
				runtime.Gosched()
			}
			p.wantEnding(ReasonBufferFull)
			other.send("4still here")
			other.want("4still here")
			eventually(t, "no session but the other", func() bool { return r.srv.Len() == 1 })
		})
	}
}

// TestStalledDoNotSlowOthers has many clients not read and one that does.
func TestStalledDoNotSlowOthers(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.SendBuffer = 1 << 20 }})
	const stalled = 20
	var all []*peer
	for range stalled {
		_, p := r.stalledSession()
		all = append(all, p)
	}
	c, q := r.ws()
	var b Batch
	for i := range 1000 {
		f := NewTextFrame(strconv.Itoa(i) + strings.Repeat(" ", 1000))
		for _, p := range all {
			b.Send(p.Session, f) //nolint:errcheck // those that don't read end sooner or later
		}
		if err := b.Send(q.Session, f); err != nil {
			t.Fatal(err)
		}
		b.Flush()
		c.want("4" + strconv.Itoa(i) + strings.Repeat(" ", 1000))
	}
}

// TestBroadcast sends bursts to many clients by batches from several goroutines: each sees each sender's order.
func TestBroadcast(t *testing.T) {
	const clients, senders, each = 50, 4, 200
	r := newRig(t, setup{})
	var all []*peer
	var readers sync.WaitGroup
	failed := make(chan error, clients)
	for range clients {
		c, p := r.ws()
		all = append(all, p)
		readers.Go(func() {
			next := [senders]int{}
			for range senders * each {
				h, m, err := c.read()
				var s, n int
				if _, err2 := fmt.Sscanf(string(m), "4%d-%d", &s, &n); err != nil || err2 != nil || h.OpCode != ws.OpText || next[s] != n {
					failed <- fmt.Errorf("got %q, %w", m, errors.Join(err, err2))
					return
				}
				next[s]++
			}
		})
	}
	for s := range senders {
		go func() {
			var b Batch
			for n := range each {
				f := NewTextFrame(fmt.Sprintf("%d-%d", s, n))
				for _, p := range all {
					b.Send(p.Session, f) //nolint:errcheck // what is missing fails the test
				}
				b.Flush()
			}
		}()
	}
	readers.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
}

// TestFramesOfOneMessageStayTogether has others send between a message and its attachments, which must not succeed.
func TestFramesOfOneMessageStayTogether(t *testing.T) {
	c, p := newRig(t, setup{}).ws()
	const n = 500
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for range n {
				p.Send(messageOf("52-", []byte{1}, []byte{2})) //nolint:errcheck // what is missing fails the test
			}
		})
	}
	for range 4 * n {
		c.want("452-")
		for want := byte(1); want <= 2; want++ {
			if h, got := c.next(); h.OpCode != ws.OpBinary || !bytes.Equal(got, []byte{want}) {
				t.Fatalf("got %+v %v", h, got)
			}
		}
	}
	senders.Wait()
}

func TestStatsCountTheWire(t *testing.T) {
	r := newRig(t, setup{})
	c, p := r.ws()
	read := uint64(2 + len(c.open))
	p.Send(NewTextFrame(strings.Repeat("x", 1000))) //nolint:errcheck // the frame tells
	c.text()
	read += 4 + 1001
	c.send("4hello")
	c.text()
	read += 2 + 6
	eventually(t, "the counters", func() bool { return r.srv.Stats().BytesOut >= read })
	s := r.srv.Stats()
	// The answer to the handshake is counted too.
	if extra := s.BytesOut - read; extra < 100 || extra > 400 {
		t.Errorf("%d bytes out, the client read %d behind the handshake", s.BytesOut, read)
	}
	if s.MessagesIn != 1 || s.BytesIn != 2+4+6 || s.Handshakes != 1 || s.Sessions[TransportWebSocket] != 1 || s.Sessions[TransportPolling] != 0 {
		t.Errorf("stats %+v", s)
	}
	c.conn.Close()
	p.wantEnding(ReasonTransportClose)
	if s := r.srv.Stats(); s.Closed[ReasonTransportClose] != 1 || s.Sessions[TransportWebSocket] != 0 {
		t.Errorf("stats %+v", s)
	}
}
