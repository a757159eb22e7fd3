package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/eventlog"
)

// bubble runs a test with a manager over a log in memory, in a time of its own.
func bubble(t *testing.T, o Options, f func(t *testing.T, m *Manager, log eventlog.Log)) {
	synctest.Test(t, func(t *testing.T) {
		store := eventlog.NewMemory()
		log, err := store.Open("queues", eventlog.Retention{})
		if err != nil {
			t.Fatal(err)
		}
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

func publish(t *testing.T, m *Manager, queue, body string) Receipt {
	t.Helper()
	return publishMessage(t, m, queue, Message{Body: []byte(body)})
}

func publishMessage(t *testing.T, m *Manager, queue string, msg Message) Receipt {
	t.Helper()
	r, err := m.Publish(t.Context(), queue, msg)
	if err != nil {
		t.Fatalf("publish %q: %v", msg.Body, err)
	}
	return r
}

// consumer records what it gets and answers as told.
type consumer struct {
	*Subscription
	t *testing.T

	mu     sync.Mutex
	got    []string // "<body>/<attempt>"
	last   []Delivery
	answer func(*Subscription, Delivery) // nil: none
}

func subscribe(t *testing.T, m *Manager, queue string, o SubscribeOptions, answer func(*Subscription, Delivery)) *consumer {
	t.Helper()
	c := &consumer{t: t, answer: answer}
	s, err := m.Subscribe(t.Context(), queue, o, func(s *Subscription, d Delivery) {
		c.mu.Lock()
		c.got = append(c.got, fmt.Sprintf("%s/%d", d.Body, d.Attempt))
		c.last = append(c.last, d)
		answer := c.answer
		c.mu.Unlock()
		if answer != nil {
			answer(s, d)
		}
	})
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	c.Subscription = s
	return c
}

// want waits until nothing moves any more and compares what came since the last time.
func (c *consumer) want(want ...string) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.got, want) && len(c.got)+len(want) > 0 {
		c.t.Errorf("got %q, want %q", c.got, want)
	}
	c.got = nil
}

func sayDone(s *Subscription, d Delivery) { s.Done(d.Seq, nil) }

func (c *consumer) mustDone(seq uint64) {
	c.t.Helper()
	done := make(chan error, 1)
	c.Done(seq, func(err error) { done <- err })
	if err := <-done; err != nil {
		c.t.Errorf("done %d: %v", seq, err)
	}
}

func wantStats(t *testing.T, m *Manager, queue string, messages int) Stats {
	t.Helper()
	synctest.Wait()
	s, err := m.Stats(queue)
	if err != nil {
		t.Fatal(err)
	}
	if s.Messages != messages {
		t.Errorf("queue %q holds %d messages, want %d", queue, s.Messages, messages)
	}
	return s
}

func TestPublishAndConsume(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		for i := 1; i <= 3; i++ {
			if r := publish(t, m, "work", fmt.Sprint(i)); r.Seq != uint64(i) || r.Duplicate {
				t.Errorf("receipt %+v", r)
			}
		}
		c := subscribe(t, m, "work", SubscribeOptions{Consumer: "a"}, nil)
		c.want("1/1") // one at a time
		c.mustDone(1)
		c.want("2/1")
		c.mustDone(2)
		c.mustDone(2) // again is no error
		c.mustDone(1)
		c.want("3/1")
		publish(t, m, "work", "4")
		c.want()
		c.mustDone(3)
		c.want("4/1")
		s := wantStats(t, m, "work", 1)
		if s.Head != 4 || s.Published != 4 || len(s.Groups) != 1 || s.Groups[0] != (GroupStats{Name: "a", Consumers: 1, InFlight: 1, Floor: 3}) {
			t.Errorf("stats %+v", s)
		}
		c.mustDone(4)
		wantStats(t, m, "work", 0)
		c.Done(5, func(err error) {
			if !errors.Is(err, ErrNotDelivered) {
				t.Errorf("done of what was never delivered: %v", err)
			}
		})
		c.Close()
		c.Close()
		publish(t, m, "work", "5")
		c.want()
		// The cursor is found again.
		d := subscribe(t, m, "work", SubscribeOptions{Consumer: "a"}, sayDone)
		d.want("5/1")
	})
}

