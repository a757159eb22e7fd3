package queue

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"holdfast/eventlog"
)

// Where a new group begins; any other From is the sequence of the first message that it wants.
const (
	FromFirst uint64 = 0              // with the oldest message held
	FromNew   uint64 = math.MaxUint64 // with the next one published
)

// SubscribeOptions say who consumes, and how.
type SubscribeOptions struct {
	// Consumer names the consumer, Group the group that it shares messages with. Without a group it is
	// one by itself, under its own name: the cursor is found again by that name.
	Consumer, Group string
	// From is where a group begins that is not known yet.
	From uint64
	// Prefetch is how many messages the consumer has at a time: 1 if not more, 1000 at most.
	Prefetch int
}

// Delivery is a message handed to a consumer.
type Delivery struct {
	Queue string
	Stored
	// Attempt counts the deliveries to the group, from 1. It may be one too high after a crash.
	Attempt int
}

// Subscription is a consumer at work. It ends with Close; the group's cursor stays.
type Subscription struct {
	g        *group
	consumer string
	prefetch int
	deliver  func(*Subscription, Delivery)

	// Under the queue's mu.
	held   int // messages with this consumer
	closed bool
}

const maxPrefetch = 1000

// Subscribe has deliver called with messages of a queue. It returns when the group's cursor is durable;
// deliver may be called before that. It is called from the manager's goroutine, one message after the
// other: it must not block, and may call the subscription's methods that take a callback.
func (m *Manager) Subscribe(ctx context.Context, queue string, o SubscribeOptions, deliver func(*Subscription, Delivery)) (*Subscription, error) {
	if err := checkName("consumer", o.Consumer); err != nil {
		return nil, err
	}
	if o.Group != "" {
		if err := checkName("group", o.Group); err != nil {
			return nil, err
		}
	}
	q, err := m.find(queue, true)
	if err != nil {
		return nil, err
	}
	s := &Subscription{
		consumer: o.Consumer, prefetch: min(max(o.Prefetch, 1), maxPrefetch), deliver: deliver,
	}
	stored := make(chan error, 1)
	q.mu.Lock()
	err = q.subscribe(s, groupName(o.Group, o.Consumer), o.From, func(err error) { stored <- err })
	q.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case err = <-stored:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	m.schedule.deliver(s.g)
	return s, nil
}

// subscribe adds a consumer to its group, made if it is new. mu is held.
func (q *queue) subscribe(s *Subscription, name string, from uint64, stored func(error)) error {
	g := q.groups[name]
	if g == nil {
		if n := q.m.options().MaxGroups; len(q.groups) >= n {
			return fmt.Errorf("%w: queue %q has %d groups", ErrTooMany, q.name, n)
		}
		floor, err := q.floorFrom(from)
		if err != nil {
			return err
		}
		g = newGroup(q, name)
		g.row = groupRow{floor, floor, uint64(time.Now().UnixNano())}
		q.groups[name] = g
		q.sweep = true // what lies before the first group's beginning is nobody's
	}
	s.g = g
	g.subs = append(g.subs, s)
	if g.stored {
		stored(nil)
		return nil
	}
	b := &eventlog.Batch{
		Put: []eventlog.KV{g.putRow(), q.putRow()},
		Done: func(_ uint64, err error) {
			q.mu.Lock()
			g.stored = g.stored || err == nil
			q.mu.Unlock()
			stored(err)
		},
	}
	if err := q.m.log.Submit(b); err != nil {
		stored(err)
	}
	return nil
}

// floorFrom is the floor of a group that begins with from. mu is held.
func (q *queue) floorFrom(from uint64) (uint64, error) {
	switch from {
	case FromNew:
		return q.row.head, nil
	case FromFirst:
		floor := q.row.head
		err := q.m.log.Scan(q.m.ctx, messagePrefix(q.name), "", func(key string, _ []byte) bool {
			floor = min(floor, lastNumber(key)-1)
			return false
		})
		if err == nil && floor == q.row.head && q.row.count > q.delayed {
			floor = 0 // what was published is not yet committed
		}
		return floor, err
	}
	return min(from-1, q.row.head), nil
}

