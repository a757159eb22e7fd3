package handlers

import "sync"

// Receipts remember what the last messages were answered with, so that a client that didn't get the answer
// may send the same message again: it is answered alike and handled once. They are kept in memory, the
// oldest goes first, and none outlives the process.
//
// All methods may be called concurrently.
type Receipts[T any] struct {
	mu    sync.Mutex
	known map[string]T
	ring  []string // the ids in the order in which they came
	next  int      // where the next one goes
}

// NewReceipts returns Receipts for the last most messages.
func NewReceipts[T any](most int) *Receipts[T] {
	return &Receipts[T]{known: make(map[string]T, most), ring: make([]string, most)}
}

// Once calls handle, unless a message with this id was handled already: then it returns that answer, and
// true for repeated. A failed handle is not remembered. One handle runs at a time, so messages are handled
// in the order in which their answers are made; handle must not wait for anyone.
func (r *Receipts[T]) Once(id string, handle func() (T, error)) (answer T, repeated bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer, ok := r.known[id]; ok {
		return answer, true, nil
	}
	answer, err = handle()
	if err != nil {
		return answer, false, err
	}
	delete(r.known, r.ring[r.next])
	r.known[id] = answer
	r.ring[r.next] = id
	r.next = (r.next + 1) % len(r.ring)
	return answer, false, nil
}
