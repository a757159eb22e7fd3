package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/eventlog"
)

// Counters count since the manager was opened.
type Counters struct {
	Published, Duplicates, Refused          uint64
	Delivered, Done, Retried, Dead, Expired uint64
}

// Stats describes a queue at one moment.
type Stats struct {
	Name     string
	Messages int   // held, delayed ones too
	Bytes    int64 // of their bodies
	Delayed  int
	Head     uint64 // sequence of the newest
	Groups   []GroupStats
	Counters
}

// GroupStats describes a group.
type GroupStats struct {
	Name      string // of the group, or of the consumer that is one by itself
	Shared    bool   // it is a group
	Consumers int
	InFlight  int    // with a consumer
	Waiting   int    // to be tried again
	Floor     uint64 // all up to it is done
	Lag       uint64 // messages not yet delivered, or fewer where sequences are missing
}

// Queues are the names of all queues, sorted.
func (m *Manager) Queues() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, len(m.queues))
	for name := range m.queues {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Stats describes a queue.
func (m *Manager) Stats(name string) (Stats, error) {
	q, err := m.find(name, false)
	if err != nil {
		return Stats{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{
		Name: name, Messages: q.row.count, Bytes: q.row.bytes, Delayed: q.delayed, Head: q.row.head, Counters: q.stats,
	}
	for _, g := range q.groups {
		gs := GroupStats{
			Name: g.name[2:], Shared: strings.HasPrefix(g.name, "g/"), Consumers: len(g.subs),
			Floor: g.row.floor, Lag: q.row.head - g.row.delivered,
		}
		for _, e := range g.entries {
			if e.state == withConsumer {
				gs.InFlight++
			} else {
				gs.Waiting++
			}
		}
		s.Groups = append(s.Groups, gs)
	}
	slices.SortFunc(s.Groups, func(a, b GroupStats) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

// Peek returns messages of a queue, oldest first, from the one after a sequence on, without taking them:
// limit at most, 1000 if that is less.
func (m *Manager) Peek(ctx context.Context, name string, after uint64, limit int) ([]Stored, error) {
	if _, err := m.find(name, false); err != nil {
		return nil, err
	}
	limit = min(limit, 1000)
	if limit <= 0 {
		return nil, nil
	}
	var (
		list []Stored
		bad  error
	)
	err := m.log.Scan(ctx, messagePrefix(name), messageKey(name, after), func(key string, row []byte) bool {
		var s Stored
		if s, bad = decodeMessage(lastNumber(key), row); bad != nil {
			bad = fmt.Errorf("%w: queue %q: %w", eventlog.ErrCorrupt, name, bad)
			return false
		}
		list = append(list, s)
		return len(list) < limit
	})
	return list, errors.Join(err, bad)
}

// Purge removes all messages of a queue that are held at this moment, delayed ones too, for every group,
// and returns how many. What consumers have is taken from them: their answers mean nothing any more.
func (m *Manager) Purge(ctx context.Context, name string) (int, error) {
	q, err := m.find(name, false)
	if err != nil {
		return 0, err
	}
	head, err := q.skipAll(ctx)
	if err != nil {
		return 0, err
	}
	removed, err := q.remove(ctx, messagePrefix(name), func(key string) bool { return lastNumber(key) <= head }, false)
	if err != nil {
		return removed, err
	}
	n, err := q.remove(ctx, delayedPrefix, func(key string) bool {
		_, queue, ok := splitDelayed(key)
		return ok && queue == name
	}, true)
	return removed + n, err
}

// skipAll moves every group's floor to the head, and returns it.
func (q *queue) skipAll(ctx context.Context) (uint64, error) {
	done := make(chan error, 1)
	q.mu.Lock()
	head := q.row.head
	b := &eventlog.Batch{}
	for _, g := range q.groups {
		for _, e := range g.entries {
			g.take(e)
			g.release(e)
		}
		clear(g.entries)
		clear(g.done)
		g.row.floor, g.row.delivered = head, head
		g.reschedule()
		b.Put = append(b.Put, g.putRow())
		err := q.m.log.Scan(q.m.ctx, statusPrefix(q.name, g.name), "", func(key string, _ []byte) bool {
			b.Delete = append(b.Delete, key)
			return true
		})
		if err != nil {
			q.mu.Unlock()
			return 0, err
		}
	}
	err := q.submitFreeing(b, func(err error) { done <- err })
	q.mu.Unlock()
	if err != nil {
		return 0, err
	}
	select {
	case err := <-done:
		return head, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// remove deletes messages by their keys, a part at a time.
func (q *queue) remove(ctx context.Context, prefix string, wanted func(key string) bool, delayed bool) (int, error) {
	q.deleting.Lock()
	defer q.deleting.Unlock()
	removed, after := 0, ""
	for {
		b := &eventlog.Batch{}
		size, seen := int64(0), 0
		done := make(chan error, 1)
		q.mu.Lock()
		err := q.m.log.Scan(ctx, prefix, after, func(key string, row []byte) bool {
			after = key
			if wanted(key) {
				if s, err := decodeMessage(0, row); err == nil {
					size += int64(len(s.Body))
				}
				b.Delete = append(b.Delete, key)
			}
			seen++
			return seen < sweepAtOnce
		})
		if err != nil {
			q.mu.Unlock()
			return removed, err
		}
		n := len(b.Delete)
		if n > 0 {
			q.row.count -= n
			q.row.bytes -= size
			if delayed {
				q.delayed -= n
			}
			b.Put = append(b.Put, q.putRow())
			err = q.submitFreeing(b, func(err error) { done <- err })
		}
		q.mu.Unlock()
		if err != nil {
			return removed, err
		}
		if n > 0 {
			select {
			case err := <-done:
				if err != nil {
					return removed, err
				}
			case <-ctx.Done():
				return removed, ctx.Err()
			}
			removed += n
		}
		if seen < sweepAtOnce {
			return removed, nil
		}
	}
}

// Unsubscribe removes the cursor of a group, or of a consumer without one when group is empty: its
// subscriptions end, and what no other group waits for is removed.
func (m *Manager) Unsubscribe(ctx context.Context, name, consumer, group string) error {
	q, err := m.find(name, false)
	if err != nil {
		return err
	}
	key := groupName(group, consumer)
	done := make(chan error, 1)
	q.mu.Lock()
	g := q.groups[key]
	if g == nil {
		q.mu.Unlock()
		return fmt.Errorf("%w: %q in queue %q", ErrNoGroup, key[2:], name)
	}
	delete(q.groups, key)
	for _, s := range g.subs {
		s.closed = true
	}
	g.subs = nil
	m.schedule.at(g, time.Time{})
	b := &eventlog.Batch{Delete: []string{groupKey(name, key)}}
	err = m.log.Scan(ctx, statusPrefix(name, key), "", func(k string, _ []byte) bool {
		b.Delete = append(b.Delete, k)
		return true
	})
	q.sweep = true
	if err == nil {
		err = q.submitFreeing(b, func(err error) { done <- err })
	}
	q.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
