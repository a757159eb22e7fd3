package queue

import (
	"container/heap"
	"errors"
	"fmt"
	"time"

	"holdfast/eventlog"
)

// group is a cursor over a queue, shared by its consumers. All is under the queue's mu, except what the
// schedule keeps in it.
type group struct {
	q    *queue
	name string // as in its key: see groupName

	row    groupRow
	sent   uint64 // row.delivered as last submitted
	stored bool   // its row was submitted
	// Above the floor: what is being handled or is to be tried again, and what is done.
	entries map[uint64]*entry
	done    map[uint64]struct{}
	times   entryHeap // entries that are with a consumer or wait, by when that ends
	ready   entryHeap // entries to be delivered again now, by sequence

	subs    []*Subscription
	next    int  // whose turn it is
	orphans bool // there may be entries that wait and have no holder

	// Under the schedule's mu.
	dirty     bool
	timeAt    time.Time
	timeIndex int
}

// entry is a message that a group has begun with.
type entry struct {
	seq      uint64
	size     int64 // of its body, once it was read
	attempts int   // deliveries so far
	state    entryState
	// holder has the message, or waits for its next attempt and gets nothing before.
	holder *Subscription
	at     time.Time // when the attempt times out, or the wait is over
	reason string    // why it is to become a dead letter, once that was decided
	index  int       // in the heap that state says
}

type entryState uint8

const (
	withConsumer entryState = iota // in times
	waiting                        // in times
	isReady                        // in ready
	leaving                        // in no heap: becoming a dead letter
)

func newGroup(q *queue, name string) *group {
	g := &group{
		q: q, name: name, entries: make(map[uint64]*entry), done: make(map[uint64]struct{}), timeIndex: -1,
	}
	g.times.less = func(a, b *entry) bool { return a.at.Before(b.at) }
	g.ready.less = func(a, b *entry) bool { return a.seq < b.seq }
	return g
}

func (g *group) statusKey(seq uint64) string {
	return statusKey(g.q.name, g.name, g.row.generation, seq)
}

// groupName keeps the names of groups and of consumers without one apart.
func groupName(group, consumer string) string {
	if group == "" {
		return "c/" + consumer
	}
	return "g/" + group
}

