package engineio

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestUpgrade(t *testing.T) {
	c, p := newRig(t, setup{}).poll()
	w := c.probe()
	if got := c.get(); got != "6" {
		t.Fatalf("polled %q", got)
	}
	p.Send(NewTextFrame("queued")) //nolint:errcheck // the frame tells
	w.send("5")
	w.want("4queued")
	w.send("4hello")
	w.want("4hello")
	if p.Transport() != TransportWebSocket || p.rig.srv.Stats().Upgrades != 1 {
		t.Errorf("transport %s, %d upgrades", p.Transport(), p.rig.srv.Stats().Upgrades)
	}
	a := c.do(c.request("GET", ""))
	if a.status != 400 || !strings.HasPrefix(a.body, `{"code":3,`) {
		t.Errorf("GET after the upgrade: %d %q", a.status, a.body)
	}
	c.rig.websocket("&sid=" + c.sid).wantClose(0) // and another upgrade
	w.send("4still")
	w.want("4still")
}

// TestUpgradeReleasesThePoll has a GET wait before the probe comes, and another come after it.
func TestUpgradeReleasesThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newRig(t, setup{pipes: true}).poll()
		got := c.goGet()
		p.polling()
		w := c.probe()
		if a := wait(t, "the answer", got); a.body != "6" {
			t.Errorf("GET: %d %q, %v", a.status, a.body, a.err)
		}
		if got := c.get(); got != "6" { // a client that polls on is answered too
			t.Errorf("polled %q", got)
		}
		got = c.goGet()
		p.polling()
		time.Sleep(2 * upgradePause) // it can't be one that was sent after the end of the upgrade
		w.send("5", "4a")
		if a := wait(t, "the answer", got); a.body != "6" {
			t.Errorf("GET: %d %q, %v", a.status, a.body, a.err)
		}
		w.want("4a")
	})
}

// TestUpgradeOutlivesItsPolls has a client give up its GET once it has moved.
func TestUpgradeOutlivesItsPolls(t *testing.T) {
	c, p := newRig(t, setup{}).poll()
	w := c.probe()
	c.get()
	w.send("5", "4a")
	w.want("4a")
	// A GET that is cancelled although the session has gone on by websocket, as the handler would see it.
	gone := &pollWait{ch: make(chan struct{}), done: make(chan struct{})}
	p.mu.Lock()
	p.Session.poll = gone
	p.mu.Unlock()
	if p.endPoll(gone) {
		t.Error("the session is thought to be polling")
	}
	w.send("4b")
	w.want("4b")
}

func TestFailedProbes(t *testing.T) {
	for name, fail := range map[string]func(*wsClient){
		"message before":      func(w *wsClient) { w.send("4early"); w.wantClose(0) },
		"other ping":          func(w *wsClient) { w.send("2other"); w.wantClose(0) },
		"message after":       func(w *wsClient) { w.send("2probe"); w.want("3probe"); w.send("4early"); w.wantClose(0) },
		"no packet":           func(w *wsClient) { w.send("x"); w.wantClose(0) },
		"cut":                 func(w *wsClient) { w.conn.Close() },
		"cut after the probe": func(w *wsClient) { w.send("2probe"); w.want("3probe"); w.reset() },
	} {
		t.Run(name, func(t *testing.T) {
			c, p := newRig(t, setup{}).poll()
			w := c.rig.websocket("&sid=" + c.sid)
			fail(w)
			eventually(t, "the probe to be forgotten", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.Session.probe == nil && !p.upgrading
			})
			c.post("4by polling")
			if got := c.packets(); got[len(got)-1] != "4by polling" {
				t.Errorf("polled %q", got)
			}
			w = c.probe() // and another try may follow
			c.get()
			w.send("5", "4by websocket")
			w.want("4by websocket")
			if p.endings.Load() != 0 {
				t.Error("the session has ended")
			}
		})
	}
}

func TestSecondProbeRefused(t *testing.T) {
	c, _ := newRig(t, setup{}).poll()
	w := c.probe()
	c.rig.websocket("&sid=" + c.sid).wantClose(0)
	c.get()
	w.send("5", "4a")
	w.want("4a")
}

func TestProbeTimeout(t *testing.T) {
	c, p := newRig(t, setup{options: func(o *Options) { o.UpgradeTimeout = 50 * time.Millisecond }}).poll()
	w := c.probe()
	w.wantClose(0)
	c.post("4a")
	if got := c.packets(); got[len(got)-1] != "4a" {
		t.Errorf("polled %q", got)
	}
	if p.endings.Load() != 0 {
		t.Error("the session has ended")
	}
}

