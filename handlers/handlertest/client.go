package handlertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// Client is connected to one namespace. Values arrive as encoding/json decodes them into an any, and binary
// ones as []byte; arguments may hold []byte in slices and maps of any. Every wait that takes longer than
// Patience fails the test.
//
// Its methods are for the test's own goroutine.
type Client struct {
	ID string // of the socket

	t         testing.TB
	namespace string
	conn      net.Conn
	in        io.Reader
	lastAck   int

	mu      sync.Mutex
	arrived []packet
	ended   bool
	more    chan struct{} // has a value when there may be something new
	done    chan struct{} // closed when read has returned
}

type packet struct {
	kind  byte // '0' CONNECT, '1' DISCONNECT, '2' EVENT, '3' ACK, '4' CONNECT_ERROR
	ackID string
	data  any
}

type readWriter struct {
	io.Reader
	io.Writer
}

func newClient(t testing.TB, namespace string, conn net.Conn) *Client {
	return &Client{t: t, namespace: namespace, conn: conn, in: conn, more: make(chan struct{}, 1), done: make(chan struct{})}
}

// Emit sends an event.
func (c *Client) Emit(event string, args ...any) {
	c.t.Helper()
	c.send('2', "", append([]any{event}, args...))
}

// Ask sends an event with an ack id and returns the acknowledgement's arguments.
func (c *Client) Ask(event string, args ...any) []any {
	c.t.Helper()
	c.lastAck++
	id := strconv.Itoa(c.lastAck)
	c.send('2', id, append([]any{event}, args...))
	p := c.take("the acknowledgement of "+event, func(p packet) bool { return p.kind == '3' && p.ackID == id })
	answer, _ := p.data.([]any)
	return answer
}

// Next waits for the next event of that name and returns its arguments. Other events stay for later calls.
func (c *Client) Next(event string) []any {
	c.t.Helper()
	p := c.take("the event "+event, func(p packet) bool { return p.kind == '2' && p.data.([]any)[0] == event })
	return p.data.([]any)[1:]
}

// NextAsk is Next for an event that wants an acknowledgement; answer sends it. Without an ack id it fails the test.
func (c *Client) NextAsk(event string) (args []any, answer func(args ...any)) {
	c.t.Helper()
	p := c.take("the event "+event, func(p packet) bool { return p.kind == '2' && p.data.([]any)[0] == event })
	if p.ackID == "" {
		c.t.Fatalf("%s wants no acknowledgement", event)
	}
	return p.data.([]any)[1:], func(args ...any) {
		c.t.Helper()
		c.send('3', p.ackID, append([]any{}, args...))
	}
}

// Pending is the names of the events that have arrived and that Next has not returned, in order. Everything
// that the server sent before it handled this client's last Ask is among them.
func (c *Client) Pending() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := []string{}
	for _, p := range c.arrived {
		if p.kind == '2' {
			names = append(names, p.data.([]any)[0].(string))
		}
	}
	return names
}

// Disconnected waits until the server has disconnected the client from its namespace.
func (c *Client) Disconnected() {
	c.t.Helper()
	c.take("the disconnection", func(p packet) bool { return p.kind == '1' })
}

// Goodbye leaves the namespace, as a client does that disconnects on purpose.
func (c *Client) Goodbye() {
	c.t.Helper()
	c.send('1', "", nil)
}

// Drop closes the connection without a word, as a lost network does. It may be called again.
func (c *Client) Drop() {
	c.conn.Close()
	<-c.done
}

func (c *Client) send(kind byte, ackID string, data any) {
	c.t.Helper()
	head := string(kind)
	var attachments [][]byte
	data = withPlaceholders(data, &attachments)
	if len(attachments) > 0 {
		head = fmt.Sprintf("%c%d-", kind+3, len(attachments))
	}
	if c.namespace != "/" {
		head += c.namespace + ","
	}
	head += ackID
	if data != nil {
		text, err := json.Marshal(data)
		if err != nil {
			c.t.Fatal(err)
		}
		head += string(text)
	}
	err := wsutil.WriteClientText(c.conn, []byte("4"+head))
	for _, b := range attachments {
		if err == nil {
			err = wsutil.WriteClientBinary(c.conn, b)
		}
	}
	if err != nil {
		c.t.Fatalf("send %s: %v", head, err)
	}
}

// take removes the first packet that fits from what has arrived, or waits for it.
func (c *Client) take(what string, fits func(packet) bool) packet {
	c.t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	for {
		c.mu.Lock()
		for i, p := range c.arrived {
			if fits(p) {
				c.arrived = append(c.arrived[:i:i], c.arrived[i+1:]...)
				c.mu.Unlock()
				return p
			}
		}
		ended := c.ended
		c.mu.Unlock()
		if ended {
			c.t.Fatalf("the connection ended before %s came; there was %v", what, c.Pending())
		}
		select {
		case <-c.more:
		case <-limit.C:
			c.t.Fatalf("waited for %s; there was %v", what, c.Pending())
		}
	}
}

var header = regexp.MustCompile(`^4([0-6])(?:(\d+)-)?(?:(/[^,]*),)?(\d*)`)

// read collects what arrives until the connection ends.
func (c *Client) read() {
	defer close(c.done)
	var (
		partial *packet
		missing int
		binary  [][]byte
	)
	for {
		data, op, err := wsutil.ReadServerData(readWriter{c.in, c.conn})
		if err != nil {
			c.mu.Lock()
			c.ended = true
			c.mu.Unlock()
			c.wake()
			return
		}
		switch {
		case op == ws.OpBinary:
			if partial == nil {
				continue
			}
			binary = append(binary, data)
			if missing--; missing == 0 {
				partial.data = withBinary(partial.data, binary)
				c.put(*partial)
				partial, binary = nil, nil
			}
		case string(data) == "2":
			_ = wsutil.WriteClientText(c.conn, []byte("3")) // the next read tells what became of it
		default:
			found := header.FindSubmatch(data)
			if found == nil {
				continue
			}
			p := packet{kind: found[1][0], ackID: string(found[4])}
			_ = json.Unmarshal(data[len(found[0]):], &p.data) // left nil where there is none
			if p.kind >= '5' {
				p.kind -= 3
				missing, _ = strconv.Atoi(string(found[2]))
				partial = &p
				continue
			}
			c.put(p)
		}
	}
}

func (c *Client) put(p packet) {
	c.mu.Lock()
	c.arrived = append(c.arrived, p)
	c.mu.Unlock()
	c.wake()
}

func (c *Client) wake() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// withPlaceholders copies v, with each []byte moved to out.
func withPlaceholders(v any, out *[][]byte) any {
	switch v := v.(type) {
	case []byte:
		*out = append(*out, v)
		return map[string]any{"_placeholder": true, "num": len(*out) - 1}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = withPlaceholders(v[i], out)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for key := range v {
			object[key] = withPlaceholders(v[key], out)
		}
		return object
	}
	return v
}

// withBinary puts the attachments back.
func withBinary(v any, attachments [][]byte) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = withBinary(v[i], attachments)
		}
	case map[string]any:
		if v["_placeholder"] == true {
			return attachments[int(v["num"].(float64))]
		}
		for key := range v {
			v[key] = withBinary(v[key], attachments)
		}
	}
	return v
}
