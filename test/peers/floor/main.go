// Command floor is the least server that the bench scenarios can be run against: what a hand-written echo and
// broadcast costs in Go. It speaks only as much of Engine.IO and Socket.IO as they need (websocket, the root
// namespace), believes what it is sent, never looks at a heartbeat's answer, and blocks on a slow reader. What
// it costs is the price of the sockets themselves; what a real server costs above it is the price of its
// promises.
package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

const pingInterval = 25 * time.Second

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 3000, "port to listen on")
	version := flag.Bool("version", false, "print what this is")
	flag.Parse()
	if *version {
		fmt.Printf("hand-written, %s\n", runtime.Version())
		return
	}
	l, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		log.Fatal(err)
	}
	s := &server{conns: map[*conn]struct{}{}, rooms: map[string][]*conn{}}
	go s.heartbeat()
	for {
		c, err := l.Accept()
		if err != nil {
			log.Print(err)
			os.Exit(1)
		}
		go s.serve(c)
	}
}

type server struct {
	mu    sync.RWMutex
	conns map[*conn]struct{}
	rooms map[string][]*conn
	next  uint64
}

type conn struct {
	net.Conn
	mu      sync.Mutex // one write at a time
	out     []byte     // answers to the batch of frames at hand
	waiting []byte     // the head of a binary event whose attachment hasn't come
}

func (c *conn) send(p []byte) {
	c.mu.Lock()
	c.Write(p)
	c.mu.Unlock()
}

func (s *server) heartbeat() {
	ping := ws.MustCompileFrame(ws.NewTextFrame([]byte("2")))
	for range time.Tick(pingInterval) {
		s.broadcast(ping)
	}
}

func (s *server) broadcast(p []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c := range s.conns {
		c.send(p)
	}
}

func (s *server) serve(nc net.Conn) {
	defer nc.Close()
	c := &conn{Conn: nc}
	if _, err := ws.Upgrade(nc); err != nil {
		return
	}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.next++
	id := strconv.FormatUint(s.next, 36)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	c.send(text(nil, `0{"sid":"`, id, `","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`))
	s.read(c, id)
}

// read handles frames in place, batch by batch; one write answers a batch.
func (s *server) read(c *conn, id string) {
	buf := make([]byte, 0, 2048)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
		used := 0
		for {
			head, length, ok := parse(buf[used:])
			if !ok || len(buf)-used < head+length {
				break
			}
			op, p := ws.OpCode(buf[used]&0x0f), buf[used+head:][:length]
			ws.Cipher(p, [4]byte(buf[used+head-4:]), 0)
			s.packet(c, id, p, op)
			used += head + length
		}
		buf = buf[:copy(buf, buf[used:])]
		if len(c.out) > 0 {
			c.send(c.out)
			c.out = c.out[:0]
		}
	}
}

// parse reads the head of a masked frame; not ok means that more must come first.
func parse(p []byte) (head, length int, ok bool) {
	if len(p) < 6 {
		return 0, 0, false
	}
	switch n := int(p[1] & 0x7f); {
	case n < 126:
		return 6, n, true
	case n == 126 && len(p) >= 8:
		return 8, int(binary.BigEndian.Uint16(p[2:])), true
	case n == 127 && len(p) >= 14:
		return 14, int(binary.BigEndian.Uint64(p[2:])), true
	}
	return 0, 0, false
}

var (
	echo       = []byte(`["echo",`)
	binaryEcho = []byte(`451-`)
)

func (s *server) packet(c *conn, id string, p []byte, op ws.OpCode) {
	switch {
	case op == ws.OpBinary:
		c.out = text(c.out, `461-`, string(c.waiting), `[{"_placeholder":true,"num":0}]`)
		c.out = header(c.out, ws.OpBinary, len(p))
		c.out = append(c.out, p...)
	case bytes.HasPrefix(p, binaryEcho):
		digits, _, _ := bytes.Cut(p[len(binaryEcho):], []byte{'['})
		c.waiting = append(c.waiting[:0], digits...)
	case bytes.HasPrefix(p, []byte("42")):
		i := bytes.IndexByte(p, '[')
		if ackID, event := p[2:i], p[i:]; bytes.HasPrefix(event, echo) {
			args := event[len(echo):]
			c.out = header(c.out, ws.OpText, 2+len(ackID)+1+len(args))
			c.out = append(c.out, "43"...)
			c.out = append(c.out, ackID...)
			c.out = append(c.out, '[')
			c.out = append(c.out, args...)
		} else {
			s.event(c, ackID, event)
		}
	case bytes.HasPrefix(p, []byte("40")):
		c.out = text(c.out, `40{"sid":"`, id, `"}`)
	}
}

// event handles what the scenarios send besides echo. None of their strings holds a quote or an escape.
func (s *server) event(c *conn, ackID, event []byte) {
	f := bytes.SplitN(event[2:len(event)-1], []byte{'"'}, 3) // name, up to the next string, the rest
	switch string(f[0]) {
	case "bcast":
		s.broadcast(text(nil, `42["b",`, string(f[1][1:]), `"`, string(f[2]), `]`))
	case "burst":
		count, payload, _ := bytes.Cut(f[1][1:], []byte{','})
		n, _ := strconv.Atoi(string(count))
		for i := range n {
			s.broadcast(text(nil, `42["b",`, strconv.Itoa(i), `,`, string(payload), `"`, string(f[2]), `]`))
		}
	case "join":
		room, _, _ := bytes.Cut(f[2], []byte{'"'})
		s.mu.Lock()
		s.rooms[string(room)] = append(s.rooms[string(room)], c)
		s.mu.Unlock()
		c.out = text(c.out, "43", string(ackID), "[]")
	case "room":
		room, payload, _ := bytes.Cut(f[2], []byte(`",`))
		p := text(nil, `42["room",`, string(payload), `]`)
		s.mu.RLock()
		defer s.mu.RUnlock()
		for _, member := range s.rooms[string(room)] {
			member.send(p)
		}
	}
}

// text appends a text frame of the parts.
func text(dst []byte, parts ...string) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	dst = header(dst, ws.OpText, n)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

func header(dst []byte, op ws.OpCode, n int) []byte {
	switch dst = append(dst, 0x80|byte(op)); {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return append(dst, 126, byte(n>>8), byte(n))
	default:
		return append(dst, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}
