//go:build linux

package scenario

import (
	"fmt"
	"time"

	"holdfast/bench/internal/client"
)

// Figures of the growth tables.
const (
	ResidentMB  Figure = "resident_mb"    // the server's resident set when idle
	IdleCPU     Figure = "idle_cpu_ms"    // milliseconds of server CPU a second, with nothing but heartbeats
	JoinCPU     Figure = "join_cpu_us"    // microseconds of server CPU a join with its ack
	KBPerMember Figure = "kb_membership"  // growth of the resident set a membership, in 1,024 bytes
	LeaveCPU    Figure = "disconnect_cpu" // microseconds of server CPU a connection that goes
	heartbeats         = 25 * time.Second // the interval of every peer's default
	afterGoing         = time.Second      // for the server to clean up
	roomMembers        = 5                // of each room, whatever their number
)

// Presence is conns connections: what one costs to open, to keep (over one heartbeat interval) and to lose.
func Presence(conns int) func(*Env) (Figures, error) {
	return func(env *Env) (Figures, error) {
		before, err := settle(env)
		if err != nil {
			return nil, err
		}
		i := &idle{}
		w, err := env.begin()
		if err != nil {
			return nil, err
		}
		if err := i.gather(env, conns, client.WebSocket, i); err != nil {
			return nil, err
		}
		if err := env.run(200 * time.Millisecond); err != nil {
			return nil, err
		}
		figures, err := env.end(w, conns, 0, &i.latency)
		if err != nil {
			return nil, err
		}
		after, err := settle(env)
		if err != nil {
			return nil, err
		}
		figures[ResidentMB] = float64(after) / 1024
		figures[KBPerConn] = float64(after-before) / float64(conns)
		idling, err := env.spend(func() error { return env.run(heartbeats) })
		if err != nil {
			return nil, err
		}
		figures[IdleCPU] = float64(idling.Microseconds()) / 1e3 / heartbeats.Seconds()
		figures[Dropped] = float64(i.dropped)
		going, err := env.spend(func() error {
			for _, c := range i.conns {
				c.Close()
			}
			return env.run(afterGoing)
		})
		figures[LeaveCPU] = float64(going.Nanoseconds()) / 1e3 / float64(conns)
		return figures, err
	}
}

// spend returns the server CPU that is used while f runs.
func (e *Env) spend(f func() error) (time.Duration, error) {
	before, err := e.Server.CPU()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := e.Server.CPU()
	return after - before, err
}

// manyRooms sends to one room after another, each of the same size, however many there are.
type manyRooms struct {
	arrivals
	rooms   int
	joins   int
	at      int // the room that is being sent to
	seq     uint32
	sent    int
	stopped bool
	out     []byte
}

// RoomGrowth is conns connections in count rooms of five each; a member sends, when all five have it the next
// room's turn comes.
func RoomGrowth(conns, count, size int) func(*Env) (Figures, error) {
	return func(env *Env) (Figures, error) {
		r := &manyRooms{rooms: count}
		r.next = make([]uint32, conns)
		if err := r.gather(env, conns, client.WebSocket, r); err != nil {
			return nil, err
		}
		before, err := settle(env)
		if err != nil {
			return nil, err
		}
		memberships := count * roomMembers
		joining, err := env.spend(func() error { return r.join(memberships) })
		if err != nil {
			return nil, err
		}
		after, err := settle(env)
		if err != nil {
			return nil, err
		}
		r.send(size)
		if err := env.run(env.Warm); err != nil {
			return nil, err
		}
		r.latency.Reset()
		received := r.received
		w, err := env.begin()
		if err != nil {
			return nil, err
		}
		if err := env.run(env.Measure); err != nil {
			return nil, err
		}
		figures, err := env.end(w, r.received-received, 0, &r.latency)
		if err != nil {
			return nil, err
		}
		r.stopped = true
		if err := env.drain(func() int { return r.sent*roomMembers - r.received }); err != nil {
			return nil, err
		}
		figures[JoinCPU] = float64(joining.Nanoseconds()) / 1e3 / float64(memberships)
		figures[KBPerMember] = float64(after-before) / float64(memberships)
		figures[Lost] = float64(r.sent*roomMembers - r.received)
		return figures, nil
	}
}

// member is the connection that is the i-th of a room.
func (r *manyRooms) member(room, i int) *client.Conn {
	return r.conns[(room*roomMembers+i)%len(r.conns)]
}

// join makes the memberships in slices, so that no connection's queue of acks grows long.
func (r *manyRooms) join(memberships int) error {
	const slice = 500
	for from := 0; from < memberships; from += slice {
		to := min(from+slice, memberships)
		for m := from; m < to; m++ {
			c := r.member(m/roomMembers, m%roomMembers)
			c.Send(fmt.Appendf(nil, `2%d["join","room-%d"]`, m, m/roomMembers))
			c.Flush()
		}
		ok, err := r.env.Loop.Run(r.env.Loop.Now()+int64(drainMost), func() bool { return r.joins == to })
		if err != nil || !ok {
			return fmt.Errorf("%d of %d joined: %w", r.joins, memberships, err)
		}
	}
	return nil
}

func (r *manyRooms) send(size int) {
	// A stride that is prime to the number of rooms visits all of them, far apart.
	r.at = (r.at + 7919) % r.rooms
	r.seq++
	r.out = append(appendInt(append(r.out[:0], `2["room","room-`...), r.at), `","`...)
	r.out = appendStamp(r.out, r.seq, r.env.Loop.Now(), size)
	c := r.member(r.at, 0)
	c.Send(append(r.out, `"]`...))
	c.Flush()
	r.sent++
}

// Packet takes a broadcast, or the answer to a join.
func (r *manyRooms) Packet(_ *client.Conn, p []byte, now int64) {
	args, ok := event(p, `2["room","`)
	if !ok {
		if _, _, ok := acked(p, "3"); ok {
			r.joins++
		}
		return
	}
	_, sent, ok := parseStamp(args)
	if !ok {
		return
	}
	r.received++
	r.latency.Record(time.Duration(now - sent))
	if r.received == r.sent*roomMembers && !r.stopped {
		r.send(payloadLen)
	}
}