func TestGroups(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		a := subscribe(t, m, "q", SubscribeOptions{Consumer: "a", Group: "g", Prefetch: 2}, nil)
		b := subscribe(t, m, "q", SubscribeOptions{Consumer: "b", Group: "g", Prefetch: 2}, nil)
		own := subscribe(t, m, "q", SubscribeOptions{Consumer: "g", Prefetch: 10}, sayDone) // not the group of that name
		for i := 1; i <= 6; i++ {
			publish(t, m, "q", fmt.Sprint(i))
		}
		own.want("1/1", "2/1", "3/1", "4/1", "5/1", "6/1")
		synctest.Wait()
		all := append(slices.Clone(a.got), b.got...)
		slices.Sort(all)
		if len(a.got) != 2 || len(b.got) != 2 || !slices.Equal(all, []string{"1/1", "2/1", "3/1", "4/1"}) {
			t.Errorf("a got %q, b got %q", a.got, b.got)
		}
		wantStats(t, m, "q", 6) // the group has handled none
		a.got, b.got = nil, nil
		a.Close() // its messages go to b, when it has room
		b.want()
		for _, d := range b.last {
			b.mustDone(d.Seq)
		}
		synctest.Wait()
		if len(b.got) != 2 || !strings.HasSuffix(b.got[0], "/2") || !strings.HasSuffix(b.got[1], "/2") {
			t.Errorf("b got %q, want what a had, as a second attempt", b.got)
		}
		wantStats(t, m, "q", 4)
	})
}

func TestFrom(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		for i := 1; i <= 5; i++ {
			publish(t, m, "q", fmt.Sprint(i))
		}
		first := subscribe(t, m, "q", SubscribeOptions{Consumer: "first", Prefetch: 9}, nil)
		third := subscribe(t, m, "q", SubscribeOptions{Consumer: "third", Prefetch: 9, From: 3}, nil)
		last := subscribe(t, m, "q", SubscribeOptions{Consumer: "new", Prefetch: 9, From: FromNew}, nil)
		publish(t, m, "q", "6")
		first.want("1/1", "2/1", "3/1", "4/1", "5/1", "6/1")
		third.want("3/1", "4/1", "5/1", "6/1")
		last.want("6/1")
		// What lies before the first group's beginning goes.
		for i := 1; i <= 3; i++ {
			publish(t, m, "other", fmt.Sprint(i))
		}
		subscribe(t, m, "other", SubscribeOptions{Consumer: "new", From: FromNew}, nil)
		time.Sleep(2 * time.Second)
		wantStats(t, m, "other", 0)
	})
}

func TestDuplicates(t *testing.T) {
	bubble(t, Options{DedupeWindow: time.Minute}, func(t *testing.T, m *Manager, log eventlog.Log) {
		one := publishMessage(t, m, "q", Message{Body: []byte("a"), ID: "x"})
		two := publishMessage(t, m, "q", Message{Body: []byte("b"), ID: "x"})
		if one.Duplicate || !two.Duplicate || two.Seq != one.Seq {
			t.Errorf("receipts %+v and %+v", one, two)
		}
		if r := publishMessage(t, m, "other", Message{ID: "x"}); r.Duplicate {
			t.Error("ids of another queue count")
		}
		// At once, before the first is committed.
		var wg sync.WaitGroup
		var mu sync.Mutex
		stored := 0
		wg.Add(50)
		for range 50 {
			m.PublishAsync("q", Message{ID: "y"}, func(r Receipt, err error) {
				defer wg.Done()
				mu.Lock()
				defer mu.Unlock()
				if err != nil || r.Seq != 2 {
					t.Errorf("receipt %+v, %v", r, err)
				}
				if !r.Duplicate {
					stored++
				}
			})
		}
		wg.Wait()
		if stored != 1 {
			t.Errorf("%d receipts say that the message was stored", stored)
		}
		wantStats(t, m, "q", 2)
		// Also when it was handled long ago, but not past the window.
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c", Prefetch: 5}, sayDone)
		c.want("a/1", "/1")
		time.Sleep(50 * time.Second)
		if r := publishMessage(t, m, "q", Message{ID: "x"}); !r.Duplicate {
			t.Errorf("within the window: %+v", r)
		}
		time.Sleep(20 * time.Second)
		if r := publishMessage(t, m, "q", Message{ID: "x"}); r.Duplicate {
			t.Errorf("past the window: %+v", r)
		}
		// Nothing is left of ids past the window.
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		n := 0
		for _, prefix := range []string{"i\x00", idTimePrefix} {
			if err := log.Scan(t.Context(), prefix, "", func(string, []byte) bool { n++; return true }); err != nil {
				t.Fatal(err)
			}
		}
		if n != 0 {
			t.Errorf("%d rows of forgotten ids are left", n)
		}
	})
}

