//go:build linux

package scenario

import (
	"bytes"
	"encoding/binary"
	"time"

	"holdfast/bench/internal/client"
)

// ringSize bounds how far the ack ids of one connection may be apart: far above any window, since a server may
// answer out of order.
const ringSize = 256

// echo keeps a window of acked events under way on each connection; each answer is checked and answered with the
// next event. Attachments make it the binary echo.
type echo struct {
	crowd
	window   int
	pad      []byte // what follows the stamp in every payload
	binary   bool
	stopped  bool
	peers    []echoPeer
	sent     int
	answered int
	wrong    int
	out      []byte
}

type echoPeer struct {
	next    int
	arrived int // the id of the binary ack whose attachment comes next; -1: none
	sentAt  [ringSize]int64
}

// Echo is conns connections with window acked events of size bytes under way each.
func Echo(conns, window, size int, t client.Transport) func(*Env) (Figures, error) {
	return func(env *Env) (Figures, error) {
		e := &echo{window: window, pad: bytes.Repeat([]byte{'x'}, size-8)}
		return e.run(env, conns, t)
	}
}

// BinaryEcho is Echo with one attachment of size bytes as the argument.
func BinaryEcho(conns, window, size int) func(*Env) (Figures, error) {
	return func(env *Env) (Figures, error) {
		e := &echo{window: window, binary: true, pad: make([]byte, size-4)}
		for i := range e.pad {
			e.pad[i] = byte(i * 7)
		}
		return e.run(env, conns, client.WebSocket)
	}
}

func (e *echo) run(env *Env, conns int, t client.Transport) (Figures, error) {
	e.peers = make([]echoPeer, conns)
	for i := range e.peers {
		e.peers[i].arrived = -1
	}
	if err := e.gather(env, conns, t, e); err != nil {
		return nil, err
	}
	for _, c := range e.conns {
		now := env.Loop.Now()
		for range e.window {
			e.send(c, now)
		}
		c.Flush()
	}
	if err := env.run(env.Warm); err != nil {
		return nil, err
	}
	e.latency.Reset()
	before := e.answered
	w, err := env.begin()
	if err != nil {
		return nil, err
	}
	if err := env.run(env.Measure); err != nil {
		return nil, err
	}
	figures, err := env.end(w, e.answered-before, 0, &e.latency)
	if err != nil {
		return nil, err
	}
	e.stopped = true
	if err := env.drain(func() int { return e.sent - e.answered - e.wrong }); err != nil {
		return nil, err
	}
	figures[Lost] = float64(e.sent - e.answered)
	figures[Dropped] = float64(e.dropped)
	return figures, nil
}

func (e *echo) send(c *client.Conn, now int64) {
	p := &e.peers[c.Index]
	id := p.next
	p.next++
	p.sentAt[id%ringSize] = now
	e.sent++
	if e.binary {
		e.out = append(appendInt(append(e.out[:0], "51-"...), id), `["echo",{"_placeholder":true,"num":0}]`...)
		c.Send(e.out)
		e.out = append(binary.LittleEndian.AppendUint32(e.out[:0], uint32(id)), e.pad...)
		c.SendBinary(e.out)
		return
	}
	e.out = append(appendInt(append(e.out[:0], '2'), id), `["echo","`...)
	e.out = appendHex(e.out, uint64(id), 8)
	e.out = append(append(e.out, e.pad...), `"]`...)
	c.Send(e.out)
}

// Packet takes an answer, or the head of a binary one.
func (e *echo) Packet(c *client.Conn, p []byte, now int64) {
	if e.binary {
		id, args, ok := acked(p, "61-")
		if !ok || !bytes.HasPrefix(args, []byte(`[{"_placeholder":true,"num":0}`)) {
			e.wrong++
			return
		}
		e.peers[c.Index].arrived = id
		return
	}
	id, args, ok := acked(p, "3")
	if !ok || len(args) != len(`[""]`)+8+len(e.pad) || !bytes.Equal(args[10:len(args)-2], e.pad) {
		e.wrong++
		return
	}
	n, ok := parseHex(args[2:10])
	e.answer(c, id, ok && int(n) == id, now)
}

// Binary takes the attachment of an answer.
func (e *echo) Binary(c *client.Conn, p []byte, now int64) {
	id := e.peers[c.Index].arrived
	e.peers[c.Index].arrived = -1
	right := len(p) == 4+len(e.pad) && int(binary.LittleEndian.Uint32(p)) == id && bytes.Equal(p[4:], e.pad)
	e.answer(c, id, right, now)
}

func (e *echo) answer(c *client.Conn, id int, right bool, now int64) {
	if p := &e.peers[c.Index]; !right || id < 0 || id >= p.next || p.sentAt[id%ringSize] == 0 {
		e.wrong++
	} else {
		e.latency.Record(time.Duration(now - p.sentAt[id%ringSize]))
		p.sentAt[id%ringSize] = 0
		e.answered++
	}
	if !e.stopped {
		e.send(c, now)
	}
}
