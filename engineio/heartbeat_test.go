package engineio

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The heartbeat is tested against the fake clock of a synctest bubble, in which a pipe takes the socket's place.
// The defaults are an interval of 25 s and a timeout of 20 s, swept once a second.

// near says that a moment of the fake clock is the wanted one, up to the sweep's tick and the rounding to it.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want || got > want+2*time.Second {
		t.Errorf("%s after %v, want %v", what, got, want)
	}
}

func TestHeartbeatPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newRig(t, setup{pipes: true}).ws()
		last := time.Now()
		for range 5 {
			c.want("2")
			near(t, "ping", time.Since(last), 25*time.Second)
			time.Sleep(3 * time.Second)
			c.send("3")
			synctest.Wait()
			last = time.Now()
		}
		if p.endings.Load() != 0 {
			t.Error("the session has ended")
		}
	})
}

// TestHeartbeatShortInterval has pings due before the last one's time is over.
func TestHeartbeatShortInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newRig(t, setup{pipes: true, options: func(o *Options) {
			o.PingInterval, o.PingTimeout = 2*time.Second, 60*time.Second
		}}).ws()
		last := time.Now()
		for range 10 {
			c.want("2")
			near(t, "ping", time.Since(last), 2*time.Second)
			c.send("3")
			synctest.Wait()
			last = time.Now()
		}
	})
}

func TestHeartbeatTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newRig(t, setup{pipes: true}).ws()
		start := time.Now()
		c.want("2")
		c.wantClose(0)
		p.wantEnding(ReasonPingTimeout)
		near(t, "end", time.Since(start), 45*time.Second)
	})
}

func TestHeartbeatUnaskedPongs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newRig(t, setup{pipes: true}).ws()
		start := time.Now()
		for range 24 {
			c.send("3")
			time.Sleep(time.Second)
		}
		c.want("2")
		near(t, "ping", time.Since(start), 25*time.Second)
		c.wantClose(0)
		p.wantEnding(ReasonPingTimeout)
	})
}

// TestHeartbeatExtension sends messages instead of the pong: one gives it more time, others don't.
func TestHeartbeatExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newRig(t, setup{pipes: true, message: keep}).ws()
		c.want("2")
		ping := time.Now()
		for range 3 {
			time.Sleep(15 * time.Second)
			if p.endings.Load() == 0 {
				c.write(textFrame("4alive")) //nolint:errcheck // the last comes too late
			}
		}
		p.wantEnding(ReasonPingTimeout)
		near(t, "end", p.since(ping), 35*time.Second)
	})
}

// TestHeartbeatBusyReceiver has a handler take longer than any pong may: that is not the client's fault, and it has
// the whole time for its pong again when the handler is through.
func TestHeartbeatBusyReceiver(t *testing.T) {
	for name, blocked := range map[string]time.Duration{
		"past many timeouts":         500 * time.Second,
		"until just before one ends": 44500 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newRig(t, setup{pipes: true, message: func(p *peer, data []byte, binary bool) error {
					if string(data) == "block" {
						time.Sleep(blocked)
					}
					return echo(p, data, binary)
				}}).ws()
				c.send("4block")
				// The client gives up where it hears nothing for as long as the interval and the timeout together.
				got, heard := c.text(), time.Now()
				for ; got == "2"; got = c.text() {
					if silence := time.Since(heard); silence > 45*time.Second {
						t.Fatalf("nothing was heard for %v", silence)
					}
					heard = time.Now()
				}
				if got != "4block" {
					t.Fatalf("got %q", got)
				}
				time.Sleep(15 * time.Second)
				c.send("3")
				c.want("2")
				c.send("3", "4still here")
				c.want("4still here")
				if p.endings.Load() != 0 {
					t.Error("the session has ended")
				}
			})
		})
	}
}

