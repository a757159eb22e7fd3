package queue

import (
	"container/heap"
	"errors"
	"time"

	"holdfast/eventlog"
)

const (
	deliverAtOnce = 64 // new messages that one look at a group reads
	sweepAtOnce   = 500
	sweepEvery    = time.Second
)

// run is the scheduler: it delivers, ends attempts and waits, brings in what was delayed, and removes what
// is over.
func (m *Manager) run() {
	defer close(m.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var groups []*group
	for {
		select {
		case <-m.stop:
			return
		case <-m.schedule.wake:
		case <-timer.C:
		}
		now := time.Now()
		var times []*group
		groups, times = m.schedule.take(groups[:0], now)
		for _, g := range times {
			g.endTimes(now)
		}
		for _, g := range groups {
			g.deliverAll(now)
		}
		m.bringIn(now)
		m.sweepAll(now)
		timer.Reset(m.schedule.next(time.Now()))
	}
}

// take returns the groups that may deliver, and those with something due.
func (s *schedule) take(dirty []*group, now time.Time) (_, times []*group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.times) > 0 && !s.times[0].timeAt.After(now) {
		times = append(times, heap.Pop(&s.times).(*group))
	}
	dirty = append(dirty, s.dirty...)
	clear(s.dirty)
	s.dirty = s.dirty[:0]
	for _, g := range dirty {
		g.dirty = false
	}
	for _, g := range times {
		if !g.dirty {
			dirty = append(dirty, g)
		}
	}
	return dirty, times
}

// next is how long the scheduler may sleep.
func (s *schedule) next(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dirty) > 0 {
		return 0
	}
	at := s.sweepAt
	if !s.delayedAt.IsZero() && s.delayedAt.Before(at) {
		at = s.delayedAt
	}
	if len(s.times) > 0 && s.times[0].timeAt.Before(at) {
		at = s.times[0].timeAt
	}
	return max(at.Sub(now), 0)
}

// delayedUntil has the scheduler look for delayed messages at a time, or before.
func (s *schedule) delayedUntil(due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.delayedAt.IsZero() || due.Before(s.delayedAt) {
		s.delayedAt = due
		s.signal()
	}
}

// endTimes ends the attempts that took too long and the waits that are over.
func (g *group) endTimes(now time.Time) {
	g.q.mu.Lock()
	defer g.q.mu.Unlock()
	if g.q.groups[g.name] != g {
		return
	}
	b := &eventlog.Batch{}
	for len(g.times.entries) > 0 && !g.times.entries[0].at.After(now) {
		e := g.times.entries[0]
		switch {
		case e.state == withConsumer:
			g.fail(e, "no answer in time", -1, false, b, now)
		case e.reason != "":
			g.take(e) // the dead letter could not be written
			g.bury(e, e.reason)
		default:
			g.take(e)
			g.put(e, isReady)
		}
	}
	if len(b.Put) > 0 {
		_ = g.q.submitFreeing(b, nil) // closed: the restart does as much
	}
	g.reschedule()
}

// handed is a message and who gets it.
type handed struct {
	to *Subscription
	Delivery
}

// deliverAll hands out what the group's consumers have room for.
func (g *group) deliverAll(now time.Time) {
	q := g.q
	q.mu.Lock()
	if q.groups[g.name] != g || len(g.subs) == 0 {
		q.mu.Unlock()
		return
	}
	b := &eventlog.Batch{}
	out, err := g.deliverReady(nil, b, now)
	if err == nil {
		out, err = g.deliverNew(out, b, now)
	}
	if err != nil && !errors.Is(err, eventlog.ErrClosed) && q.m.ctx.Err() == nil {
		q.m.opts.Logger.Warn().Err(err).Str("queue", q.name).Msg("reading a queue failed")
		q.m.schedule.retryLater(g, now)
	}
	if g.row.delivered > g.sent && len(b.Put) == 0 {
		b.Put = append(b.Put, g.putRow())
	}
	if len(b.Put)+len(b.Delete) > 0 {
		_ = q.submitFreeing(b, nil) // closed: nothing of it is needed
	}
	g.reschedule()
	q.stats.Delivered += uint64(len(out))
	q.mu.Unlock()
	for i := range out {
		out[i].to.deliver(out[i].to, out[i].Delivery)
	}
}