// Done says that a message was handled, and calls done (which may be nil) when that is durable: it is not
// delivered to the group again. Saying it again is no error, nor is saying it late, while another attempt
// is under way.
func (s *Subscription) Done(seq uint64, done func(error)) {
	s.g.q.mu.Lock()
	err := s.done(seq, done)
	s.g.q.mu.Unlock()
	if err != nil && done != nil {
		done(err)
	}
}

// done calls done unless it returns an error. mu is held.
func (s *Subscription) done(seq uint64, done func(error)) error {
	g, q, b := s.g, s.g.q, &eventlog.Batch{}
	switch e := g.entries[seq]; {
	case q.groups[g.name] != g:
		return fmt.Errorf("%w: the group was removed", ErrNoGroup)
	case e != nil && e.attempts > 0:
		g.finish(seq, e.size, b)
		q.stats.Done++
		g.reschedule()
		q.m.schedule.deliver(g)
	case g.isDone(seq) && seq <= q.row.head && seq > 0:
		// It may not be durable yet, if the store was full: so once more.
		b.Put = append(b.Put, g.putRow())
		if seq > g.row.floor {
			status := statusRow{done: true}
			b.Put = append(b.Put, eventlog.KV{Key: g.statusKey(seq), Value: status.encode()})
		}
	default:
		return fmt.Errorf("%w: message %d", ErrNotDelivered, seq)
	}
	return q.submitFreeing(b, done)
}

// Retry gives a message back, to be tried again after a pause, and calls done (which may be nil) when that
// is durable. A negative pause is the queue's own.
func (s *Subscription) Retry(seq uint64, after time.Duration, done func(error)) {
	s.giveBack(seq, done, func(g *group, e *entry, b *eventlog.Batch, now time.Time) {
		g.fail(e, "gave up after its last retry", min(after, maxRetryPause), s.prefetch == 1, b, now)
	})
}

const maxRetryPause = 24 * time.Hour

// Reject makes a message a dead letter at once, and calls done (which may be nil) when it is with the
// consumer no longer.
func (s *Subscription) Reject(seq uint64, reason string, done func(error)) {
	if len(reason) > 1024 {
		reason = reason[:1024]
	}
	s.giveBack(seq, done, func(g *group, e *entry, b *eventlog.Batch, _ time.Time) {
		g.take(e)
		if g.q.dead {
			g.put(e, waiting) // there is nothing behind dead letters: it goes
			g.finish(e.seq, e.size, b)
			return
		}
		status := statusRow{attempts: g.q.opts.MaxAttempts}
		b.Put = append(b.Put, eventlog.KV{Key: g.statusKey(e.seq), Value: status.encode()})
		g.bury(e, reason)
	})
}

// giveBack runs f for a message that is with the consumer.
func (s *Subscription) giveBack(seq uint64, done func(error), f func(*group, *entry, *eventlog.Batch, time.Time)) {
	g, q := s.g, s.g.q
	q.mu.Lock()
	e := g.entries[seq]
	err := error(nil)
	if q.groups[g.name] != g || e == nil || e.state != withConsumer || e.holder != s {
		err = fmt.Errorf("%w: message %d", ErrNotDelivered, seq)
	} else {
		b := &eventlog.Batch{Put: []eventlog.KV{g.putRow()}}
		f(g, e, b, time.Now())
		g.reschedule()
		q.m.schedule.deliver(g)
		err = q.submitFreeing(b, done)
	}
	q.mu.Unlock()
	if err != nil && done != nil {
		done(err)
	}
}

// Close ends the subscription: what is with the consumer is delivered to others of its group, or to
// whoever subscribes next, as another attempt. deliver may be called once more while Close runs, not
// after the manager's goroutine has seen it.
func (s *Subscription) Close() {
	g, q := s.g, s.g.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	g.subs = slices.DeleteFunc(g.subs, func(o *Subscription) bool { return o == s })
	if s.held == 0 || q.groups[g.name] != g {
		return
	}
	b, now := &eventlog.Batch{}, time.Now()
	for _, e := range g.entries {
		if e.holder != s {
			continue
		}
		if e.state == withConsumer {
			g.fail(e, "the consumer went", 0, false, b, now)
		} else {
			g.release(e) // it waits for its next attempt, with whomever
		}
	}
	g.reschedule()
	q.m.schedule.deliver(g)
	if len(b.Put) > 0 {
		_ = q.submitFreeing(b, nil) // closed: the restart does as much
	}
}