// TestHeartbeatNoSilence has everything that puts the next ping off happen at its worst moment: the client gives up where
// it hears no ping for as long as the interval and the timeout together.
func TestHeartbeatNoSilence(t *testing.T) {
	const interval, timeout = 10 * time.Second, 15 * time.Second
	for name, blocks := range map[string][]time.Duration{
		"a message just before the pong is overdue": {24 * time.Second, 40 * time.Second},
		"a pong that lay unread":                    {39 * time.Second},
		"one handler after another":                 {23 * time.Second, 2 * time.Second, 13 * time.Second, 9 * time.Second, 14 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newRig(t, setup{
					pipes:   true,
					options: func(o *Options) { o.PingInterval, o.PingTimeout = interval, timeout },
					message: func(_ *peer, data []byte, _ bool) error {
						d, err := time.ParseDuration(string(data))
						time.Sleep(d)
						return err
					},
				}).ws()
				pongs := make(chan struct{}, 100)
				go func() { // all at once: the pongs lie behind the messages
					for _, d := range blocks {
						c.write(textFrame("4" + d.String())) //nolint:errcheck // the silence tells
					}
					for range pongs {
						c.write(textFrame("3")) //nolint:errcheck // likewise
					}
				}()
				defer close(pongs)
				start := time.Now()
				for heard := start; time.Since(start) < 3*time.Minute; heard = time.Now() {
					got := c.text()
					if silence := time.Since(heard); got != "2" || silence >= interval+timeout-timeout/4 {
						t.Errorf("after %v: %q, the first for %v", time.Since(start), got, silence)
						break
					}
					pongs <- struct{}{}
				}
				if p.endings.Load() != 0 {
					t.Error("the session has ended")
				}
			})
		})
	}
}

// TestHeartbeatBusyOnPolling has the pong wait for the answer to a POST whose messages take their time.
func TestHeartbeatBusyOnPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newRig(t, setup{pipes: true, message: func(*peer, []byte, bool) error {
			time.Sleep(300 * time.Second)
			return nil
		}}).poll()
		ping := c.goGet()
		c.post("4block")
		if a := <-ping; a.body != "2" {
			t.Fatalf("polled %q, %v", a.body, a.err)
		}
		time.Sleep(15 * time.Second)
		c.post("3")
		// Those that were sent meanwhile, so that the client did not give up.
		if got := c.get(); strings.Trim(got, "2\x1e") != "" {
			t.Errorf("polled %q", got)
		}
		if p.endings.Load() != 0 {
			t.Error("the session has ended")
		}
	})
}

func TestHeartbeatOnPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newRig(t, setup{pipes: true}).poll()
		for range 3 {
			if got := c.get(); got != "2" {
				t.Fatalf("polled %q", got)
			}
			c.post("3")
		}
		start := time.Now()
		if got := c.get(); got != "2" {
			t.Fatalf("polled %q", got)
		}
		near(t, "ping", time.Since(start), 25*time.Second)
		if got := c.get(); got != "1" { // the GET that waits is told
			t.Fatalf("polled %q", got)
		}
		p.wantEnding(ReasonPingTimeout)
		c.wantGone()
	})
}

// TestStalledPost sends half a body and no more.
func TestStalledPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, setup{pipes: true})
		c, p := r.poll()
		conn, err := r.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		go conn.Write([]byte("POST /engine.io/?EIO=4&transport=polling&sid=" + c.sid + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4half")) //nolint:errcheck // the answer tells
		got := c.goGet()
		answer := make([]byte, 1024)
		n, err := conn.Read(answer)
		if err != nil || string(answer[:12]) != "HTTP/1.1 400" {
			t.Errorf("answered %q, %v", answer[:n], err)
		}
		near(t, "answer", time.Since(start), 45*time.Second)
		if e := p.ending(); e.reason != ReasonPingTimeout && e.reason != ReasonTransportError {
			t.Errorf("ended for %q", e.reason)
		}
		<-got
	})
}
