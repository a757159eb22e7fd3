package queue

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/eventlog"
)

// troubledLog fails batches on command, in their order.
type troubledLog struct {
	eventlog.Log
	full   atomic.Bool // refuse what does not free
	broken atomic.Bool // refuse everything
}

func (l *troubledLog) Submit(b *eventlog.Batch) error {
	var err error
	switch {
	case l.broken.Load():
		err = eventlog.ErrWrite
	case l.full.Load() && !b.Frees:
		err = eventlog.ErrFull
	default:
		return l.Log.Submit(b)
	}
	return l.Log.Submit(&eventlog.Batch{Done: func(uint64, error) {
		if b.Done != nil {
			b.Done(0, err)
		}
	}})
}

func troubled(t *testing.T, o Options, f func(t *testing.T, m *Manager, log *troubledLog)) {
	synctest.Test(t, func(t *testing.T) {
		store := eventlog.NewMemory()
		inner, err := store.Open("queues", eventlog.Retention{})
		if err != nil {
			t.Fatal(err)
		}
		log := &troubledLog{Log: inner}
		m, err := Open(log, o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(m.Close(), store.Close()); err != nil {
				t.Error(err)
			}
		}()
		f(t, m, log)
	})
}

func TestFullStore(t *testing.T) {
	troubled(t, Options{}, func(t *testing.T, m *Manager, log *troubledLog) {
		for i := range 3 {
			publish(t, m, "q", fmt.Sprint(i+1))
		}
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c"}, nil)
		c.want("1/1")
		log.full.Store(true)
		for range 3 {
			if _, err := m.Publish(t.Context(), "q", Message{Body: []byte("x"), ID: "x"}); Code(err) != "store_full" {
				t.Errorf("publish: %v", err)
			}
		}
		// What is there can be handled.
		c.mustDone(1)
		c.want("2/1")
		c.Reject(2, "bad", nil) // its dead letter has to wait
		c.want()
		log.full.Store(false)
		if r := publishMessage(t, m, "q", Message{Body: []byte("x"), ID: "x"}); r.Duplicate {
			t.Error("a message that was refused counts as known")
		}
		time.Sleep(2 * time.Second)
		c.want("3/1")
		if dead, err := m.Peek(t.Context(), "q.dead", 0, 9); err != nil || len(dead) != 1 {
			t.Errorf("dead letters: %v, %v", dead, err)
		}
		c.mustDone(3)
		c.want("x/1")
		if s := wantStats(t, m, "q", 1); s.Bytes != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestDoneThatFailed: a done that could not be written is said again, and only then counts.
func TestDoneThatFailed(t *testing.T) {
	troubled(t, Options{}, func(t *testing.T, m *Manager, log *troubledLog) {
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c", Prefetch: 5}, nil)
		for i := range 3 {
			publish(t, m, "q", fmt.Sprint(i+1))
		}
		c.want("1/1", "2/1", "3/1")
		log.broken.Store(true)
		for _, seq := range []uint64{1, 1, 3, 3} {
			failed := false
			c.Done(seq, func(err error) { failed = errors.Is(err, eventlog.ErrWrite) })
			synctest.Wait()
			if !failed {
				t.Errorf("done %d was acknowledged by a store that takes nothing", seq)
			}
		}
		log.broken.Store(false)
		c.mustDone(3)
		// As after a crash: a second manager over what is in the log.
		other, err := Open(log, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		d := subscribe(t, other, "q", SubscribeOptions{Consumer: "c", Prefetch: 5}, nil)
		synctest.Wait()
		for _, got := range d.got {
			if got[0] == '3' {
				t.Errorf("message 3 came again: %q", d.got)
			}
		}
	})
}

// TestRestart closes and opens the queues over one log: everyone stands where they stood.
func TestRestart(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, log eventlog.Log) {
		o := Options{Default: QueueOptions{MaxAttempts: 3}}
		m.SetOptions(o)
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c", Prefetch: 5}, nil)
		for i := range 6 {
			publish(t, m, "q", fmt.Sprint(i+1))
		}
		publishMessage(t, m, "q", Message{Body: []byte("delayed"), ID: "id", Delay: time.Hour})
		c.want("1/1", "2/1", "3/1", "4/1", "5/1")
		c.mustDone(1)
		c.want("6/1")
		c.mustDone(3)
		c.Retry(4, time.Minute, nil)
		synctest.Wait()
		before := wantStats(t, m, "q", 5)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}

		m, err := Open(log, o)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		after := wantStats(t, m, "q", 5)
		if after.Head != before.Head || after.Bytes != before.Bytes || after.Delayed != 1 || after.Groups[0].Floor != 1 {
			t.Errorf("before %+v, after %+v", before, after)
		}
		if r := publishMessage(t, m, "q", Message{ID: "id"}); !r.Duplicate {
			t.Error("the id was forgotten")
		}
		c = subscribe(t, m, "q", SubscribeOptions{Consumer: "c", Prefetch: 9}, nil)
		c.want("2/2", "5/2", "6/2")
		time.Sleep(time.Minute - time.Millisecond) // they time out meanwhile, and 4 waits
		c.mustDone(2)
		c.mustDone(5)
		c.mustDone(6)
		c.want("2/3", "5/3", "6/3")
		time.Sleep(time.Millisecond)
		c.want("4/2")
		c.mustDone(4)
		if r := publish(t, m, "q", "7"); r.Seq != 7 {
			t.Errorf("the next message is %d", r.Seq)
		}
		c.want("7/1")
		c.mustDone(7)
		time.Sleep(time.Hour - time.Minute)
		c.want("delayed/1")
		c.mustDone(8)
		if s := wantStats(t, m, "q", 0); s.Bytes != 0 || s.Groups[0].Floor != 8 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestOrder: with one message at a time the order holds whatever the consumer does, also over its going
// and coming back and over a restart.
func TestOrder(t *testing.T) {
	bubble(t, Options{Default: QueueOptions{MaxAttempts: 100}}, func(t *testing.T, m *Manager, log eventlog.Log) {
		const n = 60
		for i := range n {
			publish(t, m, "q", fmt.Sprint(i+1))
		}
		next := uint64(1)
		turn := 0
		for restart := range 4 {
			for range 4 {
				c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c"}, func(s *Subscription, d Delivery) {
					if d.Seq != next {
						t.Errorf("got %d, want %d", d.Seq, next)
					}
					switch turn++; turn % 5 {
					case 0: // no answer
					case 1:
						s.Retry(d.Seq, 3*time.Second, nil) // longer than the consumer stays
					default:
						s.Done(d.Seq, nil)
						next++
					}
				})
				time.Sleep(2300 * time.Millisecond)
				synctest.Wait()
				c.Close()
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			if m, err = Open(log, Options{Default: QueueOptions{MaxAttempts: 100}}); err != nil {
				t.Fatal(restart, err)
			}
		}
		defer m.Close()
		if next < 10 {
			t.Errorf("only %d were handled", next-1)
		}
	})
}

// TestDoneIsDurable looks at what is in the log right after a done was acknowledged, in and out of order.
func TestDoneIsDurable(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, log eventlog.Log) {
		subscribe(t, m, "q", SubscribeOptions{Consumer: "slow"}, nil) // so that the messages stay
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c", Prefetch: 9}, nil)
		for i := range 4 {
			publish(t, m, "q", fmt.Sprint(i+1))
		}
		c.want("1/1", "2/1", "3/1", "4/1")
		left := []string{"1/2", "2/2", "3/2", "4/2"}
		for _, seq := range []uint64{1, 3, 2, 4} {
			c.mustDone(seq)
			left = slices.DeleteFunc(left, func(s string) bool { return s == fmt.Sprintf("%d/2", seq) })
			other, err := Open(log, Options{}) // as after a crash at this moment
			if err != nil {
				t.Fatal(err)
			}
			d := subscribe(t, other, "q", SubscribeOptions{Consumer: "c", Prefetch: 9}, nil)
			d.want(left...)
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
