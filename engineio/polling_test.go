package engineio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

func TestPollingEcho(t *testing.T) {
	c, _ := newRig(t, setup{}).poll()
	for _, packets := range [][]string{
		{"4hello"},
		{"4test1", "4test2", "4test3"},
		{"4hello", "bAQIDBA=="},
		{"4"},
		{"b"},
		{"4äöü €"},
	} {
		c.post(packets...)
		if got := c.get(); got != join(packets) {
			t.Errorf("got %q, want %q", got, join(packets))
		}
	}
}

// TestPollingBatches wants everything that waits in one answer.
func TestPollingBatches(t *testing.T) {
	c, p := newRig(t, setup{}).poll()
	want := numbered(0, 500)
	for _, m := range want {
		p.Send(NewTextFrame(m[1:])) //nolint:errcheck // the answer tells
	}
	p.Send(messageOf("51-", []byte{1, 2}, []byte{3})) //nolint:errcheck // likewise
	want = append(want, "451-", "bAQI=", "bAw==")
	if got := c.get(); got != join(want) {
		t.Errorf("got %.100q", got)
	}
}

// TestPollingWaits wants a GET to be answered by what is sent while it waits.
func TestPollingWaits(t *testing.T) {
	c, p := newRig(t, setup{}).poll()
	for i := range 50 {
		got := c.goGet()
		p.polling()
		want := fmt.Sprintf("4%d", i)
		p.Send(NewTextFrame(want[1:])) //nolint:errcheck // the answer tells
		if a := wait(t, "the answer", got); a.body != want {
			t.Fatalf("got %q, %v, want %q", a.body, a.err, want)
		}
	}
}

func TestOverlappingPolls(t *testing.T) {
	c, p := newRig(t, setup{}).poll()
	first := c.goGet()
	p.polling()
	if a := c.do(c.request("GET", "")); a.status != http.StatusBadRequest {
		t.Errorf("second GET: %d %q, %v", a.status, a.body, a.err)
	}
	if a := wait(t, "the first answer", first); a.status != http.StatusOK || a.body != "1" {
		t.Errorf("first GET: %d %q, %v", a.status, a.body, a.err)
	}
	p.wantEnding(ReasonTransportError)
	c.wantGone()
}

func TestCancelledPoll(t *testing.T) {
	c, p := newRig(t, setup{}).poll()
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan answer, 1)
	go func() { gone <- c.do(c.request("GET", "").WithContext(ctx)) }()
	p.polling()
	cancel()
	p.wantEnding(ReasonTransportError)
	<-gone
	c.wantGone()
}

// slowPost begins a POST of which only a part is sent.
func (r *rig) slowPost(sid, length, part string) net.Conn {
	r.t.Helper()
	conn, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, "POST /engine.io/?EIO=4&transport=polling&sid="+sid+" HTTP/1.1\r\nHost: x\r\n"+length+"\r\n\r\n"+part); err != nil {
		r.t.Fatal(err)
	}
	return conn
}

func (p *peer) posting() {
	p.rig.t.Helper()
	eventually(p.rig.t, "a POST that is being read", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.post != nil
	})
}

func TestOverlappingPosts(t *testing.T) {
	r := newRig(t, setup{})
	c, p := r.poll()
	first := r.slowPost(c.sid, "Content-Length: 100", "4half")
	p.posting()
	if a := c.do(c.request("POST", "4b")); a.status != http.StatusBadRequest {
		t.Errorf("second POST: %d %q, %v", a.status, a.body, a.err)
	}
	p.wantEnding(ReasonTransportError)
	// The first one is not waited for.
	res, err := http.ReadResponse(bufio.NewReader(first), nil)
	if err != nil || res.StatusCode != http.StatusBadRequest || !res.Close {
		t.Errorf("first POST: %v, %v", res, err)
	}
	c.wantGone()
}

