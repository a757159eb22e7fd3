package logtest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/eventlog"
)

func testTrimEvents(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{MaxEvents: 100})
	fill(t, l, 2500)
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.First() != 2401 || l.Head() != 2500 {
		t.Errorf("first %d, head %d; want 2401 and 2500", l.First(), l.Head())
	}
	events := readAll(t, l, eventlog.Query{After: 2400})
	if len(events) != 100 {
		t.Errorf("%d events are left", len(events))
	}
	sum := int64(0)
	for i := range events {
		sum += events[i].Size()
	}
	if s := l.Stats(); s.Events != 100 || s.Bytes != sum || s.First != 2401 {
		t.Errorf("stats %+v; want 100 events of %d bytes", s, sum)
	}
}

func testTrimBytes(t *testing.T, b Backend) {
	const bound = 200_000
	l := open(t, b, eventlog.Retention{MaxBytes: bound})
	for i := range 100 {
		batch := &eventlog.Batch{}
		for k := range 100 {
			batch.Records = append(batch.Records, eventlog.Record{Rooms: []string{fmt.Sprint(k % 7)}, Data: make([]byte, (i*k)%301)})
		}
		if _, err := l.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := l.Stats()
	if s.Bytes > bound || s.Bytes < bound/3 {
		t.Errorf("%d bytes are held under a bound of %d", s.Bytes, bound)
	}
	sum := int64(0)
	for _, e := range readAll(t, l, eventlog.Query{After: l.First() - 1}) {
		sum += e.Size()
	}
	if sum != s.Bytes {
		t.Errorf("%d bytes are held, the stats say %d", sum, s.Bytes)
	}
}

func testTrimAge(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{MaxAge: time.Hour})
	fill(t, l, 1500)
	time.Sleep(5 * time.Millisecond)
	middle := time.Now()
	time.Sleep(5 * time.Millisecond)
	fill(t, l, 100)
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.First() != 1 {
		t.Errorf("events younger than an hour are gone: first is %d", l.First())
	}
	l.SetRetention(eventlog.Retention{MaxAge: time.Since(middle)})
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The second fill is younger than middle, unless this test was held up between the two lines.
	if l.First() < 1501 {
		t.Errorf("events older than the bound are left: first is %d, want 1501 or more", l.First())
	}
	l.SetRetention(eventlog.Retention{MaxAge: time.Nanosecond})
	time.Sleep(time.Millisecond)
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.First() != l.Head()+1 {
		t.Errorf("first %d, head %d; want an empty log", l.First(), l.Head())
	}
}

func testTrimByItself(t *testing.T, b Backend) {
	byCount := open(t, b, eventlog.Retention{MaxEvents: 1000})
	fill(t, byCount, 20_000)
	eventually(t, "a sixteenth above the bound at most", func() bool { return byCount.Stats().Events <= 1000+1000/16 })
	byAge := open(t, b, eventlog.Retention{MaxAge: 50 * time.Millisecond})
	fill(t, byAge, 100)
	eventually(t, "all older than the bound", func() bool { return byAge.First() == 101 })
}

func testTrimEverything(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{MaxAge: time.Nanosecond})
	fill(t, l, 300)
	time.Sleep(time.Millisecond)
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := l.Stats()
	if s.First != 301 || s.Head != 300 || s.Events != 0 || s.Bytes != 0 {
		t.Errorf("stats %+v", s)
	}
	for _, rooms := range [][]string{nil, {}, {"r3"}} {
		if h, err := l.HeadOf(t.Context(), rooms); err != nil || h != 0 {
			t.Errorf("HeadOf(%q) = %d, %v", rooms, h, err)
		}
		if p, err := l.Read(t.Context(), eventlog.Query{Rooms: rooms, After: 300}); err != nil || len(p.Events) != 0 {
			t.Errorf("at the head: %d events, %v", len(p.Events), err)
		}
		if p, err := l.Read(t.Context(), eventlog.Query{Rooms: rooms, Reverse: true}); err != nil || len(p.Events) != 0 {
			t.Errorf("in reverse: %d events, %v", len(p.Events), err)
		}
		if _, err := l.Read(t.Context(), eventlog.Query{Rooms: rooms, After: 299}); !errors.Is(err, eventlog.ErrTrimmed) {
			t.Errorf("before the end: %v, want ErrTrimmed", err)
		}
	}
	l.SetRetention(eventlog.Retention{})
	if first := appendAll(t, l, record("x", "r3")); first != 301 {
		t.Errorf("the next event has sequence %d, want 301", first)
	}
	wantSeqs(t, "the next", readAll(t, l, eventlog.Query{After: 300, Rooms: []string{"r3"}}), 301)
}

