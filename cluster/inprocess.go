package cluster

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
)

// The bounds of the queue in front of each member of an in-process bus.
const (
	queueMessages = 65_536
	queueBytes    = 64 << 20
)

// InProcess is a Bus between servers of one process. The zero value is not useful; see NewInProcess.
type InProcess struct {
	mu      sync.RWMutex
	members map[string][]*inProcessMember // by namespace; a slice is replaced, never changed
	next    atomic.Uint64
}

// NewInProcess makes a bus without members. It needs no closing: its goroutines are its members'.
func NewInProcess() *InProcess {
	return &InProcess{members: make(map[string][]*inProcessMember)}
}

// Join implements Bus.
func (b *InProcess) Join(namespace string, h Handler) (Member, error) {
	m := &inProcessMember{
		bus:       b,
		namespace: namespace,
		id:        "node-" + strconv.FormatUint(b.next.Add(1), 10),
		handler:   h,
		wake:      make(chan struct{}, 1),
		done:      make(chan struct{}),
	}
	b.mu.Lock()
	old := b.members[namespace]
	b.members[namespace] = append(old[:len(old):len(old)], m)
	b.mu.Unlock()
	go m.deliver()
	return m, nil
}

// others are the members of a namespace but one.
func (b *InProcess) others(namespace string, but *inProcessMember) []*inProcessMember {
	b.mu.RLock()
	all := b.members[namespace]
	b.mu.RUnlock()
	out := make([]*inProcessMember, 0, len(all))
	for _, m := range all {
		if m != but {
			out = append(out, m)
		}
	}
	return out
}

// remove takes m out, so that nothing is sent to it any more.
func (b *InProcess) remove(m *inProcessMember) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.members[m.namespace]
	rest := make([]*inProcessMember, 0, len(old))
	for _, o := range old {
		if o != m {
			rest = append(rest, o)
		}
	}
	if len(rest) == 0 {
		delete(b.members, m.namespace)
		return
	}
	b.members[m.namespace] = rest
}

// inProcessMember is a queue and the goroutine that empties it into the handler, which ends with Leave.
type inProcessMember struct {
	bus       *InProcess
	namespace string
	id        string
	handler   Handler

	mu     sync.Mutex
	queue  []notice
	count  int // messages that wait or are being handled
	bytes  int // of these
	closed bool

	wake chan struct{}
	done chan struct{}
}

// notice is a message, or the word that a node left.
type notice struct {
	message *Message
	left    string
	size    int
}

func (m *inProcessMember) ID() string { return m.id }

func (m *inProcessMember) Publish(msg *Message) error {
	if m.isClosed() {
		return ErrClosed
	}
	stamped := *msg
	stamped.Node = m.id
	var failed error
	for _, o := range m.bus.others(m.namespace, m) {
		// A member that left meanwhile is no failure: there is nobody left to tell.
		if err := o.push(notice{message: &stamped, size: stamped.size()}); errors.Is(err, ErrQueueFull) {
			failed = err
		}
	}
	return failed
}

func (m *inProcessMember) Send(to string, msg *Message) error {
	if m.isClosed() {
		return ErrClosed
	}
	stamped := *msg
	stamped.Node = m.id
	for _, o := range m.bus.others(m.namespace, m) {
		if o.id == to {
			return o.push(notice{message: &stamped, size: stamped.size()})
		}
	}
	return ErrClosed
}

func (m *inProcessMember) Others() []string {
	others := m.bus.others(m.namespace, m)
	ids := make([]string, len(others))
	for i, o := range others {
		ids[i] = o.id
	}
	return ids
}

func (m *inProcessMember) Leave() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		<-m.done
		return
	}
	m.closed = true
	m.queue = nil
	m.mu.Unlock()
	m.bus.remove(m)
	for _, o := range m.bus.others(m.namespace, m) {
		_ = o.push(notice{left: m.id}) // one that is gone too need not hear of it
	}
	m.signal()
	<-m.done
}

func (m *inProcessMember) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func (m *inProcessMember) push(n notice) error {
	m.mu.Lock()
	switch {
	case m.closed:
		m.mu.Unlock()
		return ErrClosed
	case n.message != nil && (m.count >= queueMessages || (m.count > 0 && m.bytes+n.size > queueBytes)):
		m.mu.Unlock()
		return ErrQueueFull
	}
	m.queue = append(m.queue, n)
	m.count++
	m.bytes += n.size
	m.mu.Unlock()
	m.signal()
	return nil
}

func (m *inProcessMember) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// deliver hands the queue to the handler until the member leaves.
func (m *inProcessMember) deliver() {
	defer close(m.done)
	for range m.wake {
		for {
			m.mu.Lock()
			if m.closed {
				m.mu.Unlock()
				return
			}
			batch := m.queue
			m.queue = nil
			m.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			for i := range batch {
				if n := &batch[i]; n.message != nil {
					m.handler.Receive(n.message)
				} else {
					m.handler.Left(n.left)
				}
				if m.handled(&batch[i]) {
					return
				}
			}
		}
	}
}

// handled makes room in the queue, and reports whether the member has left.
func (m *inProcessMember) handled(n *notice) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count--
	m.bytes -= n.size
	*n = notice{}
	return m.closed
}
