// Package queue keeps messages that must be handled and said to be handled, in the state table of an
// eventlog.Log.
//
// A publisher's message is durable when its receipt comes; the same id again, within a window, is stored
// once. Each group of consumers gets every message at least once: one of its consumers at a time, until
// one says that it is done, another attempt is made after a timeout, or it becomes a dead letter after too
// many. Messages go in the order of publishing; a consumer that takes one at a time (Prefetch 1) gets them
// strictly so, a message that is to be tried again holding up those behind it.
//
// What must outlive the process (messages, cursors, attempts, ids) is committed to the log before it is
// acknowledged. Bodies are read from the log when they are delivered and not kept in memory.
package queue

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"holdfast/eventlog"
)

// Options of a Manager. Zero values are replaced by the defaults named.
type Options struct {
	// Default holds for queues that Queues doesn't name. Queues of dead letters have those of the queue
	// that they belong to.
	Default QueueOptions
	Queues  map[string]QueueOptions
	// DedupeWindow is how long an id is remembered. 10 minutes.
	DedupeWindow time.Duration
	// MaxQueues and MaxGroups bound how many queues there are, and groups of one queue. 10,000 and 1,000.
	MaxQueues, MaxGroups int

	Logger zerolog.Logger
}

// QueueOptions bound one queue. Zero values are replaced by the defaults named.
type QueueOptions struct { //nolint:revive // Options are the manager's
	// MaxMessages, MaxBytes: a publish beyond is refused with ErrQueueFull. 1,000,000 and 1 GB. For dead
	// letters the oldest makes way instead.
	MaxMessages int
	MaxBytes    int64
	// MaxMessageBytes is the largest body. 1 MB.
	MaxMessageBytes int
	// AckTimeout is how long a consumer may take. 30 s.
	AckTimeout time.Duration
	// MaxAttempts is how often a group tries a message before it becomes a dead letter. 5.
	MaxAttempts int
	// MinBackoff doubles from attempt to attempt up to MaxBackoff: the pause after an attempt that ended
	// without an answer. 1 s and 1 minute.
	MinBackoff, MaxBackoff time.Duration
	// MaxAge is how long a queue without any group keeps a message; 0 is for ever.
	MaxAge time.Duration
}

func (o Options) withDefaults() Options {
	o.Default = o.Default.withDefaults()
	queues := make(map[string]QueueOptions, len(o.Queues))
	for name, q := range o.Queues {
		queues[name] = q.withDefaults()
	}
	o.Queues = queues
	setDefault(&o.DedupeWindow, 10*time.Minute)
	setDefault(&o.MaxQueues, 10_000)
	setDefault(&o.MaxGroups, 1000)
	return o
}