func TestPostCutShort(t *testing.T) {
	r := newRig(t, setup{})
	c, p := r.poll()
	conn := r.slowPost(c.sid, "Content-Length: 100", "4half")
	p.posting()
	conn.Close()
	p.wantEnding(ReasonTransportError)
	c.wantGone()
}

// TestPostOutlivesItsDeadline has a handler take longer than a POST's body may, and then uses the connection on: the
// deadline must be gone, since it would cancel every later request of that connection.
func TestPostOutlivesItsDeadline(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, setup{
		options: func(o *Options) { o.PingInterval, o.PingTimeout = 50_000_000, 50_000_000 },
		message: func(p *peer, data []byte, binary bool) error { <-release; return echo(p, data, binary) },
	})
	c, p := r.poll()
	pings := c.goGet() // keeps the only connection to the POST
	done := make(chan answer, 1)
	go func() { done <- c.do(c.request("POST", "4a")) }()
	if a := wait(t, "the ping", pings); a.body != "2" {
		t.Fatalf("polled %q, %v", a.body, a.err)
	}
	eventually(t, "a deadline that has passed", func() bool {
		return p.srv.now() > int64(3*(p.srv.opts.PingInterval+p.srv.opts.PingTimeout))
	})
	close(release)
	if a := wait(t, "the answer", done); a.status != http.StatusOK {
		t.Fatalf("POST: %d %q, %v", a.status, a.body, a.err)
	}
	for range 3 {
		c.post("3")
		got := c.get()
		if !strings.Contains(got, "4a") && !strings.Contains(got, "2") {
			t.Fatalf("polled %q", got)
		}
	}
	if p.endings.Load() != 0 {
		t.Error("the session has ended")
	}
}

func TestPostTooLarge(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.MaxPayload = 1000 }})
	c, p := r.poll()
	c.post("4" + strings.Repeat("a", 999)) // just as large as allowed
	c.get()
	for _, length := range []string{"Content-Length: 1001", "Content-Length: 100000000", "Transfer-Encoding: chunked"} {
		conn := r.slowPost(c.sid, length, "")
		if strings.HasPrefix(length, "Transfer") {
			go func() { // until the server has had enough
				for range 1000 {
					if _, err := io.WriteString(conn, "64\r\n"+strings.Repeat("x", 100)+"\r\n"); err != nil {
						return
					}
				}
			}()
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge || !res.Close {
			t.Errorf("%s: %v, %v", length, res, err)
		}
		conn.Close()
		eventually(t, "the POST to end", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return !p.Session.posting
		})
	}
	c.post("4still") // as with Node's server, the session lives on
	if got := c.get(); got != "4still" {
		t.Errorf("got %q", got)
	}
}

func TestPostLarge(t *testing.T) {
	c, _ := newRig(t, setup{}).poll()
	for _, size := range []int{70_000, 900_000} {
		m := "4" + strings.Repeat("0123456789", size/10)
		c.post(m)
		if got := c.get(); got != m {
			t.Errorf("%d bytes came back as %d", len(m), len(got))
		}
	}
}

func TestTooManyPackets(t *testing.T) {
	c, p := newRig(t, setup{options: func(o *Options) { o.MaxPacketsPerPayload = 10 }}).poll()
	c.post(numbered(0, 10)...)
	if a := c.do(c.request("POST", join(numbered(0, 11)))); a.status != http.StatusBadRequest {
		t.Errorf("POST: %d %q", a.status, a.body)
	}
	p.wantEnding(ReasonParseError)
	c.wantGone()
}

