package engineio

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func unscheduled() *Session {
	s := &Session{}
	s.timer.slot = -1
	return s
}

// TestWheelLooksInTime schedules sessions at random moments and wants each looked at within a tick of its own.
func TestWheelLooksInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tick = 10 * time.Millisecond
		w := newWheel(tick)
		start := time.Now()
		due := map[*Session]time.Time{}
		for range 2000 {
			s := unscheduled()
			// Some lie beyond the wheel's reach of 512 ticks: they are looked at early, and put off again.
			due[s] = start.Add(time.Duration(rand.IntN(900))*tick + time.Duration(rand.IntN(int(tick))))
			w.schedule(s, due[s])
		}
		done := make(chan struct{})
		var seen sync.WaitGroup
		seen.Add(len(due))
		go w.run(done, func(s *Session, now time.Time) {
			at := due[s]
			if now.Before(at) {
				w.schedule(s, at)
				return
			}
			if late := now.Sub(at); late > tick {
				t.Errorf("looked at %v late", late)
			}
			seen.Done()
		})
		seen.Wait()
		close(done)
	})
}

func TestWheelReschedulesAndCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(time.Millisecond)
		now := time.Now()
		early, later, never, neighbour := unscheduled(), unscheduled(), unscheduled(), unscheduled()
		for _, s := range []*Session{early, later, never, neighbour} {
			w.schedule(s, now.Add(5*time.Millisecond))
		}
		w.schedule(later, now.Add(9*time.Millisecond))
		w.cancel(never)
		w.cancel(never)
		seen := map[*Session]time.Duration{}
		done := make(chan struct{})
		go w.run(done, func(s *Session, at time.Time) { seen[s] = at.Sub(now) })
		time.Sleep(20 * time.Millisecond)
		close(done)
		synctest.Wait()
		if len(seen) != 3 || seen[early] != 5*time.Millisecond || seen[neighbour] != 5*time.Millisecond || seen[later] != 9*time.Millisecond {
			t.Errorf("looked at %v", seen)
		}
	})
}

// TestWheelAfterAPause has the process stand still for longer than the wheel reaches.
func TestWheelAfterAPause(t *testing.T) {
	w := newWheel(time.Millisecond)
	var all []*Session
	for i := range 3 * wheelSlots {
		s := unscheduled()
		w.schedule(s, w.start.Add(time.Duration(i)*time.Millisecond))
		all = append(all, s)
	}
	if due := w.advance(100*wheelSlots, nil); len(due) != len(all) {
		t.Errorf("%d of %d sessions looked at", len(due), len(all))
	}
	if w.now != 100*wheelSlots {
		t.Errorf("the hand stands at %d", w.now)
	}
	s := unscheduled()
	w.schedule(s, w.start) // long ago: at the next tick
	if due := w.advance(w.now+1, nil); len(due) != 1 || due[0] != s || s.timer.slot != -1 {
		t.Errorf("a moment that is over was not looked at next: %v", due)
	}
}
