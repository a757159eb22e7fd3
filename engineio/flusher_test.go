package engineio

import (
	"os"
	"strings"
	"sync"
	"testing"
)

// busyConn takes every write, and has the session sent another frame by each.
type busyConn struct {
	null   *os.File
	s      *Session
	writes int
}

func (c *busyConn) Control(func(uintptr)) error   { return nil }
func (c *busyConn) Read(func(uintptr) bool) error { return nil }

func (c *busyConn) Write(f func(uintptr) bool) error {
	if c.writes++; c.writes > 2*flushTurns {
		return os.ErrDeadlineExceeded // enough to have failed the test
	}
	f(c.null.Fd())
	_, err := c.s.enqueue(NewTextFrame("more"), false)
	return err
}

// TestFlusherTakesTurns fills a session's queue as fast as it is emptied: others must have their turn.
func TestFlusherTakesTurns(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	srv := &Server{opts: DefaultOptions()}
	s := &Session{srv: srv, opened: true, recv: discard{}, scheduled: true}
	raw := &busyConn{null: null, s: s}
	s.conn = &wsConn{raw: raw, srv: srv, s: s}
	if _, err := s.enqueue(NewTextFrame("first"), false); err != nil {
		t.Fatal(err)
	}
	fl := newFlusher()
	fl.flush(s)
	if raw.writes != flushTurns || len(fl.waiting) != 1 || fl.waiting[0] != s {
		t.Errorf("%d writes, %d sessions wait", raw.writes, len(fl.waiting))
	}
	if want := NewTextFrame("more").cost(); s.size != want || len(s.queue) != 1 {
		t.Errorf("%d bytes on the account of %d frames", s.size, len(s.queue))
	}
	if n := srv.stats.bytesOut.Load(); n != uint64(len("4first")+2+(flushTurns-1)*(len("4more")+2)) {
		t.Errorf("%d bytes counted", n)
	}
}

// TestGatherer wants the bytes of frames in their order, however they are put together.
func TestGatherer(t *testing.T) {
	var frames []*Frame
	var want strings.Builder
	for _, size := range []int{10, 20, flushWhole, 30, flushWhole - 100, flushWhole - 100, flushWhole - 100, flushWhole - 100, 40, flushChunk, 50, 60} {
		for _, f := range []*Frame{NewTextFrame(strings.Repeat("x", size)), messageOf("1", make([]byte, size), []byte("y"))} {
			frames = append(frames, f)
			want.Write(f.appendWire(nil))
		}
	}
	c := &wsConn{}
	var g gatherer
	defer g.free()
	var got strings.Builder
	chunks := 0
	for left := frames; len(left) > 0; chunks++ {
		pieces, n, shared := g.gather(c, left)
		if n < 1 || !shared && (len(pieces) != 1 || len(pieces[0]) > flushChunk) || shared && n != 1 {
			t.Fatalf("%d frames, %d pieces, shared %t", n, len(pieces), shared)
		}
		for _, p := range pieces {
			got.Write(p)
		}
		left = left[n:]
	}
	if got.String() != want.String() || chunks > 16 {
		t.Errorf("%d bytes in %d chunks, want %d", got.Len(), chunks, want.Len())
	}
}

// TestHotSessionDoesNotStarveOthers fills one session's queue as fast as it is emptied.
func TestHotSessionDoesNotStarveOthers(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.SendBuffer = 1 << 30 }})
	hot, p := r.ws()
	done := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		f := NewTextFrame("x")
		for {
			select {
			case <-done:
				return
			default:
				p.Send(f) //nolint:errcheck // it ends with the test
			}
		}
	})
	busy.Go(func() {
		for {
			if _, _, err := hot.read(); err != nil {
				return
			}
		}
	})
	for range 2 * len(r.srv.flushers) { // one of them shares the flusher
		c, _ := r.ws()
		for range 20 {
			c.send("4a")
			c.want("4a")
		}
	}
	close(done)
	p.CloseWith(ReasonForcedClose)
	busy.Wait()
}
