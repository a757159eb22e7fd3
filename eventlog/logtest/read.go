package logtest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast/eventlog"
)

func testReadRooms(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	appendAll(t, l,
		record("1", "a"),
		record("2", "b"),
		record("3", "a b"),
		record("4", ""),
		record("5", "c"),
		record("6", "ab"),
		record("7", "a"),
	)
	for _, c := range []struct {
		q    eventlog.Query
		want []uint64
	}{
		{eventlog.Query{}, []uint64{1, 2, 3, 4, 5, 6, 7}},
		{eventlog.Query{Rooms: []string{}}, []uint64{4}},
		{eventlog.Query{Rooms: []string{"none"}}, []uint64{4}},
		{eventlog.Query{Rooms: []string{"a"}}, []uint64{1, 3, 4, 7}},
		{eventlog.Query{Rooms: []string{"a", "a"}}, []uint64{1, 3, 4, 7}},
		{eventlog.Query{Rooms: []string{"a", "b"}}, []uint64{1, 2, 3, 4, 7}},
		{eventlog.Query{Rooms: []string{"b", "a"}, After: 2}, []uint64{3, 4, 7}},
		{eventlog.Query{Rooms: []string{"b", "a"}, After: 2, Until: 4}, []uint64{3, 4}},
		{eventlog.Query{Rooms: []string{"b", "a"}, After: 4, Until: 4}, nil},
		{eventlog.Query{Rooms: []string{"b", "a"}, After: 5, Until: 4}, nil},
		{eventlog.Query{Rooms: []string{"c", "ab"}, Reverse: true}, []uint64{6, 5, 4}},
		{eventlog.Query{Rooms: []string{"a"}, Reverse: true, After: 1, Until: 4}, []uint64{4, 3}},
		{eventlog.Query{After: 5}, []uint64{6, 7}},
		{eventlog.Query{After: 7}, nil},
		{eventlog.Query{Reverse: true, Until: 2}, []uint64{2, 1}},
		{eventlog.Query{Until: 100}, []uint64{1, 2, 3, 4, 5, 6, 7}},
	} {
		wantSeqs(t, fmt.Sprintf("%+v", c.q), readAll(t, l, c.q), c.want...)
	}
}

