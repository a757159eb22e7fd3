package queue

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/eventlog"
)

func TestAckTimeoutAndBackoff(t *testing.T) {
	o := Options{Default: QueueOptions{AckTimeout: 10 * time.Second, MaxAttempts: 4, MinBackoff: time.Second, MaxBackoff: 3 * time.Second}}
	bubble(t, o, func(t *testing.T, m *Manager, _ eventlog.Log) {
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c"}, nil)
		publish(t, m, "q", "a")
		publish(t, m, "q", "b")
		c.want("a/1")
		time.Sleep(10*time.Second + time.Millisecond) // timed out, then 1 s, 2 s, 3 s of pause
		c.want()                                      // b has to wait for a
		time.Sleep(time.Second)
		c.want("a/2")
		time.Sleep(11 * time.Second)
		c.want()
		time.Sleep(time.Second)
		c.want("a/3")
		time.Sleep(13 * time.Second)
		c.want("a/4")
		// Late, but while nobody else has handled it, it counts.
		if s := wantStats(t, m, "q", 2); s.Retried != 3 {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(11 * time.Second)
		c.want("b/1")
		s := wantStats(t, m, "q"+DeadSuffix, 1)
		if s.Head != 1 {
			t.Errorf("stats %+v", s)
		}
		dead, err := m.Peek(t.Context(), "q"+DeadSuffix, 0, 10)
		if err != nil || len(dead) != 1 {
			t.Fatalf("peek: %v, %v", dead, err)
		}
		if d := dead[0]; string(d.Body) != "a" || d.Dead == nil || d.Dead.Queue != "q" || d.Dead.Seq != 1 || d.Dead.Attempts != 4 ||
			d.Dead.Group != "c" || d.Dead.Reason != "no answer in time" || d.Dead.Time.IsZero() {
			t.Errorf("dead letter %+v, %+v", d, d.Dead)
		}
		c.mustDone(2)
		wantStats(t, m, "q", 0)
		// A late answer to a dead letter is none.
		c.mustDone(1)
	})
}

func TestLateDone(t *testing.T) {
	bubble(t, Options{Default: QueueOptions{AckTimeout: time.Second}}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		a := subscribe(t, m, "q", SubscribeOptions{Consumer: "a", Group: "g"}, nil)
		publish(t, m, "q", "x")
		a.want("x/1")
		time.Sleep(1500 * time.Millisecond) // it waits for its next attempt
		a.mustDone(1)
		time.Sleep(time.Minute)
		a.want()
		wantStats(t, m, "q", 0)
		b := subscribe(t, m, "q", SubscribeOptions{Consumer: "b", Group: "g"}, nil)
		publish(t, m, "q", "y")
		synctest.Wait()
		first, second := a, b
		if len(b.got) > 0 {
			first, second = b, a
		}
		first.want("y/1")
		first.Close()
		second.want("y/2")
		first.mustDone(2) // while the other is at it
		wantStats(t, m, "q", 0)
		second.mustDone(2)
	})
}

func TestRetry(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c"}, func(s *Subscription, d Delivery) {
			if d.Attempt < 3 {
				s.Retry(d.Seq, time.Duration(d.Attempt)*time.Minute, func(err error) {
					if err != nil {
						t.Errorf("retry: %v", err)
					}
				})
				return
			}
			s.Done(d.Seq, nil)
		})
		wide := subscribe(t, m, "q", SubscribeOptions{Consumer: "wide", Prefetch: 5}, func(s *Subscription, d Delivery) {
			if string(d.Body) == "a" && d.Attempt == 1 {
				s.Retry(d.Seq, time.Minute, nil)
			} else {
				s.Done(d.Seq, nil)
			}
		})
		publish(t, m, "q", "a")
		publish(t, m, "q", "b")
		c.want("a/1")
		wide.want("a/1", "b/1") // more than one at a time don't wait for each other
		time.Sleep(59 * time.Second)
		c.want()
		time.Sleep(time.Second)
		c.want("a/2")
		wide.want("a/2")
		time.Sleep(2 * time.Minute)
		c.want("a/3", "b/1")
		time.Sleep(3 * time.Minute)
		c.want("b/2", "b/3")
		wantStats(t, m, "q", 0)
		c.Retry(1, 0, func(err error) {
			if !errors.Is(err, ErrNotDelivered) {
				t.Errorf("retry of what is done: %v", err)
			}
		})
	})
}

