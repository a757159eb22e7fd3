package engineio

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestDrain(t *testing.T) {
	r := newRig(t, setup{})
	c, p := r.poll()
	w, _ := r.ws()
	r.srv.Drain()
	r.srv.Drain()
	fresh := r.client()
	if a := fresh.do(fresh.request("GET", "")); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "shutting down") {
		t.Errorf("handshake: %d %q", a.status, a.body)
	}
	if _, _, res := r.upgradeTo("?EIO=4&transport=websocket"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("websocket: %s", res.Status)
	}
	// Those that are there stay, and may upgrade.
	w.send("4a")
	w.want("4a")
	up := c.probe()
	c.get()
	up.send("5", "4a")
	up.want("4a")
	if p.endings.Load() != 0 || r.srv.Len() != 2 {
		t.Errorf("%d sessions", r.srv.Len())
	}
}

// TestDrainWhileOpening drains the server while the handler is at a session: it stays.
func TestDrainWhileOpening(t *testing.T) {
	r := newRig(t, setup{open: func(p *peer) { p.srv.Drain() }})
	c, p := r.ws()
	c.send("4a")
	c.want("4a")
	if p.endings.Load() != 0 {
		t.Error("the session has ended")
	}
}

// TestShutdown wants every session to get what is queued and be closed, and every call to wait for the end.
func TestShutdown(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, setup{secure: secure})
			w, p := r.ws()
			c, q := r.poll()
			waiting, s := r.poll()
			got := waiting.goGet()
			s.polling()
			probing, u := r.poll()
			probe := probing.probe()
			for _, peer := range []*peer{p, q} {
				peer.Send(NewTextFrame("last")) //nolint:errcheck // what is missing fails the test
			}
			ended := make(chan error, 2)
			for range 2 {
				go func() { ended <- r.srv.Shutdown(context.Background()) }()
			}
			w.want("4last")
			w.wantClose(0)
			if got := c.get(); got != "4last" {
				t.Errorf("polled %q", got)
			}
			if got := c.get(); got != "1" {
				t.Errorf("polled %q", got)
			}
			if a := wait(t, "the answer", got); a.body != "1" {
				t.Errorf("polled %q, %v", a.body, a.err)
			}
			if got := probing.get(); got != "1" {
				t.Errorf("polled %q", got)
			}
			probe.wantClose(0)
			for _, peer := range []*peer{p, q, s, u} {
				peer.wantEnding(ReasonShutdown)
			}
			for range 2 {
				if err := wait(t, "Shutdown", ended); err != nil {
					t.Error(err)
				}
			}
			if err := r.srv.Shutdown(t.Context()); err != nil {
				t.Errorf("one more Shutdown: %v", err)
			}
			if r.srv.Len() != 0 {
				t.Errorf("%d sessions", r.srv.Len())
			}
			fresh := r.client()
			if a := fresh.do(fresh.request("GET", "")); a.status != http.StatusServiceUnavailable {
				t.Errorf("handshake: %d %q", a.status, a.body)
			}
			p.Send(NewTextFrame("late")) //nolint:errcheck // it must only not block
			var b Batch
			b.Send(p.Session, NewTextFrame("late")) //nolint:errcheck // likewise
			b.Flush()
			p.end()
			p.CloseWith(ReasonForcedClose)
		})
	}
}

// TestShutdownOutOfTime has clients of every kind that don't take their end: it must come when the context does.
func TestShutdownOutOfTime(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, setup{secure: secure, options: func(o *Options) { o.SendBuffer = 64 << 20 }})
			var all []*peer
			for range 5 { // never read
				_, p := r.ws()
				for range 300 {
					p.Send(NewTextFrame(strings.Repeat("x", 32<<10))) //nolint:errcheck // it need not get there
				}
				all = append(all, p)
			}
			for range 5 { // never poll
				_, p := r.poll()
				all = append(all, p)
			}
			c, p := r.poll() // waits to be upgraded
			c.probe()
			all = append(all, p)
			for range 5 { // were said goodbye and don't hang up
				c, p := r.ws()
				c.send("1")
				all = append(all, p)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- r.srv.Shutdown(ctx) }()
			eventually(t, "Shutdown to begin", r.srv.stopping.Load)
			cancel()
			if err := wait(t, "Shutdown", ended); !errors.Is(err, context.Canceled) {
				t.Errorf("Shutdown: %v", err)
			}
			select {
			case <-r.srv.ended:
			default:
				t.Error("goroutines are left")
			}
			for _, p := range all {
				if e := p.ending(); e.reason != ReasonShutdown && e.reason != ReasonTransportClose {
					t.Errorf("ended for %q, %v", e.reason, e.err)
				}
			}
		})
	}
}