// load reads the groups of a queue.
func (q *queue) load() error {
	var bad error
	prefix := groupPrefix(q.name)
	err := q.m.log.Scan(q.m.ctx, prefix, "", func(key string, row []byte) bool {
		g := newGroup(q, key[len(prefix):])
		if g.row, bad = decodeGroup(row); bad != nil {
			bad = fmt.Errorf("%w: group %q of queue %q: %w", eventlog.ErrCorrupt, g.name, q.name, bad)
			return false
		}
		g.sent, g.stored = g.row.delivered, true
		q.groups[g.name] = g
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return err
	}
	for _, g := range q.groups {
		if err := g.load(); err != nil {
			return err
		}
	}
	return nil
}

// load reads what is outstanding: what was delivered and is not done is tried again.
func (g *group) load() error {
	known := make(map[uint64]statusRow)
	var bad error
	old := &eventlog.Batch{Frees: true}
	prefix := statusPrefix(g.q.name, g.name)
	err := g.q.m.log.Scan(g.q.m.ctx, prefix, "", func(key string, row []byte) bool {
		seq := lastNumber(key)
		if len(key) != len(prefix)+16 || numberAt(key, prefix) != g.row.generation || seq <= g.row.floor || seq > g.row.delivered {
			old.Delete = append(old.Delete, key)
			return true
		}
		s, err := decodeStatus(row)
		if err != nil {
			bad = fmt.Errorf("%w: a message's status in group %q of queue %q", eventlog.ErrCorrupt, g.name, g.q.name)
			return false
		}
		known[seq] = s
		return true
	})
	if err == nil && len(old.Delete) > 0 {
		err = g.q.m.log.Submit(old)
	}
	if err := errors.Join(err, bad); err != nil {
		return err
	}
	g.orphans = true
	now := time.Now()
	for seq := g.row.floor + 1; seq <= g.row.delivered; seq++ {
		s, ok := known[seq]
		if ok && s.done {
			g.done[seq] = struct{}{}
			continue
		}
		e := &entry{seq: seq, size: -1, attempts: 1}
		if ok {
			e.attempts = s.attempts
			e.at = timeOf(s.at)
		}
		g.entries[seq] = e
		if e.at.After(now) {
			g.put(e, waiting)
		} else {
			g.put(e, isReady)
		}
	}
	g.advance(nil)
	g.reschedule()
	return nil
}

// put moves an entry to a state. mu is held.
func (g *group) put(e *entry, s entryState) {
	e.state = s
	switch s {
	case withConsumer, waiting:
		heap.Push(&g.times, e)
	case isReady:
		heap.Push(&g.ready, e)
	}
}

// take removes an entry from the heap that it is in. mu is held.
func (g *group) take(e *entry) {
	switch e.state {
	case withConsumer, waiting:
		heap.Remove(&g.times, e.index)
	case isReady:
		heap.Remove(&g.ready, e.index)
	}
}

// release frees the entry's place with its holder. mu is held.
func (g *group) release(e *entry) {
	if e.holder != nil {
		e.holder.held--
		e.holder = nil
		g.orphans = true
	}
}

// adopt has a consumer that takes one message at a time wait for the oldest that waits and that nobody
// holds, so that it gets nothing before. It says whether there was one. mu is held.
func (g *group) adopt(s *Subscription) bool {
	if !g.orphans {
		return false
	}
	var oldest *entry
	for _, e := range g.times.entries {
		if e.state == waiting && e.holder == nil && (oldest == nil || e.seq < oldest.seq) {
			oldest = e
		}
	}
	if oldest == nil {
		g.orphans = false
		return false
	}
	oldest.holder = s
	s.held++
	return true
}

// reschedule tells the schedule when something of the group is due. mu is held.
func (g *group) reschedule() {
	if len(g.times.entries) == 0 {
		g.q.m.schedule.at(g, time.Time{})
		return
	}
	g.q.m.schedule.at(g, g.times.entries[0].at)
}

// finish makes a message done for the group: the rows that say so are added to b. mu is held.
func (g *group) finish(seq uint64, size int64, b *eventlog.Batch) {
	if e := g.entries[seq]; e != nil {
		g.take(e)
		g.release(e)
		delete(g.entries, seq)
	}
	if seq <= g.row.floor {
		return
	}
	if _, ok := g.done[seq]; ok {
		return
	}
	g.done[seq] = struct{}{}
	if g.advance(b); seq > g.row.floor {
		status := statusRow{done: true}
		b.Put = append(b.Put, eventlog.KV{Key: g.statusKey(seq), Value: status.encode()})
	} else {
		b.Delete = append(b.Delete, g.statusKey(seq))
	}
	b.Put = append(b.Put, g.putRow())
	if !g.q.doneByAll(seq) {
		return
	}
	if size < 0 {
		g.q.sweep = true // there may be a row, of a size that is not known
	} else {
		b.Delete = append(b.Delete, messageKey(g.q.name, seq))
		g.q.row.count--
		g.q.row.bytes -= size
		b.Put = append(b.Put, g.q.putRow())
	}
}

// advance moves the floor up over what is done, and adds the rows that are no longer needed to b, which
// may be nil. mu is held.
func (g *group) advance(b *eventlog.Batch) {
	for {
		next := g.row.floor + 1
		if _, ok := g.done[next]; !ok {
			break
		}
		delete(g.done, next)
		g.row.floor = next
		if b != nil {
			b.Delete = append(b.Delete, g.statusKey(next))
		}
	}
	g.row.delivered = max(g.row.delivered, g.row.floor)
}

// putRow is the group's cursor as it is now. mu is held.
func (g *group) putRow() eventlog.KV {
	g.sent = g.row.delivered
	return eventlog.KV{Key: groupKey(g.q.name, g.name), Value: g.row.encode()}
}

// isDone says whether the group is done with a message. mu is held.
func (g *group) isDone(seq uint64) bool {
	if seq <= g.row.floor {
		return true
	}
	_, ok := g.done[seq]
	return ok
}

// doneByAll says whether every group is done with a message. mu is held.
func (q *queue) doneByAll(seq uint64) bool {
	for _, g := range q.groups {
		if !g.isDone(seq) {
			return false
		}
	}
	return len(q.groups) > 0
}

// fail ends an attempt without success: the message is tried again after a pause, the group's own if after
// is negative, or becomes a dead letter. If hold is set its consumer gets nothing before it.
// mu is held.
func (g *group) fail(e *entry, reason string, after time.Duration, hold bool, b *eventlog.Batch, now time.Time) {
	g.take(e)
	if !hold {
		g.release(e)
	}
	if e.attempts >= g.q.opts.MaxAttempts && !g.q.dead {
		g.bury(e, reason)
		return
	}
	if after < 0 {
		after = g.backoff(e.attempts)
	}
	e.at = now.Add(after)
	if after == 0 {
		g.put(e, isReady)
	} else {
		g.put(e, waiting)
	}
	status := statusRow{attempts: e.attempts, at: millis(e.at)}
	b.Put = append(b.Put, eventlog.KV{Key: g.statusKey(e.seq), Value: status.encode()})
	g.q.stats.Retried++
	g.q.m.schedule.deliver(g)
}

// backoff is the pause after an attempt that ended without an answer.
func (g *group) backoff(attempts int) time.Duration {
	o := &g.q.opts
	d := o.MinBackoff
	for i := 1; i < attempts && d < o.MaxBackoff; i++ {
		d *= 2
	}
	return min(d, o.MaxBackoff)
}

// bury makes a message a dead letter: first a copy in the queue of dead letters, and once that is durable
// the message is done. A crash between the two makes it again, under the same id. mu is held, e is in no
// heap.
func (g *group) bury(e *entry, reason string) {
	e.state, e.reason = leaving, reason
	q := g.q
	now := time.Now()
	s, err := q.read(e.seq)
	if errors.Is(err, eventlog.ErrNotFound) {
		g.finishAlone(e.seq, -1)
		return
	}
	var to *queue
	if err == nil {
		to, err = q.m.find(q.name+DeadSuffix, true)
	}
	if err != nil {
		g.unbury(e)
		return
	}
	e.size = int64(len(s.Body))
	letter := Stored{
		ID: fmt.Sprintf("%s/%d/%s", g.name, e.seq, q.name), Body: s.Body, Published: s.Published,
		Dead: &Dead{Queue: q.name, Seq: e.seq, Group: g.name[2:], Attempts: e.attempts, Reason: reason, Time: now},
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	switch _, known, err := to.admit(&letter, now); {
	case err != nil:
		g.unbury(e)
	case known:
		g.finishAlone(e.seq, e.size)
	default:
		err := to.submit(&letter, now, func(_ Receipt, err error) {
			q.mu.Lock()
			defer q.mu.Unlock()
			if q.groups[g.name] != g || g.entries[e.seq] != e || e.state != leaving {
				return // done, purged or unsubscribed meanwhile
			}
			if err != nil {
				g.unbury(e)
				return
			}
			q.stats.Dead++
			g.finishAlone(e.seq, e.size)
		})
		if err != nil {
			to.takeID(letter.ID)
			g.unbury(e)
		}
	}
}

// finishAlone makes a message done in a batch of its own. mu is held.
func (g *group) finishAlone(seq uint64, size int64) {
	b := &eventlog.Batch{}
	g.finish(seq, size, b)
	_ = g.q.submitFreeing(b, nil) // closed: it is tried again after the restart
	g.q.m.schedule.deliver(g)
}

// unbury tries a dead letter again in a while, since the log did not take it. mu is held.
func (g *group) unbury(e *entry) {
	g.release(e)
	e.at = time.Now().Add(g.q.opts.MinBackoff)
	g.put(e, waiting)
	g.reschedule()
}

// submitFreeing submits a batch that leads to less being held; done, which may be nil, is called with its
// outcome unless an error is returned. What the batch says is true in memory already: if it fails a message
// may come again after a restart. mu is held.
func (q *queue) submitFreeing(b *eventlog.Batch, done func(error)) error {
	b.Frees = true
	b.Done = func(_ uint64, err error) {
		if err != nil {
			q.mu.Lock()
			q.sweep = true
			q.mu.Unlock()
		}
		if done != nil {
			done(err)
		}
	}
	return q.m.log.Submit(b)
}

// read returns a message as it is stored. mu may be held.
func (q *queue) read(seq uint64) (Stored, error) {
	row, err := q.m.log.Get(q.m.ctx, messageKey(q.name, seq))
	if err != nil {
		return Stored{}, err
	}
	s, err := decodeMessage(seq, row)
	if err != nil {
		return s, fmt.Errorf("%w: queue %q: %w", eventlog.ErrCorrupt, q.name, err)
	}
	return s, nil
}

// entryHeap is a heap of entries that know their place.
type entryHeap struct {
	entries []*entry
	less    func(a, b *entry) bool
}

func (h *entryHeap) Len() int           { return len(h.entries) }
func (h *entryHeap) Less(i, j int) bool { return h.less(h.entries[i], h.entries[j]) }
func (h *entryHeap) Swap(i, j int) {
	h.entries[i], h.entries[j] = h.entries[j], h.entries[i]
	h.entries[i].index, h.entries[j].index = i, j
}

func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(h.entries)
	h.entries = append(h.entries, e)
}

func (h *entryHeap) Pop() any {
	n := len(h.entries) - 1
	e := h.entries[n]
	h.entries[n] = nil
	h.entries = h.entries[:n]
	return e
}
