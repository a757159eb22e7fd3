package queue

import (
	"sync/atomic"
	"time"

	"holdfast/eventlog"
)

// bringIn gives messages that are due their place in the order.
func (m *Manager) bringIn(now time.Time) {
	s := &m.schedule
	s.mu.Lock()
	at := s.delayedAt
	s.mu.Unlock()
	if at.After(now) {
		return
	}
	type due struct {
		key   string
		queue string
		row   []byte
	}
	var (
		rows []due
		next time.Time // of the first that is not due
	)
	// Not from the very first: what was brought in leaves a trail that is slow to read.
	after := ""
	if m.brought > 0 {
		after = delayedKey(max(m.brought-clockSlack, 0), 0, "")
	}
	err := m.log.Scan(m.ctx, delayedPrefix, after, func(key string, row []byte) bool {
		ms, queue, ok := splitDelayed(key)
		if !ok {
			return true
		}
		if at := timeOf(ms); at.After(now) || len(rows) == sweepAtOnce {
			next = at
			return false
		}
		m.brought = ms
		rows = append(rows, due{key, queue, append([]byte(nil), row...)})
		return true
	})
	if err != nil {
		next = now.Add(sweepEvery)
	}
	if next.IsZero() {
		next = now.Add(24 * time.Hour) // a new one moves it
	}
	s.mu.Lock()
	s.delayedAt = next
	s.mu.Unlock()
	// Each for itself would be slow; but the last is waited for, so that none is brought in twice.
	var (
		last   chan struct{}
		failed atomic.Bool
	)
	for _, d := range rows {
		q, err := m.find(d.queue, true)
		if err != nil {
			return
		}
		done := make(chan struct{})
		q.bringIn(d.key, d.row, func(err error) {
			if err != nil {
				failed.Store(true)
			}
			close(done)
		})
		last = done
	}
	if last == nil {
		return
	}
	select {
	case <-last:
		if failed.Load() {
			s.delayedUntil(now.Add(sweepEvery))
		}
	case <-m.stop:
	}
}

// clockSlack is how far back in milliseconds a clock may be set without that delayed messages wait for the
// next start.
const clockSlack = 60_000

// bringIn publishes a message that was delayed; the row it had goes in the same batch.
func (q *queue) bringIn(key string, row []byte, done func(error)) {
	s, err := decodeMessage(0, row)
	q.mu.Lock()
	defer q.mu.Unlock()
	b := &eventlog.Batch{Delete: []string{key}, Frees: true}
	if err == nil {
		q.row.head++
		b.Put = append(b.Put, eventlog.KV{Key: messageKey(q.name, q.row.head), Value: row})
		if s.ID != "" {
			if known, _ := q.knownID(s.ID, time.Now()); known != nil && q.ids[s.ID] == nil && known.seq == 0 {
				known.seq = q.row.head
				b.Put = append(b.Put, eventlog.KV{Key: idKey(q.name, s.ID), Value: known.encode()})
			}
		}
		b.Put = append(b.Put, q.putRow())
		q.delayed--
	}
	b.Done = func(_ uint64, err error) {
		q.mu.Lock()
		if err != nil {
			q.delayed++
		} else {
			q.wakeGroups()
		}
		q.mu.Unlock()
		done(err)
	}
	if err := q.m.log.Submit(b); err != nil {
		done(err)
	}
}

// sweepAll removes what is over, now and then.
func (m *Manager) sweepAll(now time.Time) {
	s := &m.schedule
	s.mu.Lock()
	due := !s.sweepAt.After(now)
	if due {
		s.sweepAt = now.Add(sweepEvery)
	}
	s.mu.Unlock()
	if !due {
		return
	}
	again := m.sweepIDs(now)
	m.mu.Lock()
	queues := make([]*queue, 0, len(m.queues))
	for _, q := range m.queues {
		queues = append(queues, q)
	}
	m.mu.Unlock()
	for _, q := range queues {
		again = q.sweepMessages(now) || again
	}
	if again {
		s.mu.Lock()
		s.sweepAt = now
		s.mu.Unlock()
	}
}

// sweepIDs forgets ids past the window; it says whether some are left.
func (m *Manager) sweepIDs(now time.Time) bool {
	cutoff := millis(now.Add(-m.options().DedupeWindow))
	var keys []string
	after := ""
	if m.forgotten > 0 {
		after = idTimeKey(max(m.forgotten-clockSlack, 0), "", "")
	}
	err := m.log.Scan(m.ctx, idTimePrefix, after, func(key string, _ []byte) bool {
		at, _, _, ok := splitIDTime(key)
		if ok && at >= cutoff || len(keys) == sweepAtOnce {
			return false
		}
		m.forgotten = at
		keys = append(keys, key)
		return true
	})
	if err != nil || len(keys) == 0 {
		return false
	}
	var last chan struct{}
	for _, key := range keys {
		at, name, id, ok := splitIDTime(key)
		b := &eventlog.Batch{Delete: []string{key}, Frees: true}
		done := make(chan struct{})
		b.Done = func(uint64, error) { close(done) }
		q, _ := m.find(name, false)
		if q != nil {
			q.mu.Lock()
			// It may have been published again since, under a later time.
			if row, err := m.log.Get(m.ctx, idKey(name, id)); ok && err == nil && q.ids[id] == nil {
				if known, err := decodeID(row); err != nil || known.at <= at {
					b.Delete = append(b.Delete, idKey(name, id))
				}
			}
		}
		if m.log.Submit(b) == nil {
			last = done
		}
		if q != nil {
			q.mu.Unlock()
		}
	}
	if last == nil {
		return false
	}
	select {
	case <-last:
	case <-m.stop:
		return false
	}
	return len(keys) == sweepAtOnce
}

