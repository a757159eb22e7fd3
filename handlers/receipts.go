package handlers

import "sync"

// Receipts remember what the last messages were answered with, so that a client that didn't get the answer
// may send the same message again: it is answered alike and handled once. They are kept in memory, and the
// oldest goes first; Remember brings back those of messages that were handled before.
//
// All methods may be called concurrently.
type Receipts[T any] struct {
	order sync.Mutex // one handle at a time; never taken with mu held

	mu    sync.Mutex
	known map[string]T
	ring  []string // the ids in the order in which they came
	next  int      // where the next one goes
	busy  map[string][]Reply[T]
}

// Reply takes the answer to a message; repeated says that it was made for an earlier sending.
type Reply[T any] func(answer T, repeated bool, err error)

// NewReceipts returns Receipts for the last most messages.
func NewReceipts[T any](most int) *Receipts[T] {
	return &Receipts[T]{known: make(map[string]T, most), ring: make([]string, most), busy: map[string][]Reply[T]{}}
}

// Once has a message handled, unless one with its id was handled already, and calls reply with the answer.
// handle must see to it that done is called, at once or later; what its first call says is the answer. While
// a message is being handled, other sendings of it wait for the same answer. A failure is not remembered: the
// message may be sent again.
//
// One handle runs at a time, in the order of the calls that got to it, and must not wait for another message.
func (r *Receipts[T]) Once(id string, handle func(done func(T, error)), reply Reply[T]) {
	r.mu.Lock()
	answer, handled := r.known[id]
	waiting, busy := r.busy[id]
	if !handled {
		r.busy[id] = append(waiting, reply)
	}
	r.mu.Unlock()
	switch {
	case handled:
		reply(answer, true, nil)
		return
	case busy:
		return
	}
	r.order.Lock()
	defer r.order.Unlock()
	var first sync.Once
	handle(func(answer T, err error) {
		first.Do(func() { r.settle(id, answer, err) })
	})
}

func (r *Receipts[T]) settle(id string, answer T, err error) {
	r.mu.Lock()
	waiting := r.busy[id]
	delete(r.busy, id)
	if err == nil {
		r.remember(id, answer)
	}
	r.mu.Unlock()
	for i, reply := range waiting {
		reply(answer, i > 0, err)
	}
}

// Remember says what a message was answered with, unless that is known.
func (r *Receipts[T]) Remember(id string, answer T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[id]; !ok {
		r.remember(id, answer)
	}
}

func (r *Receipts[T]) remember(id string, answer T) {
	delete(r.known, r.ring[r.next])
	r.known[id] = answer
	r.ring[r.next] = id
	r.next = (r.next + 1) % len(r.ring)
}
