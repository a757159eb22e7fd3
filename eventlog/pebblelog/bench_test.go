package pebblelog

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/eventlog"
)

func benchLog(b *testing.B, r eventlog.Retention) (*Store, eventlog.Log) {
	b.Helper()
	s := mustOpen(b, b.TempDir(), Options{})
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	l, err := s.Open("log", r)
	if err != nil {
		b.Fatal(err)
	}
	return s, l
}

func chatEvent(i int) eventlog.Record {
	return eventlog.Record{
		Rooms: []string{fmt.Sprint("room-", i%5000)},
		Data:  fmt.Appendf(nil, `2["message",{"id":%d,"from":"user-%d","text":"hello %x"}]`, i, i%977, i*2654435761),
	}
}

// BenchmarkAppendBurst submits 10,000 events at once from one goroutine and waits until all are durable.
func BenchmarkAppendBurst(b *testing.B) {
	_, l := benchLog(b, eventlog.Retention{MaxBytes: 64 << 20})
	const burst = 10_000
	records := make([]eventlog.Record, burst)
	for i := range records {
		records[i] = chatEvent(i)
	}
	for b.Loop() {
		var wg sync.WaitGroup
		wg.Add(burst)
		done := func(_ uint64, err error) {
			if err != nil {
				b.Error(err)
			}
			wg.Done()
		}
		for i := range records {
			if err := l.Submit(&eventlog.Batch{Records: records[i : i+1], Done: done}); err != nil {
				b.Fatal(err)
			}
		}
		wg.Wait()
	}
	st := l.Stats()
	b.ReportMetric(float64(burst*b.N)/b.Elapsed().Seconds(), "appends/s")
	b.ReportMetric(float64(st.Appends)/float64(st.Commits), "appends/commit")
}

// BenchmarkAppendLatency appends 100 events a second, one at a time, and beside it times a bare write and
// sync of as many bytes, since the disk is most of it.
func BenchmarkAppendLatency(b *testing.B) {
	_, l := benchLog(b, eventlog.Retention{MaxBytes: 64 << 20})
	f, err := os.Create(b.TempDir() + "/bare")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var took, bare []time.Duration
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; b.Loop(); i++ {
		<-tick.C
		start := time.Now()
		if _, err := l.Append(context.Background(), &eventlog.Batch{Records: []eventlog.Record{chatEvent(i)}}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		start = time.Now()
		if _, err := f.Write(make([]byte, 300)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		bare = append(bare, time.Since(start))
	}
	for name, d := range map[string][]time.Duration{"": took, "bare-": bare} {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds()), name+"p50-us")
		b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), name+"p99-us")
	}
}

// BenchmarkMillion measures what a log of a million events costs: its making, its memory, and recoveries
// from it. HOLDFAST_BENCH_MILLION=1 runs it.
func BenchmarkMillion(b *testing.B) {
	if os.Getenv("HOLDFAST_BENCH_MILLION") == "" {
		b.Skip("set HOLDFAST_BENCH_MILLION=1 to run it")
	}
	const n = 1_000_000
	dir := b.TempDir()
	s := mustOpen(b, dir, Options{})
	idle := rss()
	l, err := s.Open("log", eventlog.Retention{})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for i := 0; i < n; {
		batch := &eventlog.Batch{}
		for ; len(batch.Records) < 500; i++ {
			batch.Records = append(batch.Records, chatEvent(i))
		}
		if _, err := l.Append(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d events in %v, %d MB on disk", n, time.Since(start).Round(time.Millisecond), s.Size()>>20)
	// 100 missed in 3 rooms, spread over the last 170,000 events; every room has one event in 5000.
	rooms := []string{"room-7", "room-77", "room-777"}
	after := uint64(n - 34*5000)
	b.Logf("RSS %d MB idle, %d MB with the log open", idle>>20, rss()>>20)
	read := func(b *testing.B, q eventlog.Query, want int) {
		for b.Loop() {
			p, err := l.Read(context.Background(), q)
			if err != nil || len(p.Events) < want || len(p.Events) > want+5 {
				b.Fatal(len(p.Events), err)
			}
		}
	}
	b.Run("Missed100Of3RoomsCold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			s = mustOpen(b, dir, Options{})
			if l, err = s.Open("log", eventlog.Retention{}); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if p, err := l.Read(context.Background(), eventlog.Query{Rooms: rooms, After: after}); err != nil || len(p.Events) < 100 {
				b.Fatal(len(p.Events), err)
			}
		}
	})
	b.Run("Missed100Of3Rooms", func(b *testing.B) { read(b, eventlog.Query{Rooms: rooms, After: after}, 100) })
	b.Run("Missed600Of3RoomsFromTheStart", func(b *testing.B) { read(b, eventlog.Query{Rooms: rooms, Limit: 10_000}, 600) })
	b.Run("MissedNone", func(b *testing.B) { read(b, eventlog.Query{Rooms: rooms, After: n}, 0) })
	b.Run("MissedNoneOf4000", func(b *testing.B) {
		read(b, eventlog.Query{Rooms: []string{"room-1", "room-2", "room-3"}, After: n - 4000}, 0)
	})
	b.Run("HeadOf", func(b *testing.B) {
		for b.Loop() {
			if h, err := l.HeadOf(context.Background(), rooms); err != nil || h == 0 {
				b.Fatal(h, err)
			}
		}
	})
	b.Run("HeadOfQuietRooms", func(b *testing.B) {
		for b.Loop() {
			if h, err := l.HeadOf(context.Background(), []string{"x", "y", "z"}); err != nil || h != 0 {
				b.Fatal(h, err)
			}
		}
	})
	b.Logf("RSS %d MB after the reads", rss()>>20)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// rss is the resident memory of the process, in bytes.
func rss() int64 {
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}
