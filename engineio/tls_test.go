package engineio

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"
)

const sessionSize = unsafe.Sizeof(Session{})

func TestTLSEcho(t *testing.T) {
	r := newRig(t, setup{secure: true})
	w, p := r.ws()
	if !p.Handshake().Secure {
		t.Error("the handshake does not say so")
	}
	for _, size := range []int{0, 1, 70_000, 900_000} {
		m := "4" + strings.Repeat("x", size)
		w.send(m)
		w.want(m)
	}
	c, _ := r.poll()
	c.post("4a", "4b")
	if got := c.get(); got != "4a\x1e4b" {
		t.Errorf("polled %q", got)
	}
	up := c.probe()
	c.get()
	up.send("5", "4a")
	up.want("4a")
}

// TestTLSEnds wants the close frame to be there however the session ends.
func TestTLSEnds(t *testing.T) {
	r := newRig(t, setup{secure: true})
	for range 50 {
		c, p := r.ws()
		c.send("4\xff")
		c.wantClose(1007)
		p.wantEnding(ReasonTransportError)
		c, p = r.ws()
		c.raw(part(8, true, "\x03\xe8"))
		c.wantClose(1000)
		p.wantEnding(ReasonTransportClose)
		c, p = r.ws()
		p.CloseWith("reason")
		c.wantClose(0)
		p.wantEnding("reason")
	}
}

// TestTLSNeverRead ends, in every way, the session of a client that does not read: its writer waits meanwhile.
func TestTLSNeverRead(t *testing.T) {
	// full fills the connection and the queue, and returns what waits for the connection to be closed.
	full := func(t *testing.T, p *peer) (left func()) {
		t.Helper()
		f := NewTextFrame(strings.Repeat("x", 64<<10))
		for p.queuedBytes() < 24<<20 { // more than the kernel takes at both ends together
			if err := p.Send(f); err != nil {
				t.Fatal(err)
			}
		}
		return p.connClosed()
	}
	t.Run("no pong", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, setup{secure: true, options: func(o *Options) {
			o.SendBuffer, o.PingInterval, o.PingTimeout = 32<<20, 100*time.Millisecond, 100*time.Millisecond
		}})
		_, p := r.ws()
		left := full(t, p)
		p.wantEnding(ReasonPingTimeout)
		left()
	})
	t.Run("buffer full", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, setup{secure: true, options: func(o *Options) { o.SendBuffer = 25 << 20 }})
		_, p := r.ws()
		left := full(t, p)
		f := NewTextFrame(strings.Repeat("x", 64<<10))
		err := p.Send(f)
		for ; err == nil; err = p.Send(f) {
		}
		if !errors.Is(err, ErrBufferFull) {
			t.Errorf("Send: %v", err)
		}
		p.wantEnding(ReasonBufferFull)
		left()
	})
	t.Run("CloseWith", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, setup{secure: true, options: func(o *Options) { o.SendBuffer = 32 << 20 }})
		_, p := r.ws()
		left := full(t, p)
		p.CloseWith("reason")
		p.wantEnding("reason")
		left()
	})
	t.Run("Close", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, setup{secure: true, options: func(o *Options) { o.SendBuffer, o.CloseTimeout = 32<<20, 10*time.Millisecond }})
		_, p := r.ws()
		left := full(t, p)
		p.end()
		p.wantEnding(ReasonForcedClose)
		left()
	})
}
