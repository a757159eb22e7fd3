//go:build linux

package scenario

import (
	"time"

	"holdfast/bench/internal/client"
)

// arrivals checks the broadcasts that reach each connection of a crowd.
type arrivals struct {
	crowd
	next       []uint32 // by connection: the number expected next
	received   int
	disordered int
}

// arrived notes that number n reached connection i, sent at the time given.
func (a *arrivals) arrived(i int, n uint32, sent, now int64) {
	if n < a.next[i] {
		a.disordered++
	} else {
		a.next[i] = n + 1
	}
	a.received++
	a.latency.Record(time.Duration(now - sent))
}

// steady has one of the clients ask for a broadcast to all at a fixed rate, whatever the server's pace.
type steady struct {
	arrivals
	sent int
	out  []byte
	size int
}

// Steady is conns connections that get rate broadcasts a second with a payload of size bytes.
func Steady(conns, rate, size int) func(*Env) (Figures, error) {
	return func(env *Env) (Figures, error) {
		s := &steady{size: max(size, stampLen)}
		s.next = make([]uint32, conns)
		if err := s.gather(env, conns, client.WebSocket, s); err != nil {
			return nil, err
		}
		interval := time.Second / time.Duration(rate)
		if err := s.play(interval, env.Warm); err != nil {
			return nil, err
		}
		s.latency.Reset()
		before := s.received
		w, err := env.begin()
		if err != nil {
			return nil, err
		}
		if err := s.play(interval, env.Measure); err != nil {
			return nil, err
		}
		// The window ends one interval after the last broadcast, so it has room for what each costs.
		figures, err := env.end(w, s.received-before, 0, &s.latency)
		if err != nil {
			return nil, err
		}
		if err := env.drain(func() int { return s.sent*conns - s.received }); err != nil {
			return nil, err
		}
		// What came late is part of the picture that the percentiles give.
		figures[P50], figures[P99] = ms(s.latency.Quantile(0.5)), ms(s.latency.Quantile(0.99))
		figures[Lost] = float64(s.sent*conns - s.received)
		figures[Disordered] = float64(s.disordered)
		figures[Dropped] = float64(s.dropped)
		return figures, nil
	}
}

func (s *steady) play(interval, total time.Duration) error {
	start := s.env.Loop.Now()
	for at := time.Duration(0); at < total; at += interval {
		now := s.env.Loop.Now()
		s.out = appendStamp(append(s.out[:0], `2["bcast","`...), uint32(s.sent), now, s.size)
		s.conns[0].Send(append(s.out, `"]`...))
		s.conns[0].Flush()
		s.sent++
		if _, err := s.env.Loop.Run(start+int64(at+interval), nil); err != nil {
			return err
		}
	}
	return s.env.Server.Died()
}

// Packet takes a broadcast.
func (s *steady) Packet(c *client.Conn, p []byte, now int64) {
	if args, ok := event(p, `2["b","`); ok {
		if n, sent, ok := parseStamp(args); ok {
			s.arrived(c.Index, n, sent, now)
		}
	}
}

// burst has one client ask for many broadcasts to all at once, again and again.
type burst struct {
	arrivals
	round   uint32
	trigger int64
	last    int64 // when the latest delivery came
	out     []byte
}

// Burst is conns connections that get count broadcasts at once; when all have arrived, again.
func Burst(conns, count, size int) func(*Env) (Figures, error) {
	return func(env *Env) (Figures, error) {
		b := &burst{}
		b.next = make([]uint32, conns)
		if err := b.gather(env, conns, client.WebSocket, b); err != nil {
			return nil, err
		}
		if _, _, err := b.play(max(count/10, 1), size); err != nil {
			return nil, err
		}
		b.latency.Reset()
		b.disordered = 0
		w, err := env.begin()
		if err != nil {
			return nil, err
		}
		var busy time.Duration
		var sent, received int
		for {
			took, n, err := b.play(count, size)
			if err != nil {
				return nil, err
			}
			busy += took
			sent += count * conns
			received += n
			if env.Loop.Now()-w.start >= int64(env.Measure) {
				break
			}
		}
		figures, err := env.end(w, received, busy, &b.latency)
		if err != nil {
			return nil, err
		}
		figures[Lost] = float64(sent - received)
		figures[Disordered] = float64(b.disordered)
		figures[Dropped] = float64(b.dropped)
		return figures, nil
	}
}

// play runs one burst and returns the time up to the last delivery and how many there were.
func (b *burst) play(count, size int) (time.Duration, int, error) {
	b.round++
	b.received = 0
	clear(b.next)
	b.trigger = b.env.Loop.Now()
	b.last = b.trigger
	b.out = append(appendInt(append(b.out[:0], `2["burst",`...), count), `,"`...)
	b.out = appendStamp(b.out, b.round, b.trigger, size)
	b.conns[0].Send(append(b.out, `"]`...))
	b.conns[0].Flush()
	err := b.env.drain(func() int { return count*len(b.conns) - b.received })
	return time.Duration(b.last - b.trigger), b.received, err
}

// Packet takes a broadcast. One of an earlier burst is late: it has been counted as lost.
func (b *burst) Packet(c *client.Conn, p []byte, now int64) {
	args, ok := event(p, `2["b",`)
	if !ok {
		return
	}
	i, n := parseInt(args)
	if n == 0 || len(args) < n+2 {
		return
	}
	if round, sent, ok := parseStamp(args[n+2:]); ok && round == b.round {
		b.arrived(c.Index, uint32(i), sent, now)
		b.last = now
	}
}
