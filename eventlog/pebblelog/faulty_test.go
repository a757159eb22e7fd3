package pebblelog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/eventlog"
)

// faultyFS fails writes of files on command: those whose base name contains what match says.
type faultyFS struct {
	vfs.FS
	mu    sync.Mutex
	err   error
	match string
	hits  atomic.Int64
	free  atomic.Int64 // what GetDiskUsage answers, negative for the truth
}

func newFaultyFS(fs vfs.FS) *faultyFS {
	f := &faultyFS{FS: fs}
	f.free.Store(-1)
	return f
}

func (f *faultyFS) fail(match string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.match, f.err = match, err
}

func (f *faultyFS) check(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && strings.Contains(filepath.Base(name), f.match) {
		f.hits.Add(1)
		return f.err
	}
	return nil
}

func (f *faultyFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if n := f.free.Load(); n >= 0 {
		return vfs.DiskUsage{AvailBytes: uint64(n), TotalBytes: 1 << 30}, nil
	}
	return f.FS.GetDiskUsage(path)
}

func (f *faultyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.check(name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, c)
	return &faultyFile{file, f, name}, err
}

func (f *faultyFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.check(newname); err != nil {
		return nil, err
	}
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	return &faultyFile{file, f, newname}, err
}

func (f *faultyFS) Rename(oldname, newname string) error {
	if err := f.check(newname); err != nil {
		return err
	}
	return f.FS.Rename(oldname, newname)
}

// Truncate works while writing fails: it needs no room.
func (f *faultyFS) Truncate(name string, length int64) error {
	return truncateCopy(f.FS, name, length)
}

type faultyFile struct {
	vfs.File
	fs   *faultyFS
	name string
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.fs.check(f.name); err != nil {
		n, _ := f.File.Write(p[:len(p)/2]) // a part may be written
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.check(f.name + ".sync"); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) SyncData() error {
	if err := f.fs.check(f.name + ".sync"); err != nil {
		return err
	}
	return f.File.SyncData()
}

// filler appends from several goroutines and knows what was acknowledged.
type filler struct {
	t     *testing.T
	l     eventlog.Log
	acked atomic.Uint64
	full  atomic.Int64
	stop  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup

	mu   sync.Mutex
	data map[uint64]string // acknowledged events by sequence
}

func startFiller(t *testing.T, l eventlog.Log, size int) *filler {
	f := &filler{t: t, l: l, stop: make(chan struct{}), data: make(map[uint64]string)}
	for w := range 3 {
		f.wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 9))
			noise := make([]byte, size)
			for n := 0; ; n++ {
				select {
				case <-f.stop:
					return
				default:
				}
				for i := range noise {
					noise[i] = byte(rng.Uint32())
				}
				text := fmt.Sprintf("%d %d %x", w, n, noise)
				first, err := f.l.Append(t.Context(), &eventlog.Batch{
					Records: []eventlog.Record{{Rooms: []string{"r"}, Data: []byte(text)}},
					Put:     []eventlog.KV{{Key: fmt.Sprint("w", w), Value: []byte(text)}},
				})
				switch {
				case err == nil:
					f.mu.Lock()
					f.data[first] = text
					f.mu.Unlock()
					f.acked.Add(1)
				case errors.Is(err, eventlog.ErrFull), errors.Is(err, eventlog.ErrWrite):
					f.full.Add(1)
					time.Sleep(time.Millisecond)
				default:
					select {
					case <-f.stop:
					default:
						t.Errorf("append: %v", err)
					}
					return
				}
			}
		})
	}
	t.Cleanup(f.end)
	return f
}

// verify reads the whole log: exactly what was acknowledged is in it.
func (f *filler) verify() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := 0
	q := eventlog.Query{After: f.l.First() - 1, Rooms: []string{"r"}}
	for {
		p, err := f.l.Read(f.t.Context(), q)
		if err != nil {
			f.t.Fatalf("read: %v", err)
		}
		for _, e := range p.Events {
			seen++
			if want, ok := f.data[e.Seq]; !ok || want != string(e.Data) {
				f.t.Errorf("event %d (%.20q) was not acknowledged as such (%.20q)", e.Seq, e.Data, want)
			}
		}
		if !p.More {
			break
		}
		q.After = p.Next
	}
	if seen != len(f.data) {
		f.t.Errorf("%d events are there, %d were acknowledged", seen, len(f.data))
	}
}

func (f *filler) end() {
	f.once.Do(func() { close(f.stop) })
	f.wg.Wait()
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 60 s: %s", what)
		}
	}
}

// verifyAcked reads what the log holds and compares it with what was acknowledged.
func (f *filler) verifyAcked() {
	f.t.Helper()
	head := f.l.Head()
	p, err := f.l.Read(f.t.Context(), eventlog.Query{Until: head, Reverse: true, Limit: 200})
	if err != nil || len(p.Events) == 0 {
		f.t.Errorf("read: %d events, %v", len(p.Events), err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range p.Events[1:] { // the answer to the newest may be on its way
		if want, ok := f.data[e.Seq]; ok && want != string(e.Data) {
			f.t.Errorf("event %d is %.20q, acknowledged was %.20q", e.Seq, e.Data, want)
		}
	}
}