// retryLater has the scheduler look at the group again, though not at once.
func (s *schedule) retryLater(g *group, now time.Time) {
	at := now.Add(100 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.timeIndex < 0 {
		g.timeAt = at
		heap.Push(&s.times, g)
	}
}

// room returns the next consumer in turn that can take a message, or nil. mu is held.
func (g *group) room() *Subscription {
	for range g.subs {
		g.next = (g.next + 1) % len(g.subs)
		if s := g.subs[g.next]; s.held < s.prefetch && (s.prefetch > 1 || !g.adopt(s)) {
			return s
		}
	}
	return nil
}

// deliverReady hands out what is to be tried again. mu is held.
func (g *group) deliverReady(out []handed, b *eventlog.Batch, now time.Time) ([]handed, error) {
	var skipped []*entry
	defer func() {
		for _, e := range skipped {
			g.put(e, isReady)
		}
	}()
	for len(g.ready.entries) > 0 && len(out) < deliverAtOnce {
		e := g.ready.entries[0]
		to := e.holder
		if to == nil {
			to = g.room()
		}
		if to == nil {
			// Those that have a holder can still go.
			g.take(e)
			if skipped = append(skipped, e); len(skipped) > maxPrefetch {
				break
			}
			continue
		}
		s, err := g.q.read(e.seq)
		if err != nil && !errors.Is(err, eventlog.ErrNotFound) {
			return out, err
		}
		if err != nil || over(&s, now) {
			g.drop(e.seq, &s, err == nil, b)
			continue
		}
		if e.attempts >= g.q.opts.MaxAttempts && !g.q.dead {
			g.take(e)
			g.bury(e, "gave up after its last attempt")
			continue
		}
		out = append(out, g.hand(e, to, &s, now))
	}
	if len(g.ready.entries) > 0 && len(out) >= deliverAtOnce {
		g.q.m.schedule.deliver(g)
	}
	return out, nil
}

// hand gives a message to a consumer. mu is held; the entry is in the heap of ready ones, or in none.
func (g *group) hand(e *entry, to *Subscription, s *Stored, now time.Time) handed {
	if e.state == isReady {
		g.take(e)
	}
	if e.holder == nil {
		e.holder = to
		to.held++
	}
	e.attempts++
	e.size = int64(len(s.Body))
	e.at = now.Add(g.q.opts.AckTimeout)
	g.put(e, withConsumer)
	return handed{to, Delivery{Queue: g.q.name, Stored: *s, Attempt: e.attempts}}
}

func over(s *Stored, now time.Time) bool { return !s.Expires.IsZero() && !now.Before(s.Expires) }

// drop is done with a message that is gone or over. mu is held.
func (g *group) drop(seq uint64, s *Stored, exists bool, b *eventlog.Batch) {
	size := int64(-1)
	if exists {
		size = int64(len(s.Body))
		g.q.stats.Expired++
	}
	g.finish(seq, size, b)
}

// deliverNew hands out messages that the group has not yet seen. mu is held.
func (g *group) deliverNew(out []handed, b *eventlog.Batch, now time.Time) ([]handed, error) {
	q := g.q
	if g.row.delivered >= q.row.head {
		return out, nil
	}
	read := 0
	var bad error
	more := false
	err := q.m.log.Scan(q.m.ctx, messagePrefix(q.name), messageKey(q.name, g.row.delivered), func(key string, row []byte) bool {
		if len(g.entries) >= maxOutstanding || g.row.delivered-g.row.floor >= maxWindow {
			return false // until some are done
		}
		to := g.room()
		if to == nil {
			return false
		}
		if read++; read > deliverAtOnce {
			more = true
			return false
		}
		var s Stored
		if s, bad = decodeMessage(lastNumber(key), row); bad != nil {
			return false
		}
		// Numbers in between were never committed, or are no longer there.
		if g.row.floor == g.row.delivered {
			g.row.floor, g.row.delivered = s.Seq-1, s.Seq-1
		}
		for seq := g.row.delivered + 1; seq < s.Seq; seq++ {
			g.done[seq] = struct{}{}
			g.row.delivered = seq
			g.advance(b)
		}
		g.row.delivered = s.Seq
		if over(&s, now) {
			g.drop(s.Seq, &s, true, b)
			return true
		}
		e := &entry{seq: s.Seq, state: leaving} // for the moment, in no heap
		g.entries[s.Seq] = e
		out = append(out, g.hand(e, to, &s, now))
		return true
	})
	if more {
		q.m.schedule.deliver(g)
	}
	return out, errors.Join(err, bad)
}
