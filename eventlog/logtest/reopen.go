package logtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast/eventlog"
)

func testEpochs(t *testing.T, b Backend) {
	seen := map[uint64]bool{}
	for range 3 {
		l := open(t, b, eventlog.Retention{})
		if e := l.Epoch(); e == 0 || seen[e] {
			t.Errorf("epoch %d is 0 or was given before", e)
		} else {
			seen[e] = true
		}
	}
}

func testReopen(t *testing.T, b Backend) {
	if b.Reopen == nil {
		t.Skip("nothing outlives a store of this backend")
	}
	s := b.Open(t)
	l := openLog(t, s, "log", eventlog.Retention{})
	epoch := l.Epoch()
	const rounds = 4
	for round := 1; round <= rounds; round++ {
		fill(t, l, 2500)
		apply(t, l, &eventlog.Batch{Put: []eventlog.KV{kv("round", fmt.Sprint(round)), kv(fmt.Sprint(round), "")}})
		bytes := l.Stats().Bytes
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		s = b.Reopen(t, s)
		l = openLog(t, s, "log", eventlog.Retention{})
		if l.Epoch() != epoch {
			t.Errorf("the epoch changed from %d to %d", epoch, l.Epoch())
		}
		if want := uint64(2500 * round); l.Head() != want || l.First() != 1 || l.Stats().Bytes != bytes {
			t.Errorf("round %d: head %d, first %d, %d bytes; want %d, 1, %d", round, l.Head(), l.First(), l.Stats().Bytes, want, bytes)
		}
		if v, err := l.Get(t.Context(), "round"); err != nil || string(v) != fmt.Sprint(round) {
			t.Errorf("round %d: state %q, %v", round, v, err)
		}
	}
	n := 0
	for _, e := range readAll(t, l, eventlog.Query{Rooms: []string{"r1"}}) {
		n++
		if string(e.Data) != fmt.Sprint("event ", e.Seq) {
			t.Fatalf("event %d has the data %q", e.Seq, e.Data)
		}
	}
	if want := 2500 * rounds / 10; n != want+2500*rounds/50 {
		t.Errorf("%d events of one room", n)
	}
	if other := openLog(t, s, "other", eventlog.Retention{}); other.Head() != 0 || other.Epoch() == epoch {
		t.Errorf("a new log in an old store: head %d, epoch %d", other.Head(), other.Epoch())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func testReopenTrimmed(t *testing.T, b Backend) {
	if b.Reopen == nil {
		t.Skip("nothing outlives a store of this backend")
	}
	s := b.Open(t)
	l := openLog(t, s, "log", eventlog.Retention{MaxEvents: 777})
	fill(t, l, 5000)
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := l.Stats()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = b.Reopen(t, s)
	l = openLog(t, s, "log", eventlog.Retention{MaxEvents: 777})
	if after := l.Stats(); after.First != before.First || after.Head != before.Head || after.Bytes != before.Bytes || after.Events != 777 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if n := len(readAll(t, l, eventlog.Query{After: l.First() - 1})); n != 777 {
		t.Errorf("%d events", n)
	}
	fill(t, l, 5000)
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.First() != 10_000-776 {
		t.Errorf("first is %d", l.First())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// testCrash opens the store as a crash would leave it, at random moments of a busy one: whatever was
// acknowledged before is there, and a batch is there as a whole or not at all.
func testCrash(t *testing.T, b Backend) {
	if b.Crash == nil {
		t.Skip("nothing outlives a process with this backend")
	}
	s := openStore(t, b)
	l := openLog(t, s, "log", eventlog.Retention{MaxEvents: 3000})
	epoch := l.Epoch()
	var (
		acked   atomic.Uint64
		counter atomic.Int64 // of batches acknowledged by writer 0
		writing sync.WaitGroup
		stop    = make(chan struct{})
	)
	for w := range 4 {
		writing.Go(func() {
			for n := int64(1); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				batch := &eventlog.Batch{Done: func(first uint64, err error) {
					if err == nil {
						acked.Store(first + 4) // Done come in order
					}
				}}
				for i := range 5 {
					batch.Records = append(batch.Records, record(fmt.Sprint(w, " ", n), fmt.Sprint("r", i)))
				}
				if w == 0 {
					batch.Put = []eventlog.KV{kv("n", fmt.Sprint(n))}
				}
				if _, err := l.Append(t.Context(), batch); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if w == 0 {
					counter.Store(n)
				}
			}
		})
	}
	for round := range 10 {
		eventually(t, "progress", func() bool { return acked.Load() > uint64(round*400+100) })
		wantHead, wantN := acked.Load(), counter.Load()
		crashed := b.Crash(t, s)
		c := openLog(t, crashed, "log", eventlog.Retention{})
		if c.Epoch() != epoch {
			t.Errorf("epoch %d became %d", epoch, c.Epoch())
		}
		if c.Head() < wantHead || c.Head()%5 != 0 {
			t.Errorf("the head is %d; acknowledged was %d, in batches of 5", c.Head(), wantHead)
		}
		var n int64
		if v, err := c.Get(t.Context(), "n"); wantN > 0 {
			if _, scanErr := fmt.Sscan(string(v), &n); err != nil || scanErr != nil || n < wantN {
				t.Errorf("the state is %q, %v; acknowledged was %d", v, err, wantN)
			}
		}
		// The state and the events of a batch belong together.
		last := ""
		for _, e := range readAll(t, c, eventlog.Query{After: c.First() - 1}) {
			if e.Data[0] == '0' {
				last = string(e.Data)
			}
			if want := fmt.Sprint("r", (e.Seq-1)%5); e.Rooms[0] != want {
				t.Fatalf("event %d is in room %s, want %s", e.Seq, e.Rooms[0], want)
			}
		}
		if want := fmt.Sprint("0 ", n); n > 0 && last != want {
			t.Errorf("the state says %q, the last event of its writer %q", want, last)
		}
		seen := 0
		for range readAll(t, c, eventlog.Query{After: c.First() - 1, Rooms: []string{"r2"}}) {
			seen++
		}
		if held := c.Head() + 1 - c.First(); uint64(seen) < held/5 || uint64(seen) > held/5+1 {
			t.Errorf("%d events of a room that has every fifth of %d", seen, held)
		}
		if err := crashed.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	close(stop)
	writing.Wait()
}