func TestBounds(t *testing.T) {
	o := Options{
		Default:   QueueOptions{MaxMessages: 3, MaxMessageBytes: 100},
		Queues:    map[string]QueueOptions{"bytes": {MaxBytes: 1000}},
		MaxQueues: 5, MaxGroups: 2,
	}
	bubble(t, o, func(t *testing.T, m *Manager, _ eventlog.Log) {
		fails := func(want *Error, queue string, msg Message) {
			t.Helper()
			if _, err := m.Publish(t.Context(), queue, msg); !errors.Is(err, want) || Code(err) != want.Code {
				t.Errorf("publish: %v (%s), want %v", err, Code(err), want)
			}
		}
		for range 3 {
			publish(t, m, "q", "x")
		}
		fails(ErrQueueFull, "q", Message{})
		fails(ErrQueueFull, "q", Message{Delay: time.Hour})
		fails(ErrTooLarge, "r", Message{Body: make([]byte, 101)})
		publishMessage(t, m, "bytes", Message{Body: make([]byte, 900)})
		fails(ErrQueueFull, "bytes", Message{Body: make([]byte, 101)})
		publishMessage(t, m, "bytes", Message{Body: make([]byte, 100)})
		fails(ErrBadName, "", Message{})
		fails(ErrBadName, "a b", Message{})
		fails(ErrBadName, "a\x00b", Message{})
		fails(ErrBadName, strings.Repeat("x", maxName+1), Message{})
		fails(ErrBadRequest, "q", Message{ID: strings.Repeat("x", maxID+1)})
		fails(ErrBadRequest, "q", Message{TTL: -1})
		// One handled makes room for one.
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c"}, nil)
		c.want("x/1")
		c.mustDone(1)
		publish(t, m, "q", "y")
		fails(ErrQueueFull, "q", Message{})
		subscribe(t, m, "q", SubscribeOptions{Consumer: "d"}, nil)
		if _, err := m.Subscribe(t.Context(), "q", SubscribeOptions{Consumer: "e"}, nil); !errors.Is(err, ErrTooMany) {
			t.Errorf("a third group: %v", err)
		}
		for i := range 2 {
			publish(t, m, fmt.Sprint("more", i), "")
		}
		fails(ErrTooMany, "onemore", Message{})
		m.SetOptions(Options{})
		publish(t, m, "q", "z")
	})
}

func TestMaxAge(t *testing.T) {
	o := Options{Default: QueueOptions{MaxAge: time.Minute}}
	bubble(t, o, func(t *testing.T, m *Manager, _ eventlog.Log) {
		publish(t, m, "q", "a")
		publish(t, m, "r", "a")
		subscribe(t, m, "r", SubscribeOptions{Consumer: "c"}, nil).Close()
		time.Sleep(40 * time.Second)
		publish(t, m, "q", "b")
		time.Sleep(40 * time.Second)
		wantStats(t, m, "q", 1)
		wantStats(t, m, "r", 1) // somebody wants it
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c"}, nil)
		c.want("b/1")
	})
}

func TestDeadLettersMakeRoom(t *testing.T) {
	o := Options{Default: QueueOptions{MaxMessages: 3}}
	bubble(t, o, func(t *testing.T, m *Manager, _ eventlog.Log) {
		subscribe(t, m, "q", SubscribeOptions{Consumer: "c"}, func(s *Subscription, d Delivery) { s.Reject(d.Seq, "no", nil) })
		for i := range 6 {
			publish(t, m, "q", fmt.Sprint(i))
			synctest.Wait()
		}
		time.Sleep(3 * time.Second)
		wantStats(t, m, "q", 0)
		wantStats(t, m, "q.dead", 3)
		dead, err := m.Peek(t.Context(), "q.dead", 0, 10)
		if err != nil || len(dead) != 3 || string(dead[0].Body) != "3" {
			t.Errorf("%d dead letters are left, %v", len(dead), err)
		}
	})
}

