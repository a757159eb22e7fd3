package logtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/eventlog"
)

func testAppend(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	if l.Epoch() == 0 {
		t.Error("the epoch is 0")
	}
	if l.Head() != 0 || l.First() != 1 {
		t.Errorf("an empty log has head %d and first %d, want 0 and 1", l.Head(), l.First())
	}
	if first := appendAll(t, l, record("a", "x"), record("b", "")); first != 1 {
		t.Errorf("the first event has sequence %d", first)
	}
	if first := appendAll(t, l); first != 2 {
		t.Errorf("a batch without records is told %d, want the head 2", first)
	}
	if first := appendAll(t, l, record("c", "y")); first != 3 {
		t.Errorf("the third event has sequence %d", first)
	}
	events := readAll(t, l, eventlog.Query{})
	wantSeqs(t, "all", events, 1, 2, 3)
	if got := texts(events); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("read %q", got)
	}
	st := l.Stats()
	if st.First != 1 || st.Head != 3 || st.Events != 3 || st.Appends != 3 || st.Bytes <= 0 || st.Full {
		t.Errorf("stats %+v", st)
	}
	if l.Err() != nil {
		t.Errorf("Err is %v", l.Err())
	}
}

func testDoneInOrder(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	const writers, each = 8, 300
	var (
		mu    sync.Mutex
		next  = uint64(1) // what the next Done must be told
		last  [writers]int
		busy  bool
		wg    sync.WaitGroup
		calls sync.WaitGroup
	)
	calls.Add(writers * each)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				n := (w+i)%3 + 1
				err := l.Submit(&eventlog.Batch{
					Records: slices.Repeat([]eventlog.Record{record("x", "r")}, n),
					Done: func(first uint64, err error) {
						defer calls.Done()
						mu.Lock()
						defer mu.Unlock()
						if busy {
							t.Error("two Done at once")
						}
						busy = true
						if err != nil || first != next {
							t.Errorf("Done(%d, %v), want %d", first, err, next)
						}
						next = first + uint64(n)
						if last[w] != i {
							t.Errorf("writer %d: Done of batch %d in place of %d", w, i, last[w])
						}
						last[w]++
						busy = false
					},
				})
				if err != nil {
					t.Errorf("submit: %v", err)
					calls.Done()
				}
			}
		})
	}
	wg.Wait()
	calls.Wait()
}

