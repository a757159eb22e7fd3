package pebblelog

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guard is the file system that one opening of the database sees. Pebble takes a failed write to its
// write-ahead log or manifest for the end: it panics or calls Fatalf; and when it can't flush, it makes
// whoever commits wait.
//
// At the first failed write the guard freezes: from then on nothing changes on disk any more. Writes,
// renames and removals are answered as if done; what is flushed goes to memory, and only compactions
// fail, which is what Pebble can take. The disk is left as a crash at that moment would leave it, the
// database in memory can still be read and closed, and another one, with a new guard, can be opened once
// writing works again.
//
// Whoever commits must look at lost after every commit, before it is acknowledged.
type guard struct {
	vfs.FS

	frozen atomic.Bool
	// lost counts writes and syncs of write-ahead logs that were answered as if done.
	lost atomic.Uint64

	mu      sync.Mutex
	cause   error                // of the freeze
	logs    map[string]*logState // write-ahead logs written since the guard was made, by name
	opened  string               // the file opened last, which an error that names none is most likely about
	overlay *vfs.MemFS           // tables flushed after the freeze

	onFreeze func(error)   // called once, with no lock held
	closing  chan struct{} // closed when the database is about to be closed
}

// logState is how far a write-ahead log was written and synced, in bytes.
type logState struct {
	written, synced int64
	broken          bool // a write was answered as if done
}

// flushCategory is how Pebble marks the tables of a flush.
const flushCategory vfs.DiskWriteCategory = "pebble-memtable-flush"

// errFrozen is what compactions fail with after the freeze.
var errFrozen = errors.New("the store's files are frozen")

func newGuard(fs vfs.FS, onFreeze func(error)) *guard {
	return &guard{FS: fs, logs: make(map[string]*logState), onFreeze: onFreeze, closing: make(chan struct{})}
}

// freeze ends all changes on disk.
func (g *guard) freeze(cause error) {
	g.mu.Lock()
	if g.frozen.Load() {
		g.mu.Unlock()
		return
	}
	g.cause = cause
	g.frozen.Store(true)
	g.mu.Unlock()
	if g.onFreeze != nil {
		g.onFreeze(cause)
	}
}

// err is why the guard is frozen, or nil.
func (g *guard) err() error {
	if !g.frozen.Load() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

// unsynced returns the write-ahead logs that were written further than they were synced, with the length
// up to which they were. What lies behind it was never acknowledged.
func (g *guard) unsynced() map[string]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := make(map[string]int64)
	for name, l := range g.logs {
		if l.written > l.synced {
			m[name] = l.synced
		}
	}
	return m
}

// withheld notes that what lay behind the last sync of a write-ahead log was cut off.
func (g *guard) withheld(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.logs[name]; l != nil {
		l.written = l.synced
	}
}

func (g *guard) lastOpened() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}

// tableError freezes for a failed write of a table, and slows Pebble down, which tries again at once.
func (g *guard) tableError(err error) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, errFrozen) {
		g.freeze(err)
	}
	t := time.NewTimer(50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.closing:
	}
	return err
}

// tables is where tables are created after the freeze.
func (g *guard) tables() *vfs.MemFS {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.overlay == nil {
		g.overlay = vfs.NewMem()
	}
	return g.overlay
}

func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

func isWAL(name string) bool { return strings.HasSuffix(name, ".log") }

// change runs a change of the directory or of a file that is no table: once frozen it is answered as if
// done, and its failure freezes.
func (g *guard) change(f func() error) error {
	if g.frozen.Load() {
		return nil
	}
	if err := f(); err != nil {
		g.freeze(err)
	}
	return nil
}

func (g *guard) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	create := func() (vfs.File, error) { return g.FS.Create(name, c) }
	if isTable(name) {
		return g.createTable(name, c, create)
	}
	return g.create(name, create)
}

func (g *guard) createTable(name string, c vfs.DiskWriteCategory, f func() (vfs.File, error)) (vfs.File, error) {
	if !g.frozen.Load() {
		file, err := f()
		if err != nil {
			return nil, g.tableError(err)
		}
		return &guardedTable{File: file, g: g}, nil
	}
	if c != flushCategory {
		return nil, g.tableError(errFrozen)
	}
	mem := g.tables()
	if err := mem.MkdirAll(g.FS.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return mem.Create(name, c)
}

func (g *guard) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, c) })
}

func (g *guard) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.create(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, opts...) })
}

// create is for files that are no tables.
func (g *guard) create(name string, f func() (vfs.File, error)) (vfs.File, error) {
	if !g.frozen.Load() {
		file, err := f()
		if err == nil {
			return g.wrap(name, file), nil
		}
		g.freeze(err)
	}
	return g.wrap(name, frozenFile{name: name}), nil
}

func (g *guard) wrap(name string, file vfs.File) vfs.File {
	f := &guardedFile{File: file, g: g}
	if isWAL(name) {
		f.wal = &logState{}
		g.mu.Lock()
		g.logs[name] = f.wal
		g.mu.Unlock()
	}
	return f
}

func (g *guard) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	g.mu.Lock()
	g.opened = name
	overlay := g.overlay
	g.mu.Unlock()
	if overlay != nil {
		if file, err := overlay.Open(name, opts...); err == nil {
			return file, nil
		}
	}
	return g.FS.Open(name, opts...)
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	file, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: file, g: g}, nil
}

func (g *guard) Link(oldname, newname string) error {
	return g.change(func() error { return g.FS.Link(oldname, newname) })
}

