package main

import (
	"sync"

	"holdfast/socketio"
)

// ledger is what the application saw of each socket, so that a test can ask afterwards.
type ledger struct {
	mu      sync.Mutex
	sockets map[string]*account
}

type account struct {
	ID          string           `json:"id"`
	Namespace   string           `json:"nsp"`
	Connects    int              `json:"connects"`
	Disconnects []parting        `json:"disconnects"`
	Rooms       []parting        `json:"rooms"` // at "disconnecting"
	Notes       map[string][]any `json:"notes"`
}

type parting struct {
	Reason string   `json:"reason"`
	Rooms  []string `json:"rooms,omitempty"`
}

type totals struct {
	Connects    int            `json:"connects"`
	Disconnects int            `json:"disconnects"`
	Doubles     int            `json:"doubles"` // sockets that connected or disconnected more than once
	Orphans     int            `json:"orphans"` // sockets that disconnected without having connected
	Reasons     map[string]int `json:"reasons"`
}

func newLedger() *ledger { return &ledger{sockets: make(map[string]*account)} }

// update calls f with the socket's account, which is made where there is none.
func (l *ledger) update(s *socketio.Socket, f func(*account)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.sockets[s.ID()]
	if a == nil {
		a = &account{ID: s.ID(), Namespace: s.Namespace().Name(), Disconnects: []parting{}, Rooms: []parting{}, Notes: map[string][]any{}}
		l.sockets[s.ID()] = a
	}
	f(a)
}

func (l *ledger) note(s *socketio.Socket, key string, value any) {
	l.update(s, func(a *account) { a.Notes[key] = append(a.Notes[key], value) })
}

// find returns a copy of the account, or nil.
func (l *ledger) find(id string) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.sockets[id]
	if a == nil {
		return nil
	}
	c := *a
	c.Disconnects = append([]parting{}, a.Disconnects...)
	c.Rooms = append([]parting{}, a.Rooms...)
	c.Notes = make(map[string][]any, len(a.Notes))
	for key, values := range a.Notes {
		c.Notes[key] = append([]any(nil), values...)
	}
	return &c
}

func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.sockets)
}

func (l *ledger) totals() totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := totals{Reasons: make(map[string]int)}
	for _, a := range l.sockets {
		t.Connects += a.Connects
		t.Disconnects += len(a.Disconnects)
		if a.Connects > 1 || len(a.Disconnects) > 1 {
			t.Doubles++
		}
		if len(a.Disconnects) > a.Connects {
			t.Orphans++
		}
		for _, p := range a.Disconnects {
			t.Reasons[p.Reason]++
		}
	}
	return t
}