func TestBadPosts(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		reason Reason
	}{
		"no packet":         {"abc", ReasonParseError},
		"nothing":           {"", ReasonParseError},
		"half a payload":    {"4a\x1e", ReasonParseError},
		"bad base64":        {"b$", ReasonParseError},
		"not UTF-8":         {"4\xff", ReasonParseError},
		"ping":              {"2", ReasonTransportError},
		"refused by reader": {"4refuse", ReasonParseError},
		"panic":             {"4panic", ReasonTransportError},
	} {
		t.Run(name, func(t *testing.T) {
			client, p := newRig(t, setup{message: func(_ *peer, data []byte, _ bool) error {
				switch string(data) {
				case "refuse":
					return io.ErrUnexpectedEOF
				case "panic":
					panic("handler")
				}
				return nil
			}}).poll()
			a := client.do(client.request("POST", c.body))
			if a.status != http.StatusBadRequest || !strings.HasPrefix(a.body, `{"code":3,`) {
				t.Errorf("POST: %d %q, %v", a.status, a.body, a.err)
			}
			p.wantEnding(c.reason)
			client.wantGone()
		})
	}
}

func TestBinaryPost(t *testing.T) {
	c, p := newRig(t, setup{}).poll()
	req := c.request("POST", "4a")
	req.Header.Set("Content-Type", "application/octet-stream")
	if a := c.do(req); a.status != http.StatusBadRequest {
		t.Errorf("POST: %d %q", a.status, a.body)
	}
	p.wantEnding(ReasonTransportError)
}

// TestGoodbye has a client leave by POST, while a GET waits and while none does.
func TestGoodbye(t *testing.T) {
	t.Run("while a GET waits", func(t *testing.T) {
		c, p := newRig(t, setup{}).poll()
		got := c.goGet()
		p.polling()
		c.post("1")
		if a := wait(t, "the answer", got); a.body != "6" {
			t.Errorf("GET: %d %q, %v", a.status, a.body, a.err)
		}
		p.wantEnding(ReasonTransportClose)
		c.wantGone()
	})
	t.Run("alone", func(t *testing.T) {
		c, p := newRig(t, setup{}).poll()
		c.post("4a", "1", "4never")
		p.wantEnding(ReasonTransportClose)
		c.wantGone()
	})
	t.Run("ahead of a GET", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newRig(t, setup{pipes: true}).poll()
			bye := make(chan answer, 1)
			go func() { bye <- c.do(c.request("POST", "1")) }()
			synctest.Wait()
			if got := c.get(); got != "6" { // it was sent before, and is owed an answer
				t.Errorf("GET: %q", got)
			}
			if a := <-bye; a.body != "ok" {
				t.Errorf("POST: %d %q, %v", a.status, a.body, a.err)
			}
			p.wantEnding(ReasonTransportClose)
		})
	})
}

// TestUnreadAnswers has a client ask for answers and not read them: what they hold counts, so that it can't have
// the server keep ever more of them.
func TestUnreadAnswers(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.SendBuffer = 8 << 20 }})
	c, p := r.poll()
	ask := func() net.Conn {
		conn, err := r.dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "GET /engine.io/?EIO=4&transport=polling&sid="+c.sid+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	message := strings.Repeat("x", 7<<20) // more than the kernel takes
	if err := p.Send(NewTextFrame(message)); err != nil {
		t.Fatal(err)
	}
	ask()
	eventually(t, "an answer that is being written", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.poll != nil && p.poll.answering
	})
	if err := p.Send(NewTextFrame(message)); err != ErrBufferFull { //nolint:errorlint // it is what Send promises
		t.Fatalf("Send: %v", err)
	}
	p.wantEnding(ReasonBufferFull)
}

// TestNextPollWhileAnswering has the client's next GET arrive before the last one has been seen off.
func TestNextPollWhileAnswering(t *testing.T) {
	c, p := newRig(t, setup{}).poll()
	first := &pollWait{ch: make(chan struct{}, 1), done: make(chan struct{}), answering: true}
	p.mu.Lock()
	p.Session.poll = first
	p.mu.Unlock()
	next := c.goGet()
	eventually(t, "the next GET to wait for the last", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return first.followed
	})
	p.endPoll(first)
	p.polling()
	p.Send(NewTextFrame("a")) //nolint:errcheck // the answer tells
	if a := wait(t, "the answer", next); a.body != "4a" {
		t.Errorf("GET: %d %q, %v", a.status, a.body, a.err)
	}
}
