package eventlog

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// NewMemory returns a Store that keeps its logs in memory: they survive dropped connections, not the
// process. Sealed parts of a log are compressed, so that a million small events take tens of megabytes.
// A log's retention is all that bounds it; ErrFull never comes from here.
func NewMemory() Store {
	return &memoryStore{logs: make(map[string]*memoryLog)}
}

type memoryStore struct {
	mu     sync.Mutex
	logs   map[string]*memoryLog
	closed bool
}

func (s *memoryStore) Open(name string, r Retention) (Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if l, ok := s.logs[name]; ok && !l.isClosed() {
		l.SetRetention(r)
		return l, nil
	}
	l := newMemoryLog(r)
	s.logs[name] = l
	return l, nil
}

func (s *memoryStore) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return nil
}

func (s *memoryStore) Size() int64 { return 0 }

func (s *memoryStore) Close() error {
	s.mu.Lock()
	s.closed = true
	logs := s.logs
	s.logs = nil
	s.mu.Unlock()
	for _, l := range logs {
		_ = l.Close()
	}
	return nil
}

// memoryLog is a Log in memory.
//
// Lock order: queueMu and mu are never held together.
type memoryLog struct {
	epoch uint64
	seed  maphash.Seed

	queueMu sync.Mutex
	queue   []*Batch // submitted, in order, not yet taken by the committer
	closed  bool

	wake    chan struct{} // capacity 1: the queue or the retention changed, or the log was closed
	stopped chan struct{} // closed when the committer has ended

	mu        sync.RWMutex
	segments  []*segment // oldest first; all but the last are sealed and never change
	first     uint64     // the oldest sequence that retention leaves, which may lie within segments[0]
	bytes     int64      // of the events from first on
	state     orderedTable
	retention Retention
	appends   uint64
	commits   uint64

	head atomic.Uint64 // changes under mu, read without
}

func newMemoryLog(r Retention) *memoryLog {
	l := &memoryLog{
		epoch:     randomEpoch(),
		seed:      maphash.MakeSeed(),
		wake:      make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		first:     1,
		retention: r,
	}
	go l.run()
	return l
}

// randomEpoch is never 0.
func randomEpoch() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand
		if e := binary.BigEndian.Uint64(b[:]); e != 0 {
			return e
		}
	}
}

func (l *memoryLog) Epoch() uint64 { return l.epoch }

func (l *memoryLog) Head() uint64 { return l.head.Load() }

func (l *memoryLog) First() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first
}

func (l *memoryLog) Submit(b *Batch) error {
	l.queueMu.Lock()
	if l.closed {
		l.queueMu.Unlock()
		return ErrClosed
	}
	l.queue = append(l.queue, b)
	l.queueMu.Unlock()
	l.signal()
	return nil
}

func (l *memoryLog) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *memoryLog) Append(ctx context.Context, b *Batch) (uint64, error) {
	return SubmitAndWait(ctx, l, b)
}

// run is the committer: it takes what waits as one group, and trims by age when there is nothing to take.
func (l *memoryLog) run() {
	defer close(l.stopped)
	var (
		group []*Batch
		first []uint64
		timer = time.NewTimer(time.Hour)
		armed bool
	)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C:
			armed = false
			l.trimNow()
		}
		for {
			l.queueMu.Lock()
			group, l.queue = l.queue, group[:0]
			closed := l.closed
			l.queueMu.Unlock()
			if len(group) == 0 {
				if closed {
					return
				}
				break
			}
			first = l.commit(group, first[:0])
			for i, b := range group {
				if b.Done != nil {
					b.Done(first[i], nil)
				}
				group[i] = nil
			}
		}
		// Once armed it is left alone: a steady stream of appends must not put it off for ever.
		if wait := l.trimInterval(); wait > 0 && !armed {
			timer.Reset(wait)
			armed = true
		}
	}
}

// trimInterval is how long the committer sleeps before it looks for events past their age: 0 for never.
func (l *memoryLog) trimInterval() time.Duration {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.retention.MaxAge <= 0 || l.first > l.head.Load() {
		return 0
	}
	return min(max(l.retention.MaxAge/16, 10*time.Millisecond), time.Minute)
}

