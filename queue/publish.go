package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/eventlog"
)

// Message is what is published.
type Message struct {
	Body []byte // opaque; must not change until the receipt
	// ID, if not empty, makes publishing it again within the window harmless. At most 256 bytes.
	ID string
	// TTL, if not 0, is how long the message is worth delivering, from when it is due.
	TTL time.Duration
	// Delay, if not 0, is how long it is held back. It takes its place in the order when it is due.
	Delay time.Duration
}

// Receipt says that a message is durable.
type Receipt struct {
	// Seq is the message's place in the queue; 0 for a delayed one, which has none yet.
	Seq uint64
	// Duplicate says that the id was published before, as Seq; this message was not stored.
	Duplicate bool
}

// maxDelay keeps times within what can be stored and compared.
const maxDelay = 10 * 365 * 24 * time.Hour

// Publish stores a message and waits until it is durable. When ctx ends first it may still be stored: with
// an ID it can be published again without harm.
func (m *Manager) Publish(ctx context.Context, queue string, msg Message) (Receipt, error) {
	type result struct {
		Receipt
		error
	}
	c := make(chan result, 1)
	m.PublishAsync(queue, msg, func(r Receipt, err error) { c <- result{r, err} })
	select {
	case r := <-c:
		return r.Receipt, r.error
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	}
}

// PublishAsync stores a message and calls done, exactly once, when it is durable or refused: before it
// returns, or from a goroutine of the log's, which done must not hold up.
func (m *Manager) PublishAsync(queue string, msg Message, done func(Receipt, error)) {
	if strings.HasSuffix(queue, DeadSuffix) {
		done(Receipt{}, fmt.Errorf("%w: only dead letters go to %q", ErrBadName, queue))
		return
	}
	if len(msg.ID) > maxID || strings.IndexByte(msg.ID, 0) >= 0 {
		done(Receipt{}, fmt.Errorf("%w: an id has at most %d bytes and no zero byte", ErrBadRequest, maxID))
		return
	}
	if msg.TTL < 0 || msg.Delay < 0 || msg.TTL > maxDelay || msg.Delay > maxDelay {
		done(Receipt{}, fmt.Errorf("%w: ttl and delay are between 0 and 10 years", ErrBadRequest))
		return
	}
	q, err := m.find(queue, true)
	if err != nil {
		done(Receipt{}, err)
		return
	}
	now := time.Now()
	s := Stored{ID: msg.ID, Body: msg.Body, Published: now}
	if msg.Delay > 0 {
		s.Due = now.Add(msg.Delay)
	}
	if msg.TTL > 0 {
		s.Expires = now.Add(msg.Delay + msg.TTL)
	}
	q.publish(s, now, done)
}

// publish stores a message unless its id is known or the queue is full.
func (q *queue) publish(s Stored, now time.Time, done func(Receipt, error)) {
	q.mu.Lock()
	receipt, answer, err := q.admit(&s, now)
	if answer {
		q.mu.Unlock()
		done(receipt, err)
		return
	}
	if err := q.submit(&s, now, done); err != nil {
		pending := q.takeID(s.ID)
		q.mu.Unlock()
		done(Receipt{}, err)
		pending.answer(Receipt{}, err)
		return
	}
	q.mu.Unlock()
}

// admit says whether a publish is answered already: it is known, or refused. mu is held.
func (q *queue) admit(s *Stored, now time.Time) (r Receipt, answer bool, err error) {
	if s.ID != "" {
		if known, err := q.knownID(s.ID, now); err != nil || known != nil {
			if err != nil {
				return r, true, err
			}
			q.stats.Duplicates++
			return Receipt{Seq: known.seq, Duplicate: true}, true, nil
		}
	}
	size := int64(len(s.Body))
	if size > int64(q.opts.MaxMessageBytes) && !q.dead {
		return r, true, fmt.Errorf("%w: %d bytes, %d are allowed", ErrTooLarge, size, q.opts.MaxMessageBytes)
	}
	if q.row.count >= q.opts.MaxMessages || q.row.bytes+size > q.opts.MaxBytes {
		q.sweep = true // some may have expired
		q.m.schedule.signal()
		if !q.dead {
			q.stats.Refused++
			return r, true, fmt.Errorf("%w: %q holds %d messages of %d bytes", ErrQueueFull, q.name, q.row.count, q.row.bytes)
		}
	}
	return r, false, nil
}

