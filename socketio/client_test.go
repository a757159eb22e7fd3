package socketio

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// patience bounds every wait of a test: far more than any of them takes.
const patience = 20 * time.Second

// start runs a server until the end of the test.
func start(t testing.TB, change func(*Options)) (*Server, string) {
	t.Helper()
	o := DefaultOptions()
	if change != nil {
		change(&o)
	}
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		h.Close()
		if n := s.workers.Load(); n != 0 {
			t.Errorf("%d workers are left", n)
		}
	})
	return s, "ws" + strings.TrimPrefix(h.URL, "http") + "/socket.io/?EIO=4&transport=websocket"
}

// client is a websocket client that knows no more than Engine.IO's messages and pings.
type client struct {
	t       testing.TB
	conn    net.Conn
	rw      io.ReadWriter
	reading sync.Mutex
}

// message is one Engine.IO message.
type message struct {
	text   string
	binary []byte
}

func dial(t testing.TB, url string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, buffered, _, err := ws.Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn, rw: conn}
	if buffered != nil {
		c.rw = struct {
			io.Reader
			io.Writer
		}{buffered, conn}
	}
	t.Cleanup(func() { conn.Close() })
	data, _, err := wsutil.ReadServerData(c.rw)
	if err != nil || len(data) == 0 || data[0] != '0' {
		t.Fatalf("no open packet: %q %v", data, err)
	}
	return c
}

// send sends a Socket.IO packet.
func (c *client) send(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		if err := wsutil.WriteClientText(c.rw, []byte("4"+p)); err != nil {
			c.t.Fatalf("send %q: %v", p, err)
		}
	}
}

func (c *client) sendBinary(data []byte) {
	c.t.Helper()
	if err := wsutil.WriteClientBinary(c.rw, data); err != nil {
		c.t.Fatal(err)
	}
}

// next is the next message, or an error when the connection has ended.
func (c *client) next() (message, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		data, op, err := wsutil.ReadServerData(c.rw)
		if err != nil {
			return message{}, err
		}
		if op == ws.OpBinary {
			return message{binary: data}, nil
		}
		switch {
		case len(data) == 0:
			return message{}, errors.New("empty packet")
		case data[0] == '2':
			if err := wsutil.WriteClientText(c.rw, []byte("3")); err != nil {
				return message{}, err
			}
		case data[0] == '4':
			return message{text: string(data[1:])}, nil
		case data[0] == '1':
			return message{}, io.EOF
		}
	}
}

// want reads one message and compares it.
func (c *client) want(text string) {
	c.t.Helper()
	m, err := c.next()
	if err != nil {
		c.t.Fatalf("want %q: %v", text, err)
	}
	if m.text != text {
		c.t.Fatalf("got %q%q, want %q", m.text, m.binary, text)
	}
}

func (c *client) wantBinary(data string) {
	c.t.Helper()
	m, err := c.next()
	if err != nil {
		c.t.Fatalf("want binary %q: %v", data, err)
	}
	if string(m.binary) != data || m.text != "" {
		c.t.Fatalf("got %q%q, want binary %q", m.text, m.binary, data)
	}
}

// wantClosed reads until the connection ends and returns the messages before that.
func (c *client) wantClosed() []message {
	c.t.Helper()
	var all []message
	for {
		m, err := c.next()
		if err == nil {
			all = append(all, m)
			continue
		}
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			c.t.Fatal("connection is still open")
		}
		return all
	}
}

// join connects to a namespace and returns the socket's id.
func (c *client) join(namespace string) string {
	c.t.Helper()
	prefix := ""
	if namespace != "/" {
		prefix = namespace + ","
	}
	c.send("0" + prefix)
	m, err := c.next()
	if err != nil {
		c.t.Fatalf("join %s: %v", namespace, err)
	}
	id, ok := strings.CutPrefix(m.text, "0"+prefix+`{"sid":"`)
	if !ok {
		c.t.Fatalf("join %s: got %q", namespace, m.text)
	}
	return strings.TrimSuffix(id, `"}`)
}

// reset ends the connection the hard way.
func (c *client) reset() {
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.conn.Close()
}

// receive waits for a value.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// eventually waits until f holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// wsWrite sends a packet and tells of an error instead of failing.
func wsWrite(c *client, packet string) error {
	return wsutil.WriteClientText(c.rw, []byte("4"+packet))
}

// drain reads until the connection ends.
func (c *client) drain() {
	for {
		if _, err := c.next(); err != nil {
			return
		}
	}
}
