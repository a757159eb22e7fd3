package eventlog_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/eventlog"
	"holdfast/eventlog/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	logtest.Run(t, logtest.Backend{Open: func(*testing.T) eventlog.Store { return eventlog.NewMemory() }})
}

func TestMemoryTrimsByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := eventlog.NewMemory()
		defer s.Close()
		l, err := s.Open("log", eventlog.Retention{MaxAge: 10 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			if _, err := l.Append(t.Context(), &eventlog.Batch{Records: []eventlog.Record{{Data: []byte("x")}}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		// A sixteenth of the age is the task's rhythm.
		if n := l.Stats().Events; n < 9 || n > 11 {
			t.Errorf("%d events of the last 10 minutes are held", n)
		}
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if n := l.Stats().Events; n != 0 {
			t.Errorf("%d events are held past their age", n)
		}
	})
}

// TestMemoryIsCompact holds a log of small events to a size: a million of them must leave room for the
// rest of the process in 150 MB.
func TestMemoryIsCompact(t *testing.T) {
	if testing.Short() {
		t.Skip("a million events")
	}
	const n = 1_000_000
	s := eventlog.NewMemory()
	defer s.Close()
	l, err := s.Open("log", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; {
		b := &eventlog.Batch{}
		for ; len(b.Records) < 1000; i++ {
			b.Records = append(b.Records, eventlog.Record{
				Rooms: []string{fmt.Sprint("room-", i%5000)},
				Data:  fmt.Appendf(nil, `2["message",{"id":%d,"from":"user-%d","text":"hello %x"}]`, i, i%977, i*2654435761),
			})
		}
		if _, err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d MB live for %d events of %d MB", m.HeapAlloc>>20, n, l.Stats().Bytes>>20)
	if m.HeapAlloc > 70<<20 {
		t.Errorf("%d MB live for a million events", m.HeapAlloc>>20)
	}
	// Trimmed rooms leave the index.
	l.SetRetention(eventlog.Retention{MaxEvents: 1})
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 10<<20 {
		t.Errorf("%d MB live after all but one were trimmed", m.HeapAlloc>>20)
	}
}