// sweepMessages removes messages that nobody waits for: below every group's floor, and of those that no
// group has begun with, what is past its time, past the age that a queue without groups keeps, or beyond
// the bounds of a queue of dead letters. It says whether there may be more.
func (q *queue) sweepMessages(now time.Time) bool {
	q.deleting.Lock()
	defer q.deleting.Unlock()
	q.mu.Lock()
	all, floor, due := q.sweep, q.minFloor(), q.sweepIsDue()
	q.sweep = false
	q.mu.Unlock()
	if !due {
		return false
	}
	// What was done before is deleted by its own batch, and must not be counted twice: so these go first.
	if _, err := q.m.log.Append(q.m.ctx, &eventlog.Batch{Frees: true}); err != nil {
		q.mu.Lock()
		q.sweep = q.sweep || all
		q.mu.Unlock()
		return false
	}
	q.mu.Lock()
	w := sweeper{q: q, now: now, all: all, floor: min(floor, q.minFloor()), b: &eventlog.Batch{}}
	more, err := w.scan()
	done := make(chan error, 1)
	if err == nil && len(w.b.Delete) > 0 {
		w.b.Put = append(w.b.Put, q.putRow())
		err = q.submitFreeing(w.b, func(err error) { done <- err })
	} else {
		done <- err
	}
	if more {
		q.sweep = q.sweep || all
	} else {
		q.hasTTL = w.ttl || q.hasTTL && !all
	}
	q.mu.Unlock()
	if err != nil {
		return false
	}
	select {
	case err = <-done:
	case <-q.m.stop:
		return false
	}
	return err == nil && more
}

// sweepIsDue says whether there may be something to remove. mu is held.
func (q *queue) sweepIsDue() bool {
	return q.row.count > 0 && (q.sweep || q.hasTTL || q.opts.MaxAge > 0 && len(q.groups) == 0 || q.tooMany())
}

// tooMany says whether a queue of dead letters is to drop its oldest. mu is held.
func (q *queue) tooMany() bool {
	return q.dead && (q.row.count > q.opts.MaxMessages || q.row.bytes > q.opts.MaxBytes)
}

// sweeper looks at the messages of a queue.
type sweeper struct {
	q     *queue
	now   time.Time
	all   bool   // look at every message, not only at the oldest as long as they go
	floor uint64 // of all groups, before what is certainly committed by now
	b     *eventlog.Batch
	ttl   bool // one that stays has an end
}

// scan collects what goes, and says whether it stopped before the end. mu is held.
func (w *sweeper) scan() (more bool, err error) {
	q := w.q
	after := ""
	if floor := q.minFloor(); !w.all && floor > 0 {
		after = messageKey(q.name, floor)
	}
	seen := 0
	err = q.m.log.Scan(q.m.ctx, messagePrefix(q.name), after, func(key string, row []byte) bool {
		if seen++; seen > sweepAtOnce {
			more = true
			return false
		}
		s, err := decodeMessage(lastNumber(key), row)
		if err != nil {
			q.m.opts.Logger.Error().Err(err).Str("queue", q.name).Msg("a message can't be read")
			return true
		}
		if !w.goes(&s) {
			w.ttl = w.ttl || !s.Expires.IsZero()
			return w.all
		}
		w.b.Delete = append(w.b.Delete, key)
		q.row.count--
		q.row.bytes -= int64(len(s.Body))
		return true
	})
	// A look at everything that removes nothing of a part would look at that part for ever.
	return more && len(w.b.Delete) > 0, err
}

// goes says whether a message is to be removed. mu is held.
func (w *sweeper) goes(s *Stored) bool {
	q := w.q
	if len(q.groups) > 0 && s.Seq <= w.floor {
		return true
	}
	for _, g := range q.groups {
		if s.Seq <= g.row.delivered {
			return false // the group's own to end
		}
	}
	switch {
	case over(s, w.now):
		q.stats.Expired++
		return true
	case q.tooMany():
		return true
	}
	return len(q.groups) == 0 && q.opts.MaxAge > 0 && w.now.Sub(s.Published) > q.opts.MaxAge
}

// minFloor is the lowest of the groups' floors, 0 without any. mu is held.
func (q *queue) minFloor() uint64 {
	floor, first := uint64(0), true
	for _, g := range q.groups {
		if first || g.row.floor < floor {
			floor, first = g.row.floor, false
		}
	}
	return floor
}
