//go:build linux

package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/bench/internal/client"
)

// app is the bench application with faults on demand. It counts everything that it sends to a client but handshakes.
type app struct {
	drop    int // every drop-th packet is lost; 0: none
	corrupt int // every corrupt-th packet has a wrong byte
	swap    int // every swap-th packet goes out after the next one
	hangUp  int // after that many packets the connection ends

	mu    sync.Mutex
	conns map[*appConn]string // and the room of each
}

type appConn struct {
	net.Conn
	n    int
	held []byte
	id   string // of the binary ack that waits for its attachment
}

func (a *app) start(t *testing.T) *Env {
	t.Helper()
	a.conns = map[*appConn]string{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { a.serve(&appConn{Conn: c}) })
		}
	})
	loop, err := client.NewLoop([4]byte{127, 0, 0, 1}, l.Addr().(*net.TCPAddr).Port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		loop.Close()
		wg.Wait()
	})
	return &Env{Loop: loop, Server: process{}, Warm: 10 * time.Millisecond, Measure: 200 * time.Millisecond, Quiet: 300 * time.Millisecond}
}

func (a *app) serve(c *appConn) {
	defer c.Close()
	if _, err := ws.Upgrade(c); err != nil {
		return
	}
	c.write([]byte(`0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`), ws.OpText)
	for {
		h, err := ws.ReadHeader(c)
		p := make([]byte, h.Length)
		if err == nil {
			_, err = io.ReadFull(c, p)
		}
		if err != nil {
			a.mu.Lock()
			delete(a.conns, c)
			a.mu.Unlock()
			return
		}
		ws.Cipher(p, h.Mask, 0)
		a.mu.Lock()
		a.packet(c, h.OpCode, p)
		a.mu.Unlock()
	}
}

func (a *app) packet(c *appConn, op ws.OpCode, p []byte) {
	switch {
	case op == ws.OpBinary:
		c.write([]byte("461-"+c.id+`[{"_placeholder":true,"num":0}]`), ws.OpText)
		a.send(c, p, ws.OpBinary)
	case bytes.HasPrefix(p, []byte("40")):
		a.conns[c] = ""
		c.write([]byte(`40{"sid":"y"}`), ws.OpText)
	case bytes.HasPrefix(p, []byte("451-")):
		c.id, _, _ = strings.Cut(string(p[4:]), "[")
	case bytes.HasPrefix(p, []byte("42")):
		i := bytes.IndexByte(p, '[')
		var args []any
		if err := json.Unmarshal(p[i:], &args); err != nil {
			panic(err)
		}
		a.event(c, string(p[2:i]), args)
	}
}

func (a *app) event(c *appConn, id string, args []any) {
	switch args[0] {
	case "echo":
		a.send(c, fmt.Appendf(nil, `43%s["%s"]`, id, args[1]), ws.OpText)
	case "join":
		a.conns[c] = args[1].(string)
		c.write(fmt.Appendf(nil, "43%s[]", id), ws.OpText)
	case "room":
		for member, room := range a.conns {
			if room == args[1] {
				a.send(member, fmt.Appendf(nil, `42["room","%s"]`, args[2]), ws.OpText)
			}
		}
	case "bcast":
		for member := range a.conns {
			a.send(member, fmt.Appendf(nil, `42["b","%s"]`, args[1]), ws.OpText)
		}
	case "burst":
		for i := range int(args[1].(float64)) {
			for member := range a.conns {
				a.send(member, []byte(`42["b",`+strconv.Itoa(i)+`,"`+args[2].(string)+`"]`), ws.OpText)
			}
		}
	}
}

// send writes a packet with the faults asked for.
func (a *app) send(c *appConn, p []byte, op ws.OpCode) {
	c.n++
	every := func(n int) bool { return n > 0 && c.n%n == 0 }
	switch {
	case every(a.hangUp):
		c.Close()
	case every(a.drop):
	case every(a.swap):
		c.held = p
	default:
		if every(a.corrupt) {
			p = bytes.Clone(p)
			p[len(p)-3] ^= 1
		}
		c.write(p, op)
		if c.held != nil {
			c.write(c.held, op)
			c.held = nil
		}
	}
}

func (c *appConn) write(p []byte, op ws.OpCode) {
	c.Write(ws.MustCompileFrame(ws.NewFrame(op, true, p)))
}

// process is a server process that uses a fixed share of a core.
type process struct{}

var started = time.Now()

func (process) CPU() (time.Duration, error) { return time.Since(started) / 2, nil }
func (process) ResidentKB() (int64, error)  { return 1000, nil }
func (process) Died() error                 { return nil }