// knownID returns what is known of an id, or nil. mu is held.
func (q *queue) knownID(id string, now time.Time) (*idRow, error) {
	row, err := q.m.log.Get(q.m.ctx, idKey(q.name, id))
	if errors.Is(err, eventlog.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known, err := decodeID(row)
	if err != nil {
		return nil, fmt.Errorf("%w: id %q of queue %q", eventlog.ErrCorrupt, id, q.name)
	}
	if now.Sub(timeOf(known.at)) > q.m.options().DedupeWindow {
		return nil, nil
	}
	return &known, nil
}

// submit gives a message its place and the rows of it to the log. mu is held.
func (q *queue) submit(s *Stored, now time.Time, done func(Receipt, error)) error {
	if s.ID != "" {
		if p := q.ids[s.ID]; p != nil {
			p.waiting = append(p.waiting, done)
			return nil
		}
		q.ids[s.ID] = &pendingID{}
	}
	b := &eventlog.Batch{}
	row := s.encode()
	delayed := !s.Due.IsZero()
	if delayed {
		b.Put = append(b.Put, eventlog.KV{Key: delayedKey(millis(s.Due), q.m.nextDelayed(), q.name), Value: row})
		q.delayed++
	} else {
		q.row.head++
		s.Seq = q.row.head
		b.Put = append(b.Put, eventlog.KV{Key: messageKey(q.name, s.Seq), Value: row})
	}
	if s.ID != "" {
		id := idRow{s.Seq, millis(now)}
		b.Put = append(b.Put,
			eventlog.KV{Key: idKey(q.name, s.ID), Value: id.encode()},
			eventlog.KV{Key: idTimeKey(id.at, q.name, s.ID)})
	}
	q.hasTTL = q.hasTTL || !s.Expires.IsZero()
	size := int64(len(s.Body))
	q.row.count++
	q.row.bytes += size
	b.Put = append(b.Put, q.putRow())
	seq, id, due := s.Seq, s.ID, s.Due
	b.Done = func(_ uint64, err error) { q.committed(seq, id, due, size, err, done) }
	if err := q.m.log.Submit(b); err != nil {
		q.row.count--
		q.row.bytes -= size
		if delayed {
			q.delayed--
		}
		return err
	}
	return nil
}

// putRow is the queue's own row as it is now. mu is held.
func (q *queue) putRow() eventlog.KV {
	return eventlog.KV{Key: queueKey(q.name), Value: q.row.encode()}
}

func (m *Manager) nextDelayed() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delayed++
	return m.delayed
}

// committed answers a publish.
func (q *queue) committed(seq uint64, id string, due time.Time, size int64, err error, done func(Receipt, error)) {
	q.mu.Lock()
	if err != nil {
		q.row.count-- // its sequence stays free
		q.row.bytes -= size
		if !due.IsZero() {
			q.delayed--
		}
	} else {
		q.stats.Published++
		if due.IsZero() {
			q.wakeGroups()
		} else {
			q.m.schedule.delayedUntil(due)
		}
	}
	pending := q.takeID(id)
	q.mu.Unlock()
	if err != nil {
		done(Receipt{}, err)
		pending.answer(Receipt{}, err)
		return
	}
	done(Receipt{Seq: seq}, nil)
	pending.answer(Receipt{Seq: seq, Duplicate: true}, nil)
}

// takeID ends the wait for an id. mu is held.
func (q *queue) takeID(id string) *pendingID {
	p := q.ids[id]
	delete(q.ids, id)
	return p
}

func (p *pendingID) answer(r Receipt, err error) {
	if p == nil {
		return
	}
	for _, done := range p.waiting {
		done(r, err)
	}
}

// wakeGroups has every group with consumers look for something to deliver. mu is held.
func (q *queue) wakeGroups() {
	for _, g := range q.groups {
		if len(g.subs) > 0 {
			q.m.schedule.deliver(g)
		}
	}
}
