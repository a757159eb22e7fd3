//go:build linux

package scenario

import (
	"fmt"
	"time"

	"holdfast/bench/internal/client"
)

// stallAfter is how long a client of the rooms scenario waits for its own broadcast before it gives it up and
// sends the next.
const stallAfter = 3 * time.Second

// rooms has every client of many small rooms send to its own room, the next event when its own broadcast came
// back.
type rooms struct {
	arrivals
	members int // of a room
	size    int
	peers   []roomPeer
	sent    int
	stopped bool
	joins   int
	out     []byte
}

type roomPeer struct {
	seq  uint32
	sent int64    // when its latest event left
	seen []uint32 // by member of its room: the number expected next
}

// Rooms is count rooms of members connections each; every connection is in one room and sends to it.
func Rooms(count, members, size int) func(*Env) (Figures, error) {
	return func(env *Env) (Figures, error) {
		r := &rooms{members: members, size: size, peers: make([]roomPeer, count*members)}
		for i := range r.peers {
			r.peers[i].seen = make([]uint32, members)
		}
		return r.run(env)
	}
}

func (r *rooms) run(env *Env) (Figures, error) {
	r.joined = func(c *client.Conn) { c.Send(fmt.Appendf(nil, `21["join","%s"]`, r.room(c.Index))) }
	if err := r.gather(env, len(r.peers), client.WebSocket, r); err != nil {
		return nil, err
	}
	if ok, err := env.Loop.Run(env.Loop.Now()+int64(drainMost), func() bool { return r.joins == len(r.peers) }); err != nil || !ok {
		return nil, fmt.Errorf("%d of %d joined: %w", r.joins, len(r.peers), err)
	}
	for _, c := range r.conns {
		r.send(c, env.Loop.Now())
		c.Flush()
	}
	if err := r.play(env.Warm); err != nil {
		return nil, err
	}
	r.latency.Reset()
	before := r.received
	w, err := env.begin()
	if err != nil {
		return nil, err
	}
	if err := r.play(env.Measure); err != nil {
		return nil, err
	}
	figures, err := env.end(w, r.received-before, 0, &r.latency)
	if err != nil {
		return nil, err
	}
	r.stopped = true
	if err := env.drain(func() int { return r.sent*r.members - r.received }); err != nil {
		return nil, err
	}
	figures[Lost] = float64(r.sent*r.members - r.received)
	figures[Disordered] = float64(r.disordered)
	figures[Dropped] = float64(r.dropped)
	return figures, nil
}

// play serves the connections for d and gets those going again whose own broadcast was lost.
func (r *rooms) play(d time.Duration) error {
	end := r.env.Loop.Now() + int64(d)
	for r.env.Loop.Now() < end {
		if _, err := r.env.Loop.Run(min(end, r.env.Loop.Now()+int64(500*time.Millisecond)), nil); err != nil {
			return err
		}
		now := r.env.Loop.Now()
		for i := range r.peers {
			if now-r.peers[i].sent > int64(stallAfter) {
				r.send(r.conns[i], now)
				r.conns[i].Flush()
			}
		}
	}
	return r.env.Server.Died()
}

func (r *rooms) room(i int) string { return fmt.Sprintf("room-%d", i/r.members) }

// send makes connection i's next event; its number carries which member of the room it comes from.
func (r *rooms) send(c *client.Conn, now int64) {
	p := &r.peers[c.Index]
	r.out = append(appendInt(append(r.out[:0], `2["room","room-`...), c.Index/r.members), `","`...)
	r.out = appendStamp(r.out, uint32(c.Index%r.members)<<24|p.seq&0xffffff, now, r.size)
	c.Send(append(r.out, `"]`...))
	p.seq++
	p.sent = now
	r.sent++
}

// Packet takes a broadcast, or the answer to a join.
func (r *rooms) Packet(c *client.Conn, p []byte, now int64) {
	args, ok := event(p, `2["room","`)
	if !ok {
		if _, _, ok := acked(p, "3"); ok {
			r.joins++
		}
		return
	}
	n, sent, ok := parseStamp(args)
	from := int(n >> 24)
	if !ok || from >= r.members {
		return
	}
	seen := r.peers[c.Index].seen
	if seq := n & 0xffffff; seq < seen[from] {
		r.disordered++
	} else {
		seen[from] = seq + 1
	}
	r.received++
	r.latency.Record(time.Duration(now - sent))
	if from == c.Index%r.members && !r.stopped {
		r.send(c, now)
	}
}
