package pebblelog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/eventlog"
)

// TestFailingWrites fails every kind of file, in every way that a disk does, under load: publishers get an
// error, reading goes on, and once writing works the store goes on with exactly what was acknowledged.
func TestFailingWrites(t *testing.T) {
	t.Parallel()
	for _, match := range []string{".log", ".log.sync", "MANIFEST", "MANIFEST-", ".sst", ".", ""} {
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
			t.Run(fmt.Sprintf("%q %v", match, cause), func(t *testing.T) {
				t.Parallel()
				testFailingWrites(t, match, cause)
			})
		}
	}
}

func testFailingWrites(t *testing.T, match string, cause error) {
	fs := newFaultyFS(vfs.NewCrashableMem())
	o := Options{fs: fs, MemTableSize: 64 << 10, retryAfter: 5 * time.Millisecond}
	s := mustOpen(t, "data", o)
	l, err := s.Open("log", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	f := startFiller(t, l, 300)
	for range 3 {
		before := f.acked.Load()
		waitFor(t, "progress", func() bool { return f.acked.Load() > before+300 })
		fs.hits.Store(0)
		fs.fail(match, cause)
		// Tables and manifests are written in the background only.
		waitFor(t, "the failure", func() bool { return fs.hits.Load() > 0 })
		waitFor(t, "Err", func() bool { return s.Err() != nil && l.Err() != nil })
		if err := s.Err(); errors.Is(err, eventlog.ErrFull) != errors.Is(cause, syscall.ENOSPC) {
			t.Errorf("Err is %v for %v", err, cause)
		}
		refused := f.full.Load()
		waitFor(t, "refusals", func() bool { return f.full.Load() > refused+10 })
		if _, err := l.Read(t.Context(), eventlog.Query{After: l.Head() - 1}); err != nil {
			t.Errorf("reading while the disk fails: %v", err)
		}
		if _, err := l.Get(t.Context(), "w0"); err != nil {
			t.Errorf("state while the disk fails: %v", err)
		}
		fs.fail("", nil)
		waitFor(t, "healing", func() bool { return s.Err() == nil && l.Err() == nil })
	}
	before := f.acked.Load()
	waitFor(t, "progress", func() bool { return f.acked.Load() > before+300 })
	f.end()
	f.verify()
	if st := l.Stats(); st.Full || st.Failures == 0 {
		t.Errorf("stats %+v", st)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	// And again from what a crash would leave now.
	o.fs = fs.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	s = mustOpen(t, "data", o)
	defer s.Close()
	if f.l, err = s.Open("log", eventlog.Retention{}); err != nil {
		t.Fatal(err)
	}
	f.verify()
}

// TestCloseWhileFailing closes a store whose disk fails, and opens it again when that is over.
func TestCloseWhileFailing(t *testing.T) {
	for _, match := range []string{".log", "", ".sst"} {
		fs := newFaultyFS(vfs.NewMem())
		o := Options{fs: fs, MemTableSize: 64 << 10, retryAfter: 5 * time.Millisecond}
		s, f := filling(t, o)
		waitFor(t, "progress", func() bool { return f.acked.Load() > 300 })
		fs.fail(match, syscall.ENOSPC)
		waitFor(t, "the failure", func() bool { return fs.hits.Load() > 0 })
		f.end()
		if err := s.Close(); err != nil {
			t.Errorf("%q: close: %v", match, err)
		}
		// It can be opened on the full disk too, and is read.
		s = mustOpen(t, "data", o)
		var err error
		if f.l, err = s.Open("log", eventlog.Retention{}); err != nil {
			t.Fatal(err)
		}
		one := &eventlog.Batch{Records: []eventlog.Record{{Data: []byte("x")}}}
		if p, err := f.l.Read(t.Context(), eventlog.Query{}); err != nil || len(p.Events) == 0 {
			t.Errorf("%q: read on a full disk: %d events, %v", match, len(p.Events), err)
		}
		waitFor(t, "a refusal", func() bool {
			_, err := f.l.Append(t.Context(), one)
			return errors.Is(err, eventlog.ErrFull)
		})
		fs.fail("", nil)
		waitFor(t, "healing", func() bool { return s.Err() == nil })
		if _, err := f.l.Append(t.Context(), one); err != nil {
			t.Errorf("%q: append after healing: %v", match, err)
		}
		head := f.l.Head()
		f.mu.Lock()
		for seq := range f.data {
			if seq > head {
				t.Errorf("%q: event %d was acknowledged, the head is %d", match, seq, head)
			}
		}
		f.mu.Unlock()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestKilledWhileFailing ends a store whose disk fails, without a chance to heal: what was refused does not come back
// with the next one, which finds all that was written, synced or not, as after kill -9.
func TestKilledWhileFailing(t *testing.T) {
	t.Parallel()
	for _, match := range []string{".sst", ".log", ".log.sync", "MANIFEST", ""} {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q closed %v", match, closed), func(t *testing.T) {
				t.Parallel()
				for range 20 {
					testKilledWhileFailing(t, match, closed)
				}
			})
		}
	}
}

func testKilledWhileFailing(t *testing.T, match string, closed bool) {
	disk := vfs.NewMem()
	fs := newFaultyFS(disk)
	o := Options{fs: fs, MemTableSize: 64 << 10, retryAfter: time.Hour}
	s, f := filling(t, o)
	waitFor(t, "progress", func() bool { return f.acked.Load() > 100 })
	fs.fail(match, syscall.ENOSPC)
	waitFor(t, "refusals", func() bool { return f.full.Load() > 3 })
	f.end()
	if closed {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	} else {
		defer s.Close()
	}
	after := vfs.NewMem()
	if ok, err := vfs.Clone(disk, after, "data", "data"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	o.fs = after
	s = mustOpen(t, "data", o)
	defer s.Close()
	var err error
	if f.l, err = s.Open("log", eventlog.Retention{}); err != nil {
		t.Fatal(err)
	}
	f.verify()
}

// filling is a new store with a filler at work.
func filling(t *testing.T, o Options) (*Store, *filler) {
	t.Helper()
	s := mustOpen(t, "data", o)
	l, err := s.Open("log", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	return s, startFiller(t, l, 300)
}

// TestTruncate cuts a file of the operating system, and one of another file system.
func TestTruncate(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"in place": vfs.Default, "as a copy": vfs.NewMem()} {
		dir := t.TempDir()
		file := fs.PathJoin(dir, "000001.log")
		if err := fs.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		w, err := fs.Create(file, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("kept and refused")); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Close(), truncate(fs, file, 4), truncate(fs, file+".gone", 4)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r, err := fs.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "kept" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		_ = r.Close()
	}
}

// TestReserve holds the store to the room it leaves free.
func TestReserve(t *testing.T) {
	fs := newFaultyFS(vfs.NewMem())
	s := mustOpen(t, "data", Options{fs: fs, Reserve: 100 << 20, retryAfter: time.Millisecond})
	defer s.Close()
	fs.free.Store(200 << 20)
	l, err := s.Open("log", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	one := func() error {
		_, err := l.Append(t.Context(), &eventlog.Batch{
			Records: []eventlog.Record{{Data: []byte("x")}}, Put: []eventlog.KV{{Key: "k"}},
		})
		return err
	}
	for range 5 {
		if err := one(); err != nil {
			t.Fatal(err)
		}
	}
	fs.free.Store(99 << 20)
	if err := one(); !errors.Is(err, eventlog.ErrFull) || !errors.Is(s.Err(), eventlog.ErrFull) || !l.Stats().Full {
		t.Errorf("below the reserve: %v, Err %v", err, s.Err())
	}
	if _, err := s.Open("another", eventlog.Retention{}); !errors.Is(err, eventlog.ErrFull) {
		t.Errorf("a new log below the reserve: %v", err)
	}
	if p, err := l.Read(t.Context(), eventlog.Query{}); err != nil || len(p.Events) != 5 {
		t.Errorf("read: %d events, %v", len(p.Events), err)
	}
	// What makes room is taken.
	if _, err := l.Append(t.Context(), &eventlog.Batch{Delete: []string{"k"}}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := l.Append(t.Context(), &eventlog.Batch{Put: []eventlog.KV{{Key: "cursor"}}, Frees: true}); err != nil {
		t.Errorf("a batch that frees: %v", err)
	}
	l.SetRetention(eventlog.Retention{MaxEvents: 2})
	if err := l.Trim(t.Context()); err != nil || l.First() != 4 {
		t.Errorf("trim: %v, first is %d", err, l.First())
	}
	fs.free.Store(10 << 20)
	if _, err := l.Append(t.Context(), &eventlog.Batch{Delete: []string{"k"}}); !errors.Is(err, eventlog.ErrFull) {
		t.Errorf("delete with next to no room: %v", err)
	}
	fs.free.Store(101 << 20) // it doesn't go on and off
	if err := one(); !errors.Is(err, eventlog.ErrFull) {
		t.Errorf("just above the reserve: %v", err)
	}
	fs.free.Store(120 << 20)
	waitFor(t, "healing", func() bool { return s.Err() == nil })
	if err := one(); err != nil {
		t.Errorf("after healing: %v", err)
	}
}

// TestStalledDisk bounds what waits for a disk that has stalled.
func TestStalledDisk(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{MaxPending: 10_000})
	defer s.Close()
	l, err := s.Open("log", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	var order []int
	var kept, refused int
	var wg sync.WaitGroup
	const n = 20_000
	wg.Add(n)
	for i := range n {
		err := l.Submit(&eventlog.Batch{
			Records: []eventlog.Record{{Data: make([]byte, 100)}},
			Done: func(_ uint64, err error) {
				defer wg.Done()
				if i == 0 {
					<-hold // the answers wait, then the groups behind them, then what is submitted
				}
				order = append(order, i)
				switch {
				case err == nil:
					kept++
				case errors.Is(err, eventlog.ErrFull):
					refused++
				default:
					t.Error(err)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	wg.Wait()
	for i, k := range order {
		if i != k {
			t.Fatalf("answer %d is for batch %d", i, k)
		}
	}
	if kept == 0 || refused == 0 || l.Head() != uint64(kept) {
		t.Errorf("%d kept, %d refused, head %d", kept, refused, l.Head())
	}
}

// TestSmallFileSystem fills a real file system, with the store's own events and with another file.
func TestSmallFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		// Busy means that the store left a file open.
		if err := syscall.Unmount(dir, 0); err != nil {
			fds, _ := filepath.Glob("/proc/self/fd/*")
			for _, fd := range fds {
				if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir) {
					t.Logf("open: %s", name)
				}
			}
			t.Errorf("unmount: %v", err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	for _, reserve := range []int64{0, -1} {
		t.Run(fmt.Sprint("reserve ", reserve), func(t *testing.T) {
			data := filepath.Join(dir, fmt.Sprint("data", reserve))
			defer os.RemoveAll(data)
			s := mustOpen(t, data, Options{Reserve: reserve, retryAfter: 10 * time.Millisecond})
			l, err := s.Open("log", eventlog.Retention{})
			if err != nil {
				t.Fatal(err)
			}
			f := startFiller(t, l, 2000)
			waitFor(t, "a full store", func() bool { return f.full.Load() > 20 })
			if err := s.Err(); !errors.Is(err, eventlog.ErrFull) {
				t.Errorf("Err is %v", err)
			}
			f.verifyAcked()
			// Room comes back because events may go.
			l.SetRetention(eventlog.Retention{MaxBytes: 8 << 20})
			if err := l.Trim(t.Context()); err != nil && !errors.Is(err, eventlog.ErrFull) {
				t.Errorf("trim: %v", err)
			}
			if reserve == 0 {
				before := f.acked.Load()
				waitFor(t, "room by trimming", func() bool { return f.acked.Load() > before+100 })
				// Another file takes all that is left, at once: real ENOSPC, with and without a warning.
				other := filepath.Join(dir, "other")
				if err := os.WriteFile(other, make([]byte, 48<<20), 0o600); err == nil {
					t.Error("the file system is larger than it should be")
				}
				refused := f.full.Load()
				waitFor(t, "refusals", func() bool { return f.full.Load() > refused+20 })
				f.verifyAcked()
				if err := os.Remove(other); err != nil {
					t.Fatal(err)
				}
				before = f.acked.Load()
				waitFor(t, "room again", func() bool { return f.acked.Load() > before+100 })
			}
			f.end()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