// TestUpgradeOutlivesItsTimeout wants the clock that bounds an upgrade to leave the session alone that has made it.
func TestUpgradeOutlivesItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newRig(t, setup{pipes: true}).poll()
		w := c.probe()
		c.get()
		w.send("5", "4a")
		w.want("4a")
		time.Sleep(15 * time.Second)
		w.send("4b")
		w.want("4b")
	})
}

func TestUpgradesNotAllowed(t *testing.T) {
	c, _ := newRig(t, setup{options: func(o *Options) { o.AllowUpgrades = false }}).poll()
	c.rig.websocket("&sid=" + c.sid).wantClose(0)
	c.post("4a")
	if got := c.get(); got != "4a" {
		t.Errorf("polled %q", got)
	}
}

// TestCloseWhileUpgrading ends the session at every stage of the upgrade.
func TestCloseWhileUpgrading(t *testing.T) {
	t.Run("after the probe", func(t *testing.T) {
		c, p := newRig(t, setup{}).poll()
		w := c.probe()
		p.CloseWith(ReasonForcedClose)
		w.wantClose(0)
		p.wantEnding(ReasonForcedClose)
	})
	t.Run("orderly, and the upgrade goes on", func(t *testing.T) {
		c, p := newRig(t, setup{}).poll()
		w := c.probe()
		p.Send(NewTextFrame("last")) //nolint:errcheck // the frame tells
		p.end()
		w.send("5")
		w.want("4last")
		w.wantClose(0)
		p.wantEnding(ReasonForcedClose)
	})
}

// TestUpgradeUnderLoad has both sides send numbered messages all the time while the session moves. Nothing may be
// lost, come twice or out of order, either way.
func TestUpgradeUnderLoad(t *testing.T) {
	const rounds, each = 20, 600
	for range rounds {
		serverGot := make(chan error, 1)
		next := 0
		r := newRig(t, setup{message: func(_ *peer, data []byte, _ bool) error {
			if n, err := strconv.Atoi(string(data)); err != nil || n != next {
				serverGot <- fmt.Errorf("server got %q where %d is next", data, next)
				return io.ErrUnexpectedEOF
			}
			if next++; next == each {
				serverGot <- nil
			}
			return nil
		}})
		c, p := r.poll()
		go func() {
			var b Batch
			for i := range each {
				f := NewTextFrame(strconv.Itoa(i))
				if i%3 == 0 {
					b.Send(p.Session, f) //nolint:errcheck // what is missing fails the test
					b.Flush()
				} else {
					p.Send(f) //nolint:errcheck // likewise
				}
				if rand.IntN(10) == 0 {
					time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
				}
			}
		}()
		received, sent := 0, 0
		take := func(packets ...string) {
			t.Helper()
			for _, m := range packets {
				switch {
				case m == "6":
				case m != fmt.Sprintf("4%d", received):
					t.Fatalf("client got %q where %d is next", m, received)
				default:
					received++
				}
			}
		}
		more := func(n int) []string {
			n = min(n, each-sent)
			out := numbered(sent, sent+n)
			sent += n
			return out
		}
		for range rand.IntN(4) {
			take(c.packets()...)
			c.post(more(1 + rand.IntN(20))...)
		}
		w := c.probe()
		polls := c.goGet()
		c.post(more(1 + rand.IntN(20))...)
		a := wait(t, "the answer", polls)
		take(strings.Split(a.body, "\x1e")...)
		if rand.IntN(2) == 0 {
			w.send("5")
			w.send(more(each)...)
		} else { // all in one segment
			all := text("5")
			for _, m := range more(each) {
				all = append(all, text(m)...)
			}
			w.raw(all)
		}
		for received < each {
			take(w.text())
		}
		if err := wait(t, "the client's messages", serverGot); err != nil {
			t.Fatal(err)
		}
		w.conn.Close()
	}
}

// TestPollOvertakesUpgrade has a GET arrive before the packet that ends the upgrade, though that was sent first, on the
// other connection: it belongs to a transport that the client has left.
func TestPollOvertakesUpgrade(t *testing.T) {
	for name, probed := range map[string]bool{"before the probe": false, "after the probe": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newRig(t, setup{pipes: true}).poll()
				w := c.rig.websocket("&sid=" + c.sid)
				if probed {
					w.send("2probe")
					w.want("3probe")
				}
				got := c.goGet()
				p.polling()
				synctest.Wait()
				if !probed {
					w.send("2probe")
					w.want("3probe")
				}
				w.send("5", "4a")
				if a := wait(t, "the answer", got); a.status != http.StatusBadRequest {
					t.Errorf("GET: %d %q, %v", a.status, a.body, a.err)
				}
				w.want("4a")
				w.send("4b") // the session is none the worse
				w.want("4b")
			})
		})
	}
}