func (o QueueOptions) withDefaults() QueueOptions {
	setDefault(&o.MaxMessages, 1_000_000)
	setDefault(&o.MaxBytes, 1<<30)
	setDefault(&o.MaxMessageBytes, 1<<20)
	setDefault(&o.AckTimeout, 30*time.Second)
	setDefault(&o.MaxAttempts, 5)
	setDefault(&o.MinBackoff, time.Second)
	setDefault(&o.MaxBackoff, max(time.Minute, o.MinBackoff))
	return o
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

const (
	// What a group holds of messages above its cursor, at most: being handled or to be tried again, and
	// done out of order.
	maxOutstanding = 10_000
	maxWindow      = 65_536
)

// Manager has the queues of one log. All methods may be called concurrently.
//
// Lock order: queue.deleting, queue.mu of a queue, then that of its dead letters, then Manager.mu or schedule.mu, under
// which no other is taken. Nothing waits for a commit with a lock held, since commits are answered under
// them.
type Manager struct {
	log eventlog.Log

	mu      sync.Mutex
	opts    Options
	queues  map[string]*queue
	closed  bool
	delayed uint64 // tells apart what is delayed to the same millisecond

	// The scheduler's: times up to which delayed messages were brought in, and ids forgotten.
	brought, forgotten int64

	schedule schedule
	stop     chan struct{}
	stopped  chan struct{} // closed when the scheduler has ended
	ctx      context.Context
	cancel   context.CancelFunc
}

// queue is one queue. What it holds is in the log; here is where everyone stands in it.
type queue struct {
	m    *Manager
	name string
	dead bool // it holds dead letters

	deleting sync.Mutex // held while many messages are looked through and removed; before mu

	mu      sync.Mutex
	opts    QueueOptions
	row     queueRow // as of the last submitted batch
	delayed int      // of row.count, not yet due
	groups  map[string]*group
	ids     map[string]*pendingID // published and not yet committed
	sweep   bool                  // rows may be left over below all cursors
	hasTTL  bool                  // a message with an end was seen
	stats   Counters
}

// pendingID are those who published an id that is being committed.
type pendingID struct {
	waiting []func(Receipt, error)
}

// Open reads the queues of a log and starts their scheduler. The log must outlive the Manager and must be
// used by it alone.
func Open(log eventlog.Log, o Options) (*Manager, error) {
	m := &Manager{
		log: log, opts: o.withDefaults(), queues: make(map[string]*queue),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.schedule.init()
	if err := m.load(); err != nil {
		m.cancel()
		return nil, fmt.Errorf("open queues: %w", err)
	}
	go m.run()
	return m, nil
}

// load reads the queues, their groups and what is outstanding.
func (m *Manager) load() error {
	var bad error
	err := m.log.Scan(m.ctx, "c\x00", "", func(key string, row []byte) bool {
		var r queueRow
		if r, bad = decodeQueue(row); bad != nil {
			bad = fmt.Errorf("%w: queue %q: %w", eventlog.ErrCorrupt, key[2:], bad)
			return false
		}
		q := m.newQueue(key[2:])
		q.row = r
		m.queues[q.name] = q
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return err
	}
	for _, q := range m.queues {
		if err := q.load(); err != nil {
			return err
		}
	}
	return m.log.Scan(m.ctx, delayedPrefix, "", func(key string, _ []byte) bool {
		if _, name, ok := splitDelayed(key); ok && m.queues[name] != nil {
			m.queues[name].delayed++
			m.delayed = max(m.delayed, lastDelayed(key)+1)
		}
		return true
	})
}

func lastDelayed(key string) uint64 { return numberAt(key[8:], delayedPrefix) }

func (m *Manager) newQueue(name string) *queue {
	q := &queue{
		m: m, name: name, dead: strings.HasSuffix(name, DeadSuffix),
		groups: make(map[string]*group), ids: make(map[string]*pendingID), sweep: true, hasTTL: true,
	}
	q.opts = m.optionsOf(name)
	return q
}

// optionsOf are the options of a queue by name.
func (m *Manager) optionsOf(name string) QueueOptions {
	if o, ok := m.opts.Queues[strings.TrimSuffix(name, DeadSuffix)]; ok {
		return o
	}
	return m.opts.Default
}

// SetOptions replaces the options, also of queues in use.
func (m *Manager) SetOptions(o Options) {
	m.mu.Lock()
	m.opts = o.withDefaults()
	queues := make(map[*queue]QueueOptions, len(m.queues))
	for _, q := range m.queues {
		queues[q] = m.optionsOf(q.name)
	}
	m.mu.Unlock()
	for q, o := range queues {
		q.mu.Lock()
		q.opts = o
		q.mu.Unlock()
	}
}

func (m *Manager) options() Options {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opts
}

// find returns a queue, made on first use if create is set.
func (m *Manager) find(name string, create bool) (*queue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	if q := m.queues[name]; q != nil {
		return q, nil
	}
	if !create {
		return nil, fmt.Errorf("%w: %q", ErrNoQueue, name)
	}
	if err := checkName("queue", name); err != nil {
		return nil, err
	}
	if len(m.queues) >= m.opts.MaxQueues && !strings.HasSuffix(name, DeadSuffix) {
		return nil, fmt.Errorf("%w: there are %d queues", ErrTooMany, len(m.queues))
	}
	q := m.newQueue(name)
	q.sweep, q.hasTTL = false, false
	m.queues[name] = q
	return q, nil
}

// Close stops deliveries and waits for the scheduler. The log stays open.
func (m *Manager) Close() error {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if !closed {
		m.cancel()
		close(m.stop)
	}
	<-m.stopped
	return nil
}

// schedule is what the scheduler has to look at, and when.
type schedule struct {
	mu    sync.Mutex
	dirty []*group // something may be delivered
	times timeHeap // groups by when their next message is due or late
	wake  chan struct{}

	// When to look at what spans queues.
	delayedAt time.Time // the first delayed message is due; zero for unknown
	sweepAt   time.Time
}

func (s *schedule) init() { s.wake = make(chan struct{}, 1) }

func (s *schedule) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// deliver has the scheduler look whether the group can deliver something.
func (s *schedule) deliver(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !g.dirty {
		g.dirty = true
		s.dirty = append(s.dirty, g)
		s.signal()
	}
}

// at has the scheduler look at the group at a time, instead of an earlier request; zero for never.
func (s *schedule) at(g *group, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case at.IsZero():
		if g.timeIndex >= 0 {
			heap.Remove(&s.times, g.timeIndex)
		}
		return
	case g.timeIndex < 0:
		g.timeAt = at
		heap.Push(&s.times, g)
	default:
		g.timeAt = at
		heap.Fix(&s.times, g.timeIndex)
	}
	if s.times[0] == g {
		s.signal()
	}
}

// timeHeap orders groups by time.
type timeHeap []*group

func (h timeHeap) Len() int           { return len(h) }
func (h timeHeap) Less(i, j int) bool { return h[i].timeAt.Before(h[j].timeAt) }
func (h timeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timeIndex, h[j].timeIndex = i, j
}

func (h *timeHeap) Push(x any) {
	g := x.(*group)
	g.timeIndex = len(*h)
	*h = append(*h, g)
}

func (h *timeHeap) Pop() any {
	n := len(*h) - 1
	g := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	g.timeIndex = -1
	return g
}