func TestReject(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c"}, func(s *Subscription, d Delivery) {
			s.Reject(d.Seq, "bad "+string(d.Body), nil)
		})
		publish(t, m, "q", "a")
		publish(t, m, "q", "b")
		c.want("a/1", "b/1")
		wantStats(t, m, "q", 0)
		wantStats(t, m, "q.dead", 2)
		var reasons []string
		dead := subscribe(t, m, "q.dead", SubscribeOptions{Consumer: "undertaker"}, func(s *Subscription, d Delivery) {
			reasons = append(reasons, d.Dead.Reason)
			if d.Seq == 1 {
				s.Reject(d.Seq, "really", nil) // there is nothing behind dead letters
			} else {
				s.Done(d.Seq, nil)
			}
		})
		dead.want("a/1", "b/1")
		if !slices.Equal(reasons, []string{"bad a", "bad b"}) {
			t.Errorf("reasons %q", reasons)
		}
		wantStats(t, m, "q.dead", 0)
		if _, err := m.Publish(t.Context(), "q.dead", Message{}); !errors.Is(err, ErrBadName) {
			t.Errorf("publish to dead letters: %v", err)
		}
		if slices.Contains(m.Queues(), "q.dead.dead") {
			t.Error("dead letters have dead letters")
		}
	})
}

func TestDelay(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c", Prefetch: 9}, sayDone)
		start := time.Now()
		if r := publishMessage(t, m, "q", Message{Body: []byte("late"), Delay: time.Hour, ID: "late"}); r.Seq != 0 {
			t.Errorf("receipt %+v", r)
		}
		publishMessage(t, m, "q", Message{Body: []byte("soon"), Delay: time.Minute})
		publish(t, m, "q", "now")
		c.want("now/1")
		if s := wantStats(t, m, "q", 2); s.Delayed != 2 {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(time.Minute)
		c.want("soon/1")
		publishMessage(t, m, "q", Message{Body: []byte("sooner"), Delay: time.Second})
		time.Sleep(time.Second)
		c.want("sooner/1")
		if r := publishMessage(t, m, "q", Message{ID: "late"}); !r.Duplicate || r.Seq != 0 {
			t.Errorf("the same id while it is delayed: %+v", r)
		}
		time.Sleep(time.Hour - time.Since(start))
		c.want("late/1")
		if s := wantStats(t, m, "q", 0); s.Delayed != 0 || s.Bytes != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestTTL(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, _ eventlog.Log) {
		publishMessage(t, m, "q", Message{Body: []byte("short"), TTL: time.Second})
		publishMessage(t, m, "q", Message{Body: []byte("long"), TTL: time.Hour})
		publishMessage(t, m, "q", Message{Body: []byte("delayed"), TTL: time.Second, Delay: time.Minute})
		publish(t, m, "q", "ever")
		time.Sleep(1500 * time.Millisecond)
		c := subscribe(t, m, "q", SubscribeOptions{Consumer: "c", Prefetch: 9}, nil)
		c.want("long/1", "ever/1")
		time.Sleep(time.Minute)
		c.want("long/2", "ever/2", "delayed/1") // 30 s without an answer
		c.mustDone(2)
		// Past its time it isn't tried again, nor kept where nobody takes it.
		time.Sleep(time.Hour)
		if s := wantStats(t, m, "q", 0); s.Expired != 2 {
			t.Errorf("stats %+v", s)
		}
		publishMessage(t, m, "unread", Message{Body: []byte("x"), TTL: time.Second})
		time.Sleep(5 * time.Second)
		wantStats(t, m, "unread", 0)
	})
}

func TestManyInFlight(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, m *Manager, log eventlog.Log) {
		const n = 3000
		var subs []*consumer
		for i := range 4 {
			subs = append(subs, subscribe(t, m, "q", SubscribeOptions{Consumer: fmt.Sprint(i), Group: "g", Prefetch: 1000}, nil))
		}
		var wg sync.WaitGroup
		wg.Add(n)
		for i := range n {
			m.PublishAsync("q", Message{Body: fmt.Append(nil, i)}, func(_ Receipt, err error) {
				if err != nil {
					t.Error(err)
				}
				wg.Done()
			})
		}
		wg.Wait()
		synctest.Wait()
		total := 0
		for _, c := range subs {
			total += len(c.last)
		}
		if total != n {
			t.Fatalf("%d of %d are with the consumers", total, n)
		}
		// Done from the last to the first: the floor stays where it is until the end.
		for _, c := range subs {
			for _, d := range slices.Backward(c.last) {
				c.Done(d.Seq, nil)
			}
		}
		s := wantStats(t, m, "q", 0)
		if s.Groups[0].Floor != n || s.Bytes != 0 {
			t.Errorf("stats %+v", s.Groups[0])
		}
		left := 0
		if err := log.Scan(t.Context(), "s\x00", "", func(string, []byte) bool { left++; return true }); err != nil || left != 0 {
			t.Errorf("%d status rows are left, %v", left, err)
		}
	})
}