// testTrimLeavesOthers trims one of three logs that grow side by side.
func testTrimLeavesOthers(t *testing.T, b Backend) {
	s := openStore(t, b)
	// The bound makes parts small, so that those of the three alternate.
	before := openLog(t, s, "before", eventlog.Retention{MaxEvents: 100_000})
	l := openLog(t, s, "log", eventlog.Retention{MaxEvents: 300})
	after := openLog(t, s, "after", eventlog.Retention{MaxBytes: 10 << 20})
	for range 12 {
		fill(t, before, 1500)
		fill(t, l, 400)
		fill(t, after, 1500)
		if err := l.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if l.First() != 12*400-299 {
		t.Errorf("first is %d", l.First())
	}
	wantSeqs(t, "the trimmed log in reverse", readAll(t, l, eventlog.Query{Rooms: []string{}, Reverse: true}), 4800, 4750, 4700, 4650, 4600, 4550)
	for i, other := range []eventlog.Log{before, after} {
		events := readAll(t, other, eventlog.Query{})
		if len(events) != 12*1500 {
			t.Errorf("log %d has %d events", i, len(events))
		}
		rooms := readAll(t, other, eventlog.Query{Rooms: []string{"r7"}})
		if want := 12 * 1500 * 12 / 100; len(rooms) != want {
			t.Errorf("log %d has %d events of a room, want %d", i, len(rooms), want)
		}
	}
}

// testConcurrent has readers, writers and the trimmer at once: a reader sees every event of its rooms in
// order from where it stands, or ErrTrimmed, and never a part.
func testConcurrent(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{MaxEvents: 2000})
	const writers, each = 4, 150
	var (
		writing sync.WaitGroup
		rest    sync.WaitGroup
		stop    = make(chan struct{})
		reads   atomic.Int64
		trimmed atomic.Int64
	)
	// Batches of ten, event i of each in room "i": so sequence and room are tied.
	for range writers {
		writing.Go(func() {
			for range each {
				batch := &eventlog.Batch{}
				for i := range 10 {
					batch.Records = append(batch.Records, record(fmt.Sprint(i), fmt.Sprint("r", i)))
				}
				first, err := l.Append(t.Context(), batch)
				if err != nil || first%10 != 1 {
					t.Errorf("append: %d, %v", first, err)
					return
				}
			}
		})
	}
	rest.Go(func() {
		for n := uint64(0); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			l.SetRetention(eventlog.Retention{MaxEvents: 200 + n*37%1800})
			if err := l.Trim(t.Context()); err != nil {
				t.Errorf("trim: %v", err)
			}
		}
	})
	for k := range 3 {
		rest.Go(func() {
			after := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				head := l.Head()
				events, err := tryReadAll(t.Context(), l, eventlog.Query{
					Rooms: []string{"r3", "r8"}, After: after, Until: head, Limit: 7 + 50*k,
				})
				switch {
				case errors.Is(err, eventlog.ErrTrimmed):
					trimmed.Add(1)
					after = l.Head()
				case err != nil:
					t.Errorf("read: %v", err)
					return
				default:
					reads.Add(1)
					at := after
					for _, e := range events {
						want := at + 1
						for want%10 != 4 && want%10 != 9 {
							want++
						}
						if e.Seq != want {
							t.Errorf("after %d came %d, want %d", at, e.Seq, want)
							return
						}
						at = e.Seq
					}
					if head-at >= 10 && head > at {
						t.Errorf("the read up to %d ended with %d", head, at)
						return
					}
					if k > 0 { // the first reader stays behind until it is trimmed
						after = head
					}
				}
				if _, err := l.HeadOf(t.Context(), []string{"r3"}); err != nil {
					t.Errorf("head of: %v", err)
				}
				if _, err := tryReadAll(t.Context(), l, eventlog.Query{Rooms: []string{"r1"}, Reverse: true, Limit: 20}); err != nil {
					t.Errorf("reverse: %v", err)
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	rest.Wait()
	if l.Head() != writers*each*10 {
		t.Errorf("the head is %d", l.Head())
	}
	t.Logf("%d reads, %d trimmed", reads.Load(), trimmed.Load())
}