// TestShutdownWhileOpening has sessions begin all the time while the server ends.
func TestShutdownWhileOpening(t *testing.T) {
	for range 20 {
		r := newRig(t, setup{})
		var dialers sync.WaitGroup
		for range 8 {
			dialers.Go(func() {
				for {
					conn, br, res := r.upgradeTo("?EIO=4&transport=websocket")
					if res.StatusCode == http.StatusServiceUnavailable {
						return
					}
					c := &wsClient{t: t, conn: conn, r: br}
					c.open = c.text()
					if !r.srv.stopping.Load() {
						conn.Close()
						continue
					}
					c.wantClose(0)
				}
			})
		}
		for range 20 {
			r.session()
		}
		if err := r.srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		dialers.Wait()
	}
}

// TestShutdownBehindReceivers has a receiver that does not return: Shutdown reports that it is out of time.
func TestShutdownBehindReceivers(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, 1)
	r := newRig(t, setup{message: func(*peer, []byte, bool) error {
		entered <- struct{}{}
		<-release
		return nil
	}})
	c, p := r.ws()
	c.send("4block")
	wait(t, "the message", entered)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.srv.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	p.wantEnding(ReasonShutdown)
	close(release)
	if err := r.srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown once the receiver is through: %v", err)
	}
}

// TestShutdownDuringOpen has the handler still be at it when the server is shut down.
func TestShutdownDuringOpen(t *testing.T) {
	for name, hurry := range map[string]bool{"in good order": false, "out of time": true} {
		t.Run(name, func(t *testing.T) {
			release, entered := make(chan struct{}), make(chan *peer, 1)
			r := newRig(t, setup{open: func(p *peer) { entered <- p; <-release }})
			opened := make(chan *wsClient, 1)
			go func() { opened <- r.websocket("") }()
			p := wait(t, "the session", entered)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- r.srv.Shutdown(ctx) }()
			eventually(t, "Shutdown to begin", r.srv.stopping.Load)
			if hurry {
				cancel()
				eventually(t, "Shutdown to hurry", r.srv.hurry.Load)
			}
			close(release)
			p.wantEnding(ReasonShutdown)
			c := wait(t, "the handshake", opened)
			c.wantEOF()
			c.conn.Close()
			if err := wait(t, "Shutdown", ended); (err != nil) != hurry {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

// TestNoGoroutineIsLeft connects and disconnects on each transport, and counts on TestMain to find what is left. The
// server goes on all the while, so that its end cleans nothing up.
func TestNoGoroutineIsLeft(t *testing.T) {
	const n = 500
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			times := n
			if secure {
				times = n / 10
			}
			r := newRig(t, setup{secure: secure})
			c := r.client()
			for i := range times {
				w, p := r.ws()
				w.send("4hello")
				w.want("4hello")
				switch i % 3 {
				case 0:
					w.conn.Close()
				case 1:
					w.send("1")
					w.wantClose(0)
				default:
					p.end()
					w.wantClose(0)
				}
				p.ending()
			}
			for range times {
				c.sid = ""
				c.sid = sidOf(t, c.get())
				p := r.session()
				got := c.goGet()
				p.polling()
				c.post("1")
				wait(t, "the answer", got)
				p.ending()
			}
			eventually(t, "no connection to be left", func() bool {
				r.srv.partMu.Lock()
				defer r.srv.partMu.Unlock()
				return len(r.srv.parting) == 0 && r.srv.Len() == 0 && len(r.srv.sessions.all()) == 0
			})
		})
	}
}

// TestManyIdleSessions wants a session to cost what it must and no more.
func TestManyIdleSessions(t *testing.T) {
	if size := sessionSize; size > 512 {
		t.Errorf("a Session takes %d bytes", size)
	}
	r := newRig(t, setup{})
	for range 50 {
		r.ws()
	}
	for _, s := range r.srv.sessions.all() {
		eventually(t, "an idle session to hold nothing", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.queue == nil && s.size == 0 && s.conn != nil && !s.scheduled
		})
	}
}
