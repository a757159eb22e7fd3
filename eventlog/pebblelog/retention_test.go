package pebblelog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/eventlog"
)

// TestStaysWithinBytes gives a log ten times its byte bound, in data that doesn't compress, and looks at
// the disk all the while. Beside it are a log
// without a bound, as that of the queues, and one that is empty.
func TestStaysWithinBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("writes hundreds of megabytes")
	}
	all := os.Getenv("HOLDFAST_BENCH_MILLION") != ""
	for _, bound := range []int64{8 << 20, 16 << 20, 64 << 20} {
		for _, size := range []int{100, 2000, 16 << 10, 64 << 10} {
			if usual := bound == 8<<20 && size == 16<<10 || bound == 16<<20 && size == 2000; !usual && !all {
				continue
			}
			t.Run(fmt.Sprintf("%dMB/%dB", bound>>20, size), func(t *testing.T) { testStaysWithinBytes(t, bound, size) })
		}
	}
}

func testStaysWithinBytes(t *testing.T, bound int64, size int) {
	s := mustOpen(t, t.TempDir(), Options{})
	defer s.Close()
	for name, r := range map[string]eventlog.Retention{"queues": {}, "quiet": {MaxBytes: bound}} {
		if _, err := s.Open(name, r); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.Open("log", eventlog.Retention{MaxBytes: bound})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	random := make([]byte, 1<<20)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	start := time.Now()
	peak := int64(0)
	for written := int64(0); written < 10*bound; {
		var wg sync.WaitGroup
		for range max(24, 100_000/size) {
			at := rng.IntN(len(random) - size)
			r := eventlog.Record{Rooms: []string{fmt.Sprint("room ", rng.IntN(1000))}, Data: random[at : at+size]}
			written += r.Size()
			wg.Add(1)
			done := func(_ uint64, err error) {
				if err != nil {
					t.Error(err)
				}
				wg.Done()
			}
			if err := l.Submit(&eventlog.Batch{Records: []eventlog.Record{r}, Done: done}); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		peak = max(peak, s.Size())
	}
	st := l.Stats()
	t.Logf("%d MB in %v: at most %.2f of the bound on disk, %.2f at the end, events of %.2f held",
		10*bound>>20, time.Since(start).Round(time.Millisecond), float64(peak)/float64(bound), float64(s.Size())/float64(bound), float64(st.Bytes)/float64(bound))
	if peak > bound*12/10 {
		t.Errorf("%d bytes on disk under a bound of %d", peak, bound)
	}
	if st.Bytes < bound/2 {
		t.Errorf("only %d bytes of events are held under a bound of %d", st.Bytes, bound)
	}
}

// TestRowsOfNoSegmentGo has rows in the store that were trimmed, and that a crash kept from being deleted:
// they go when it is opened, and what is held stays.
func TestRowsOfNoSegmentGo(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	retention := eventlog.Retention{MaxEvents: 2 * minSegmentEvents}
	l, err := s.Open("log", retention)
	if err != nil {
		t.Fatal(err)
	}
	events := slices.Repeat([]eventlog.Record{{Rooms: []string{"a"}, Data: []byte("x")}}, 8*minSegmentEvents)
	if _, err := l.Append(t.Context(), &eventlog.Batch{Records: events}); err != nil {
		t.Fatal(err)
	}
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	segments := *l.(*Log).segments.Load()
	oldest, newest := segments[0].id, segments[len(segments)-1].id
	first, head := l.First(), l.Head()
	if oldest < 2 || first == 1 {
		t.Fatalf("nothing was trimmed: %+v", segments)
	}
	for _, id := range []uint64{0, oldest - 1, newest + 1} {
		stray := segmentMeta{first: 1, id: id}
		if err := s.db.Set(stray.appendEventKey(nil, 7), []byte("trimmed"), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = mustOpen(t, dir, Options{})
	defer s.Close()
	if gaps, err := s.findGaps(); err != nil || len(gaps) != 0 {
		t.Fatal("still there:", gaps, err)
	}
	if l, err = s.Open("log", retention); err != nil {
		t.Fatal(err)
	}
	p, err := l.Read(t.Context(), eventlog.Query{Rooms: []string{"a"}, After: first - 1, Limit: 8 * minSegmentEvents})
	if err != nil || uint64(len(p.Events)) != head+1-first {
		t.Fatalf("%d of the events %d to %d are left: %v", len(p.Events), first, head, err)
	}
}