func TestPeekAndPurge(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, log eventlog.Log) {
		for i := range 1200 {
			publish(t, m, "q", fmt.Sprint(i+1))
		}
		publishMessage(t, m, "q", Message{Delay: time.Hour})
		publishMessage(t, m, "other", Message{Delay: time.Hour})
		list, err := m.Peek(t.Context(), "q", 10, 3)
		if err != nil || len(list) != 3 || list[0].Seq != 11 || string(list[2].Body) != "13" {
			t.Errorf("peek: %+v, %v", list, err)
		}
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c", Prefetch: 3}, nil)
		c.want("1/1", "2/1", "3/1")
		c.mustDone(2)
		c.want("4/1")
		n, err := m.Purge(t.Context(), "q")
		if err != nil || n != 1200 {
			t.Errorf("purged %d, %v; want 1199 messages and a delayed one", n, err)
		}
		if s := wantStats(t, m, "q", 0); s.Bytes != 0 || s.Delayed != 0 || s.Groups[0].InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
		wantStats(t, m, "other", 1)
		c.mustDone(1) // means nothing, and is no error
		publish(t, m, "q", "new")
		c.want("new/1")
		c.mustDone(1201)
		rows := 0
		for _, prefix := range []string{"m\x00q\x00", "s\x00q\x00"} {
			if err := log.Scan(t.Context(), prefix, "", func(string, []byte) bool { rows++; return true }); err != nil {
				t.Fatal(err)
			}
		}
		if rows != 0 {
			t.Errorf("%d rows are left", rows)
		}
		if _, err := m.Purge(t.Context(), "none"); !errors.Is(err, ErrNoQueue) {
			t.Errorf("purge of no queue: %v", err)
		}
		if _, err := m.Peek(t.Context(), "none", 0, 1); !errors.Is(err, ErrNoQueue) {
			t.Errorf("peek into no queue: %v", err)
		}
		if _, err := m.Stats("none"); !errors.Is(err, ErrNoQueue) {
			t.Errorf("stats of no queue: %v", err)
		}
	})
}

func TestUnsubscribe(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		a := subscribe(t, m, "q", SubscribeOptions{Consumer: "a", Prefetch: 9}, nil)
		b := subscribe(t, m, "q", SubscribeOptions{Consumer: "b", Prefetch: 9}, sayDone)
		for i := range 5 {
			publish(t, m, "q", fmt.Sprint(i+1))
		}
		a.want("1/1", "2/1", "3/1", "4/1", "5/1")
		b.want("1/1", "2/1", "3/1", "4/1", "5/1")
		a.mustDone(3) // out of order: a row of its own
		wantStats(t, m, "q", 4)
		if err := m.Unsubscribe(t.Context(), "q", "a", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		b.got = nil
		wantStats(t, m, "q", 0) // nobody waits for them any more
		a.Done(1, func(err error) {
			if !errors.Is(err, ErrNoGroup) {
				t.Errorf("done after unsubscribe: %v", err)
			}
		})
		a.Close()
		if err := m.Unsubscribe(t.Context(), "q", "a", ""); !errors.Is(err, ErrNoGroup) {
			t.Errorf("unsubscribe again: %v", err)
		}
		// The name begins anew.
		publish(t, m, "q", "6")
		b.want("6/1")
		time.Sleep(2 * time.Second)
		a = subscribe(t, m, "q", SubscribeOptions{Consumer: "a", Prefetch: 9}, nil)
		a.want()
		publish(t, m, "q", "7")
		a.want("7/1")
	})
}

func TestClosed(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c"}, nil)
		publish(t, m, "q", "x")
		c.want("x/1")
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Publish(t.Context(), "q", Message{}); !errors.Is(err, ErrClosed) {
			t.Errorf("publish: %v", err)
		}
		if _, err := m.Subscribe(t.Context(), "q", SubscribeOptions{Consumer: "d"}, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("subscribe: %v", err)
		}
		c.Close()
	})
}

func TestCodes(t *testing.T) {
	for err, want := range map[error]string{
		nil:                             "",
		ErrQueueFull:                    "queue_full",
		fmt.Errorf("x: %w", ErrNoQueue): "no_queue",
		eventlog.ErrFull:                "store_full",
		eventlog.ErrWrite:               "store_failed",
		eventlog.ErrClosed:              "closed",
		context.Canceled:                "internal",
	} {
		if got := Code(err); got != want {
			t.Errorf("Code(%v) = %q, want %q", err, got, want)
		}
	}
}
