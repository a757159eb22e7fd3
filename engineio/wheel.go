package engineio

import (
	"sync"
	"time"
)

const wheelSlots = 512

// timer is a session's place in the wheel.
type timer struct {
	next, prev *Session
	slot       int16 // -1 when in no slot
}

// wheel is the one clock that all sessions share. A session stands in the slot of the tick at which it
// wants to be looked at; what is then due, the session knows itself. A session whose moment has been put
// off meanwhile (a pong came) is just put into a later slot, so that nothing touches the wheel but the sweep.
type wheel struct {
	tick  time.Duration
	start time.Time

	mu    sync.Mutex
	now   int64 // ticks since start
	slots [wheelSlots]*Session
}

func newWheel(tick time.Duration) *wheel {
	return &wheel{tick: tick, start: time.Now()}
}

// schedule puts the session where it is looked at at the given time, or as long before as the wheel reaches.
func (w *wheel) schedule(s *Session, at time.Time) {
	due := int64((at.Sub(w.start) + w.tick - 1) / w.tick)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(s)
	due = min(max(due, w.now+1), w.now+wheelSlots-1)
	slot := int16(due % wheelSlots)
	s.timer.slot = slot
	head := w.slots[slot]
	s.timer.next, s.timer.prev = head, nil
	if head != nil {
		head.timer.prev = s
	}
	w.slots[slot] = s
}

// cancel takes the session out.
func (w *wheel) cancel(s *Session) {
	w.mu.Lock()
	w.unlink(s)
	w.mu.Unlock()
}

func (w *wheel) unlink(s *Session) {
	t := &s.timer
	if t.slot < 0 {
		return
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	t.next, t.prev, t.slot = nil, nil, -1
}

// run sweeps until done is closed, calling look for each session whose moment has come.
func (w *wheel) run(done <-chan struct{}, look func(*Session, time.Time)) {
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	var due []*Session
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		now := time.Now()
		due = w.advance(int64(now.Sub(w.start)/w.tick), due[:0])
		for _, s := range due {
			look(s, now)
		}
		clear(due)
	}
}

// advance moves the hand to the tick and takes out the sessions that it passes.
func (w *wheel) advance(to int64, due []*Session) []*Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	for steps := 0; w.now < to && steps < wheelSlots; steps++ {
		w.now++
		for s := w.slots[w.now%wheelSlots]; s != nil; s = w.slots[w.now%wheelSlots] {
			w.unlink(s)
			due = append(due, s)
		}
	}
	w.now = max(w.now, to)
	return due
}