// testReadModel compares random queries with what a plain list says.
func testReadModel(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	rng := rand.New(rand.NewPCG(1, 2))
	room := func() string {
		// Some rooms are busy, most are quiet.
		return fmt.Sprint("room ", int(math.Pow(rng.Float64(), 3)*200))
	}
	const n = 10_000
	var all []eventlog.Record
	for len(all) < n {
		batch := &eventlog.Batch{}
		for range 1 + rng.IntN(400) {
			r := eventlog.Record{Data: fmt.Append(nil, "event ", len(all)+1)}
			if rng.IntN(100) > 0 {
				for range 1 + rng.IntN(3) {
					r.Rooms = append(r.Rooms, room())
				}
			}
			all = append(all, r)
			batch.Records = append(batch.Records, r)
		}
		if _, err := l.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	for range 150 {
		q := eventlog.Query{
			After:   uint64(rng.IntN(len(all))),
			Limit:   5 + rng.IntN(500),
			Reverse: rng.IntN(2) == 0,
		}
		if rng.IntN(2) == 0 {
			q.Until = uint64(1 + rng.IntN(len(all)))
		}
		if rng.IntN(10) > 0 {
			q.Rooms = []string{}
			for range rng.IntN(20) {
				q.Rooms = append(q.Rooms, room())
			}
		}
		var want []uint64
		for i, r := range all {
			seq := uint64(i + 1)
			if seq <= q.After || q.Until > 0 && seq > q.Until {
				continue
			}
			if q.Rooms == nil || len(r.Rooms) == 0 || slices.ContainsFunc(r.Rooms, func(s string) bool { return slices.Contains(q.Rooms, s) }) {
				want = append(want, seq)
			}
		}
		if q.Reverse {
			slices.Reverse(want)
		}
		got := readAll(t, l, q)
		wantSeqs(t, fmt.Sprintf("%+v", q), got, want...)
		for _, e := range got {
			if string(e.Data) != fmt.Sprint("event ", e.Seq) {
				t.Fatalf("event %d has the data %q", e.Seq, e.Data)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func testReadPages(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	fill(t, l, 1000)
	var want []uint64
	for seq := uint64(1); seq <= 1000; seq++ {
		if seq%10 == 3 || seq%10 == 7 || seq%50 == 0 {
			want = append(want, seq)
		}
	}
	rooms := []string{"r3", "r7"}
	for _, limit := range []int{1, 2, 3, 7, 100, len(want) - 1, len(want), len(want) + 1, 0} {
		q := eventlog.Query{Rooms: rooms, Limit: limit}
		wantSeqs(t, fmt.Sprint("limit ", limit), readAll(t, l, q), want...)
		q.Reverse = true
		back := slices.Clone(want)
		slices.Reverse(back)
		wantSeqs(t, fmt.Sprint("reverse, limit ", limit), readAll(t, l, q), back...)
	}
	// More is exact: a page that ends with the last event says so.
	for _, reverse := range []bool{false, true} {
		p, err := l.Read(t.Context(), eventlog.Query{Rooms: rooms, Limit: len(want), Reverse: reverse})
		if err != nil || p.More {
			t.Errorf("all events in one page (reverse %v): more %v, %v", reverse, p.More, err)
		}
		p, err = l.Read(t.Context(), eventlog.Query{Rooms: rooms, Limit: len(want) - 1, Reverse: reverse})
		if err != nil || !p.More {
			t.Errorf("all events but one (reverse %v): more %v, %v", reverse, p.More, err)
		}
	}
	// A reader that is up to date goes on from Next.
	p, err := l.Read(t.Context(), eventlog.Query{Rooms: rooms, After: 997})
	if err != nil || p.More || p.Next != 1000 {
		t.Errorf("the last page: %+v, %v; want Next 1000", p, err)
	}
	p, err = l.Read(t.Context(), eventlog.Query{Rooms: rooms, After: 10, Until: 500})
	if err != nil || p.More || p.Next != 500 {
		t.Errorf("the last page up to 500: Next %d, %v", p.Next, err)
	}
	// The backend's own bound holds too.
	fill(t, l, 20_000)
	p, err = l.Read(t.Context(), eventlog.Query{})
	if err != nil || !p.More || len(p.Events) == 0 || len(p.Events) > 10_000 {
		t.Errorf("without a limit: %d events, more %v, %v", len(p.Events), p.More, err)
	}
}

func testReadMaxBytes(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	for range 20 {
		appendAll(t, l, eventlog.Record{Data: make([]byte, 1000)})
	}
	for _, reverse := range []bool{false, true} {
		p, err := l.Read(t.Context(), eventlog.Query{MaxBytes: 3500, Reverse: reverse})
		if err != nil || len(p.Events) != 3 || !p.More {
			t.Errorf("3500 bytes: %d events, more %v, %v", len(p.Events), p.More, err)
		}
		p, err = l.Read(t.Context(), eventlog.Query{MaxBytes: 10, Reverse: reverse})
		if err != nil || len(p.Events) != 1 || !p.More {
			t.Errorf("an event larger than the bound: %d events, more %v, %v; want that one", len(p.Events), p.More, err)
		}
		if all := readAll(t, l, eventlog.Query{MaxBytes: 1999, Reverse: reverse}); len(all) != 20 {
			t.Errorf("by one: %d events", len(all))
		}
	}
}

func testReadBeyondHead(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	for _, q := range []eventlog.Query{{}, {After: 7}, {Reverse: true}, {Rooms: []string{"x"}, After: math.MaxUint64}} {
		if p, err := l.Read(t.Context(), q); err != nil || len(p.Events) != 0 || p.More {
			t.Errorf("an empty log, %+v: %+v, %v", q, p, err)
		}
	}
	fill(t, l, 3)
	for _, q := range []eventlog.Query{
		{After: 3},
		{After: 4},
		{After: math.MaxUint64},
		{After: math.MaxUint64 - 1, Rooms: []string{"x"}},
		{After: math.MaxUint64, Reverse: true},
	} {
		if p, err := l.Read(t.Context(), q); err != nil || len(p.Events) != 0 || p.More {
			t.Errorf("%+v: %+v, %v", q, p, err)
		}
	}
}

func testHeadOf(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	head := func(rooms []string, want uint64) {
		t.Helper()
		if got, err := l.HeadOf(t.Context(), rooms); err != nil || got != want {
			t.Errorf("HeadOf(%q) = %d, %v; want %d", rooms, got, err, want)
		}
	}
	head(nil, 0)
	head([]string{"a"}, 0)
	appendAll(t, l, record("", "a"), record("", "b"), record("", "a c"), record("", "d"))
	head(nil, 4)
	head([]string{}, 0)
	head([]string{"none"}, 0)
	head([]string{"a"}, 3)
	head([]string{"b"}, 2)
	head([]string{"b", "c"}, 3)
	appendAll(t, l, record("", ""), record("", "a"))
	head([]string{}, 5)
	head([]string{"none"}, 5)
	head([]string{"b"}, 5)
	head([]string{"a", "b"}, 6)
	fill(t, l, 20_000) // everyone's last is 20,000
	head([]string{"b"}, 20_000)
	head([]string{"r5"}, 20_005)
	l.SetRetention(eventlog.Retention{MaxEvents: 3})
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	head([]string{"b"}, 0)
	head([]string{"r5"}, 20_005)
}

func testIndexMeetsTrimmed(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	fill(t, l, 3000)
	for _, keep := range []uint64{2999, 2000, 1000, 501, 500, 30, 3, 1} {
		l.SetRetention(eventlog.Retention{MaxEvents: keep})
		if err := l.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		first := 3001 - keep
		if l.First() != first {
			t.Fatalf("keep %d: first is %d", keep, l.First())
		}
		var want []uint64
		for seq := first; seq <= 3000; seq++ {
			if seq%10 == 3 || seq%10 == 7 || seq%50 == 0 {
				want = append(want, seq)
			}
		}
		rooms := []string{"r3", "r7"}
		wantSeqs(t, fmt.Sprint("keep ", keep), readAll(t, l, eventlog.Query{Rooms: rooms, After: first - 1, Limit: 100}), want...)
		slices.Reverse(want)
		wantSeqs(t, fmt.Sprint("reverse, keep ", keep), readAll(t, l, eventlog.Query{Rooms: rooms, Reverse: true, Limit: 100}), want...)
		if _, err := l.Read(t.Context(), eventlog.Query{Rooms: rooms, After: first - 2}); !errors.Is(err, eventlog.ErrTrimmed) {
			t.Errorf("after %d of first %d: %v, want ErrTrimmed", first-2, first, err)
		}
		if _, err := l.Read(t.Context(), eventlog.Query{}); !errors.Is(err, eventlog.ErrTrimmed) {
			t.Errorf("from the start: %v, want ErrTrimmed", err)
		}
	}
}