func testGroupCommit(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	const n = 5000
	// The first Done is held up, so that the rest has to wait and can be committed together.
	hold := make(chan struct{})
	var done sync.WaitGroup
	done.Add(n)
	for i := range n {
		err := l.Submit(&eventlog.Batch{
			Records: []eventlog.Record{record("x", "r")},
			Done: func(_ uint64, err error) {
				if i == 0 {
					<-hold
				}
				if err != nil {
					t.Errorf("done: %v", err)
				}
				done.Done()
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	done.Wait()
	if s := l.Stats(); s.Appends != n || s.Commits > n/10 {
		t.Errorf("%d appends took %d commits", s.Appends, s.Commits)
	}
}

func testBatchIsAtomic(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	// Every batch has three events and a counter; a reader never sees a part.
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if h := l.Head(); h%3 != 0 {
				t.Errorf("the head is %d, within a batch", h)
			}
			p, err := l.Read(t.Context(), eventlog.Query{Limit: 3000})
			if err != nil || len(p.Events)%3 != 0 {
				t.Errorf("read %d events, %v", len(p.Events), err)
			}
		}
	})
	for i := range 300 {
		appendAll(t, l, record("1", "a"), record("2", "b"), record(fmt.Sprint(i), "c"))
	}
	close(stop)
	wg.Wait()
}

func testHeadVisibility(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	var wg sync.WaitGroup
	for range 500 {
		wg.Add(1)
		err := l.Submit(&eventlog.Batch{
			Records: []eventlog.Record{record("x", "r")},
			Done: func(first uint64, _ error) {
				defer wg.Done()
				if l.Head() < first {
					t.Errorf("Done(%d) while the head is %d", first, l.Head())
				}
				if p, err := l.Read(context.Background(), eventlog.Query{After: first - 1, Until: first, Rooms: []string{"r"}}); err != nil || len(p.Events) != 1 {
					t.Errorf("event %d can't be read in its Done: %d events, %v", first, len(p.Events), err)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		// Whatever the head says can be read.
		if h := l.Head(); h > 0 {
			if p, err := l.Read(t.Context(), eventlog.Query{After: h - 1}); err != nil || len(p.Events) == 0 || p.Events[0].Seq != h {
				t.Errorf("the head %d can't be read: %v", h, err)
			}
		}
	}
	wg.Wait()
}

func testAppendContext(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, &eventlog.Batch{Records: []eventlog.Record{record("x", "")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("append with an ended context: %v", err)
	}
	called := false
	_, err := l.Append(t.Context(), &eventlog.Batch{
		Records: []eventlog.Record{record("x", "")},
		Done:    func(uint64, error) { called = true },
	})
	if err != nil || !called {
		t.Errorf("append: %v, its own Done called: %v", err, called)
	}
}

func testFieldsRoundTrip(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	long := strings.Repeat("r", 5000)
	records := []eventlog.Record{
		{},
		{Data: []byte{}},
		{Data: []byte("plain")},
		{Rooms: []string{"a"}, Data: []byte{0, 1, 255}},
		{Rooms: []string{"a", "b", "a"}, Except: []string{"c", ""}, Data: []byte("x")},
		{Rooms: []string{""}, Data: []byte("the empty room is a room")},
		{Rooms: []string{long, "\x00", "\x00\xff", "é"}, Data: bytes.Repeat([]byte("large "), 200_000)},
		{Except: []string{"x"}, Data: []byte("all but x")},
	}
	before := time.Now().Add(-time.Millisecond)
	appendAll(t, l, records...)
	after := time.Now().Add(time.Millisecond)
	events := readAll(t, l, eventlog.Query{MaxBytes: 100 << 20})
	if len(events) != len(records) {
		t.Fatalf("%d events of %d", len(events), len(records))
	}
	for i, e := range events {
		r := records[i]
		if !slices.Equal(e.Rooms, r.Rooms) || !slices.Equal(e.Except, r.Except) || !bytes.Equal(e.Data, r.Data) {
			t.Errorf("event %d differs", i)
		}
		if e.Time.Before(before) || e.Time.After(after) {
			t.Errorf("event %d has time %v, not in %v to %v", i, e.Time, before, after)
		}
	}
	for room, want := range map[string][]uint64{
		"":         {1, 2, 3, 6, 8},
		long:       {1, 2, 3, 7, 8},
		"\x00":     {1, 2, 3, 7, 8},
		"\x00\xff": {1, 2, 3, 7, 8},
		"a":        {1, 2, 3, 4, 5, 8},
		"\xff":     {1, 2, 3, 8},
	} {
		wantSeqs(t, fmt.Sprintf("room %.10q", room), readAll(t, l, eventlog.Query{Rooms: []string{room}}), want...)
	}
}

func testLogsAreApart(t *testing.T, b Backend) {
	s := openStore(t, b)
	one := openLog(t, s, "one", eventlog.Retention{})
	two := openLog(t, s, "two", eventlog.Retention{})
	odd := openLog(t, s, "/chat \x00\xff", eventlog.Retention{MaxEvents: 1})
	if one.Epoch() == two.Epoch() {
		t.Error("two logs have the same epoch")
	}
	var wg sync.WaitGroup
	for i, l := range []eventlog.Log{one, two, odd} {
		wg.Go(func() {
			for k := range 200 {
				_, err := l.Append(t.Context(), &eventlog.Batch{
					Records: []eventlog.Record{record(fmt.Sprint(i), "r")},
					Put:     []eventlog.KV{{Key: fmt.Sprint(k), Value: []byte{byte(i)}}},
				})
				if err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if err := odd.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, l := range []eventlog.Log{one, two} {
		events := readAll(t, l, eventlog.Query{Rooms: []string{"r"}})
		if len(events) != 200 {
			t.Errorf("log %d has %d events", i, len(events))
		}
		for _, e := range events {
			if string(e.Data) != fmt.Sprint(i) {
				t.Fatalf("log %d has an event of log %s", i, e.Data)
			}
		}
		if v, err := l.Get(t.Context(), "7"); err != nil || !bytes.Equal(v, []byte{byte(i)}) {
			t.Errorf("log %d has value %v, %v", i, v, err)
		}
	}
	wantSeqs(t, "the third", readAll(t, odd, eventlog.Query{After: 199}), 200)
}

func testClose(t *testing.T, b Backend) {
	s := openStore(t, b)
	l := openLog(t, s, "log", eventlog.Retention{})
	other := openLog(t, s, "other", eventlog.Retention{})
	appendAll(t, l, record("x", ""))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("the second close: %v", err)
	}
	wantClosed(t, l)
	appendAll(t, other, record("x", ""))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, other)
	if _, err := s.Open("log", eventlog.Retention{}); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("open in a closed store: %v", err)
	}
	if err := s.Err(); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("a closed store's Err: %v", err)
	}
	_ = s.Size()
}

func wantClosed(t *testing.T, l eventlog.Log) {
	t.Helper()
	ctx := t.Context()
	_, errAppend := l.Append(ctx, &eventlog.Batch{})
	_, errRead := l.Read(ctx, eventlog.Query{})
	_, errHead := l.HeadOf(ctx, []string{"x"})
	_, errGet := l.Get(ctx, "x")
	for what, err := range map[string]error{
		"submit": l.Submit(&eventlog.Batch{Done: func(uint64, error) { t.Error("Done of a refused batch") }}),
		"append": errAppend,
		"read":   errRead,
		"headof": errHead,
		"get":    errGet,
		"scan":   l.Scan(ctx, "", "", func(string, []byte) bool { return true }),
		"trim":   l.Trim(ctx),
		"err":    l.Err(),
	} {
		if !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("%s on a closed log: %v", what, err)
		}
	}
	_, _, _, _ = l.Head(), l.First(), l.Epoch(), l.Stats()
	l.SetRetention(eventlog.Retention{})
}

func testCloseCommits(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	var kept int
	for range 1000 {
		err := l.Submit(&eventlog.Batch{
			Records: []eventlog.Record{record("x", "")},
			Done: func(_ uint64, err error) {
				if err != nil {
					t.Errorf("done: %v", err)
				}
				kept++
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if kept != 1000 {
		t.Errorf("Close returned with %d of 1000 batches committed", kept)
	}
}

func testOpenTwice(t *testing.T, b Backend) {
	s := openStore(t, b)
	one := openLog(t, s, "log", eventlog.Retention{})
	two := openLog(t, s, "log", eventlog.Retention{MaxEvents: 5})
	if one != two {
		t.Error("the same name gave two logs")
	}
	fill(t, one, 50)
	if err := one.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if one.First() != 46 {
		t.Errorf("the later retention does not hold: first is %d", one.First())
	}
}
