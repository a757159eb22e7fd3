package pebblelog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"holdfast/eventlog"
)

// TestStaysWithinBytes gives a log ten times its byte bound, in data that doesn't compress, and looks at
// the disk all the while.
func TestStaysWithinBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("writes hundreds of megabytes")
	}
	bounds, sizes := []int64{16 << 20}, []int{2000}
	if os.Getenv("HOLDFAST_BENCH_MILLION") != "" {
		bounds, sizes = append(bounds, 64<<20), append(sizes, 100)
	}
	for _, bound := range bounds {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%dMB/%dB", bound>>20, size), func(t *testing.T) { testStaysWithinBytes(t, bound, size) })
		}
	}
}

func testStaysWithinBytes(t *testing.T, bound int64, size int) {
	s := mustOpen(t, t.TempDir(), Options{})
	defer s.Close()
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
		b := &eventlog.Batch{}
		for range 100_000 / size {
			at := rng.IntN(len(random) - size)
			r := eventlog.Record{Rooms: []string{fmt.Sprint("room ", rng.IntN(1000))}, Data: random[at : at+size]}
			b.Records = append(b.Records, r)
			written += r.Size()
		}
		if _, err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
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