// commit applies a group and appends to first the sequence that each batch's Done is told.
func (l *memoryLog) commit(group []*Batch, first []uint64) []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	head := l.head.Load()
	for _, b := range group {
		for i := range b.Records {
			l.add(head+1+uint64(i), now, &b.Records[i])
		}
		if len(b.Records) > 0 {
			first = append(first, head+1)
			head += uint64(len(b.Records))
		} else {
			first = append(first, head)
		}
		for _, k := range b.Delete {
			l.state.delete(k)
		}
		for _, kv := range b.Put {
			l.state.put(kv.Key, append([]byte(nil), kv.Value...))
		}
		l.appends += uint64(len(b.Records))
	}
	l.commits++
	l.head.Store(head)
	l.trim(now, false)
	return first
}

// add appends one event to the last segment, or to a new one when that is full. mu is held.
func (l *memoryLog) add(seq uint64, now time.Time, r *Record) {
	var s *segment
	if n := len(l.segments); n > 0 && !l.segments[n-1].full() {
		s = l.segments[n-1]
	} else {
		if n > 0 {
			l.segments[n-1] = l.segments[n-1].seal()
		}
		s = &segment{first: seq, start: now}
		l.segments = append(l.segments, s)
	}
	s.add(now, r, l.seed)
	l.bytes += r.Size()
}

func (l *memoryLog) SetRetention(r Retention) {
	l.mu.Lock()
	l.retention = r
	l.mu.Unlock()
	l.signal()
}

func (l *memoryLog) Trim(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.isClosed() {
		return ErrClosed
	}
	l.trimNow()
	return nil
}

func (l *memoryLog) trimNow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trim(time.Now(), true)
}

// trim drops what the retention does not leave. Unless it must be exact it waits until a sixteenth is too
// much, since counting what goes means decoding it. mu is held.
func (l *memoryLog) trim(now time.Time, exact bool) {
	slack := func(bound uint64) uint64 {
		if exact {
			return bound
		}
		return bound + bound/16
	}
	held := l.head.Load() + 1 - l.first
	if n := l.retention.MaxEvents; n > 0 && held > slack(n) {
		l.dropBefore(l.first + held - n)
	}
	if n := l.retention.MaxBytes; n > 0 && uint64(l.bytes) > slack(uint64(n)) {
		excess := l.bytes - n
		l.dropWhile(func(e *Event) bool {
			if excess <= 0 {
				return false
			}
			excess -= e.Size()
			return true
		})
	}
	if age := l.retention.MaxAge; age > 0 {
		cutoff := now.Add(-age)
		for len(l.segments) > 0 && l.segments[0].last.Before(cutoff) {
			l.dropBefore(l.segments[0].end())
		}
		if exact && len(l.segments) > 0 && l.segments[0].start.Before(cutoff) {
			l.dropWhile(func(e *Event) bool { return e.Time.Before(cutoff) })
		}
	}
}

// dropWhile moves first past the events for which f holds. mu is held.
func (l *memoryLog) dropWhile(f func(*Event) bool) {
	first, d := l.first, decoder{}
	for _, s := range l.segments {
		for first < s.end() {
			e := d.event(s, uint32(max(first, s.first)-s.first))
			if !f(&e) {
				l.dropBefore(first)
				return
			}
			first++
		}
	}
	l.dropBefore(first)
}

// dropBefore makes seq the first event and frees the segments that lie before it. mu is held.
func (l *memoryLog) dropBefore(seq uint64) {
	d := decoder{}
	for len(l.segments) > 0 && l.first < seq {
		s := l.segments[0]
		if l.first == s.first && s.end() <= seq {
			l.bytes -= s.bytes
			l.first = s.end()
		}
		for end := min(seq, s.end()); l.first < end; l.first++ {
			e := d.event(s, uint32(l.first-s.first))
			l.bytes -= e.Size()
		}
		if l.first == s.end() {
			l.segments = slices.Clone(l.segments[1:]) // a view may hold the old slice
		}
	}
}

func (l *memoryLog) isClosed() bool {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	return l.closed
}

func (l *memoryLog) Err() error {
	if l.isClosed() {
		return ErrClosed
	}
	return nil
}

func (l *memoryLog) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	head := l.head.Load()
	return Stats{
		First: l.first, Head: head, Events: head + 1 - l.first, Bytes: l.bytes,
		Appends: l.appends, Commits: l.commits,
	}
}

func (l *memoryLog) Close() error {
	l.queueMu.Lock()
	l.closed = true
	l.queueMu.Unlock()
	l.signal()
	<-l.stopped
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments, l.state = nil, orderedTable{}
	return nil
}