func (g *guard) Remove(name string) error {
	if g.frozen.Load() {
		return nil
	}
	err := g.FS.Remove(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return err // what Pebble can take
	case err != nil:
		g.freeze(err)
	case isWAL(name):
		g.mu.Lock()
		delete(g.logs, name)
		g.mu.Unlock()
	}
	return nil
}

func (g *guard) RemoveAll(name string) error {
	return g.change(func() error { return g.FS.RemoveAll(name) })
}

func (g *guard) Rename(oldname, newname string) error {
	return g.change(func() error { return g.FS.Rename(oldname, newname) })
}

func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	return g.change(func() error { return g.FS.MkdirAll(dir, perm) })
}

func (g *guard) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file whose loss the database can't take: a write-ahead log, a manifest, a marker, the
// directory. Write and Sync of one file are never called at once.
type guardedFile struct {
	vfs.File
	g   *guard
	wal *logState // nil for other files
}

func (f *guardedFile) write(size int, op func() error) {
	if f.wal == nil {
		_ = f.g.change(op) // always nil
		return
	}
	if f.g.frozen.Load() {
		f.lose(0)
	} else if err := op(); err != nil {
		f.lose(int64(size)) // perhaps it is there
		f.g.freeze(err)
	} else {
		f.g.mu.Lock()
		f.wal.written += int64(size)
		f.g.mu.Unlock()
	}
}

// sync syncs a write-ahead log after a freeze too, when all of it was written before: the events in it would come
// back when the server is killed now, so better they are acknowledged.
func (f *guardedFile) sync(op func() error) {
	if f.wal == nil {
		_ = f.g.change(op)
		return
	}
	f.g.mu.Lock()
	broken := f.wal.broken
	f.g.mu.Unlock()
	if broken {
		f.lose(0)
	} else if err := op(); err != nil {
		f.lose(1) // what is behind the last sync may or may not be there
		f.g.freeze(err)
	} else {
		f.g.mu.Lock()
		f.wal.synced = f.wal.written
		f.g.mu.Unlock()
	}
}

// lose counts something that is answered as if done, before the freeze is seen. Up to so many bytes of it are in
// the file.
func (f *guardedFile) lose(written int64) {
	f.g.lost.Add(1)
	f.g.mu.Lock()
	f.wal.broken = true
	f.wal.written += written
	f.g.mu.Unlock()
}

func (f *guardedFile) Write(p []byte) (int, error) {
	f.write(len(p), func() error {
		n, err := f.File.Write(p)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		return err
	})
	return len(p), nil
}

func (f *guardedFile) WriteAt(p []byte, off int64) (int, error) {
	f.write(len(p), func() error { _, err := f.File.WriteAt(p, off); return err })
	return len(p), nil
}

func (f *guardedFile) Sync() error {
	f.sync(f.File.Sync)
	return nil
}

func (f *guardedFile) SyncData() error {
	f.sync(f.File.SyncData)
	return nil
}

// SyncTo only asks for an early start of writing; the sync that counts comes later and reports.
func (f *guardedFile) SyncTo(length int64) (bool, error) {
	if f.g.frozen.Load() {
		return false, nil
	}
	_, err := f.File.SyncTo(length)
	if err != nil {
		f.g.freeze(err)
	}
	return false, nil
}

// Preallocate does nothing: the room would be taken at once, several times over for the logs that are
// kept for reuse, and a log that is written over costs no more to sync.
func (f *guardedFile) Preallocate(_, _ int64) error { return nil }

// guardedTable is a table being written: Pebble can take its failure and tries again.
type guardedTable struct {
	vfs.File
	g *guard
}

func (f *guardedTable) Write(p []byte) (int, error) {
	if f.g.frozen.Load() {
		return 0, f.g.tableError(errFrozen)
	}
	n, err := f.File.Write(p)
	return n, f.g.tableError(err)
}

func (f *guardedTable) Sync() error {
	if f.g.frozen.Load() {
		return f.g.tableError(errFrozen)
	}
	return f.g.tableError(f.File.Sync())
}

func (f *guardedTable) SyncData() error {
	if f.g.frozen.Load() {
		return f.g.tableError(errFrozen)
	}
	return f.g.tableError(f.File.SyncData())
}

// frozenFile stands for a file that was to be created after the freeze.
type frozenFile struct{ name string }

func (f frozenFile) Close() error                           { return nil }
func (f frozenFile) Read([]byte) (int, error)               { return 0, io.EOF }
func (f frozenFile) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (f frozenFile) Write(p []byte) (int, error)            { return len(p), nil }
func (f frozenFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (f frozenFile) Preallocate(_, _ int64) error           { return nil }
func (f frozenFile) Sync() error                            { return nil }
func (f frozenFile) SyncTo(int64) (bool, error)             { return false, nil }
func (f frozenFile) SyncData() error                        { return nil }
func (f frozenFile) Prefetch(_, _ int64) error              { return nil }
func (f frozenFile) Fd() uintptr                            { return vfs.InvalidFd }
func (f frozenFile) Stat() (vfs.FileInfo, error)            { return frozenInfo(f), nil }

type frozenInfo struct{ name string }

func (i frozenInfo) Name() string           { return filepath.Base(i.name) }
func (i frozenInfo) Size() int64            { return 0 }
func (i frozenInfo) Mode() os.FileMode      { return 0o644 }
func (i frozenInfo) ModTime() time.Time     { return time.Time{} }
func (i frozenInfo) IsDir() bool            { return false }
func (i frozenInfo) Sys() any               { return nil }
func (i frozenInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

// isFull says whether an error is for want of room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
