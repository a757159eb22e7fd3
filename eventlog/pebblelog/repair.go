package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/eventlog"
)

// Repaired is what Repair did.
type Repaired struct {
	// Kept is the directory that the old files were moved to, as they were. They may be deleted once
	// nobody wants to look into them.
	Kept string
	// What was carried over into the new store. Sequence numbers and epochs are new.
	Logs         int
	Events, Keys uint64
	// Lost counts events that could not be read.
	Lost uint64
	// Problems are what was found on the way, nil when everything could be read.
	Problems error
}

// Repair starts a damaged store over: it moves the directory's files to "<dir>.damaged-<time>" and makes a
// new store in their place, with what can still be read of the old one. Every log has a new epoch, so a
// client that comes with a position of the old one is told that it missed something. The store must be
// closed.
func Repair(dir string, o Options) (*Repaired, error) {
	o = o.withDefaults()
	lock, err := pebble.LockDirectory(dir, o.fs)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, dir, err)
	}
	dir = strings.TrimRight(dir, string(filepath.Separator))
	r := &Repaired{Kept: dir + ".damaged-" + time.Now().UTC().Format("20060102T150405.000Z")}
	err = o.fs.Rename(dir, r.Kept)
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, fmt.Errorf("repair %s: %w", dir, err)
	}
	s, err := Open(dir, o)
	if err != nil {
		return r, fmt.Errorf("repair %s: the files are in %s: %w", dir, r.Kept, err)
	}
	err = salvage(s, r)
	if err = errors.Join(err, s.Close()); err != nil {
		return r, fmt.Errorf("repair %s: the files are in %s: %w", dir, r.Kept, err)
	}
	return r, nil
}

// salvage copies what can be read of the kept files into s. Only what s can't take is an error.
func salvage(s *Store, r *Repaired) error {
	old, err := openDamaged(s.opts, r)
	if err != nil {
		r.Problems = errors.Join(r.Problems, err)
		return nil
	}
	defer func() {
		err := old.closeDB()
		r.Problems = errors.Join(r.Problems, err)
	}()
	names := make(map[string]uint32)
	err = old.registry(func(name string, id uint32) error { names[name] = id; return nil })
	r.Problems = errors.Join(r.Problems, err)
	for name, id := range names {
		from := &Log{store: old, name: name, id: id}
		if err := from.load(old.db); err != nil {
			r.Problems = errors.Join(r.Problems, err)
			from.segments.Store(&[]segmentMeta{})
		}
		to, err := s.Open(name, eventlog.Retention{})
		if err != nil {
			return err
		}
		r.Logs++
		if err := salvageState(from, to, r); err != nil {
			return err
		}
		if err := salvageEvents(from, to, r); err != nil {
			return err
		}
	}
	return nil
}

// openDamaged opens the kept files for reading only, and leaves out those without which that is possible.
func openDamaged(o Options, r *Repaired) (*Store, error) {
	hidden := &hidingFS{FS: o.fs, names: make(map[string]bool)}
	o.fs = hidden
	s := &Store{dir: r.Kept, opts: o}
	for {
		g := newGuard(hidden, nil)
		g.freeze(errors.New("opened for reading"))
		var d damage
		po := s.pebbleOptions(g, &d)
		po.Lock, po.ReadOnly, po.DisableConsistencyCheck = nil, true, true
		po.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}
		db, err := pebble.Open(r.Kept, po)
		if err == nil {
			s.db, s.guard = db, g
			return s, nil
		}
		err = asCorrupt(err, o.fs, r.Kept, d.path(), g.lastOpened())
		r.Problems = errors.Join(r.Problems, err)
		name := filepath.Base(fileIn(err.Error()))
		if hidden.names[name] || !isWAL(name) && !strings.HasPrefix(name, "OPTIONS") {
			return nil, err
		}
		hidden.names[name] = true
	}
}

// hidingFS leaves files out of the listing of a directory.
type hidingFS struct {
	vfs.FS
	names map[string]bool
}

func (f *hidingFS) List(dir string) ([]string, error) {
	all, err := f.FS.List(dir)
	names := all[:0]
	for _, name := range all {
		if !f.names[name] {
			names = append(names, name)
		}
	}
	return names, err
}

func (f *hidingFS) Stat(name string) (vfs.FileInfo, error) {
	if f.names[f.FS.PathBase(name)] {
		return nil, os.ErrNotExist
	}
	return f.FS.Stat(name)
}

// salvager collects what is read into batches for the new log.
type salvager struct {
	to    eventlog.Log
	batch *eventlog.Batch
	size  int64
}

func (w *salvager) flush() error {
	if w.batch == nil {
		return nil
	}
	_, err := w.to.Append(context.Background(), w.batch)
	w.batch, w.size = nil, 0
	return err
}

func (w *salvager) grown(n int64) error {
	if w.size += n; w.size >= 256<<10 {
		return w.flush()
	}
	return nil
}

func (w *salvager) next() *eventlog.Batch {
	if w.batch == nil {
		w.batch = &eventlog.Batch{}
	}
	return w.batch
}

// salvageState copies the state table: up to the first row that can't be read, and from the end back to
// the last.
func salvageState(from *Log, to eventlog.Log, r *Repaired) error {
	prefix := from.stateKey("")
	it, err := from.store.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upperBound(prefix)})
	if err != nil {
		r.Problems = errors.Join(r.Problems, err)
		return nil
	}
	w := salvager{to: to}
	copyRow := func() (bool, error) {
		value, err := it.ValueAndErr()
		if err != nil {
			return false, nil
		}
		kv := eventlog.KV{Key: string(it.Key()[len(prefix):]), Value: append([]byte(nil), value...)}
		b := w.next()
		b.Put = append(b.Put, kv)
		r.Keys++
		return true, w.grown(int64(len(kv.Key) + len(kv.Value)))
	}
	last := ""
	for ok := it.First(); ok; ok = it.Next() {
		last = string(it.Key())
		if read, err := copyRow(); err != nil {
			return errors.Join(err, it.Close())
		} else if !read {
			break
		}
	}
	if err := it.Error(); err != nil {
		r.Problems = errors.Join(r.Problems, fmt.Errorf("state of log %q: %w", from.name, err))
		for ok := it.Last(); ok && string(it.Key()) > last; ok = it.Prev() {
			if read, err := copyRow(); err != nil {
				return errors.Join(err, it.Close())
			} else if !read {
				break
			}
		}
	}
	_ = it.Close() // repeats the error
	return w.flush()
}

// salvageEvents copies the events that can be read, in order.
func salvageEvents(from *Log, to eventlog.Log, r *Repaired) error {
	segments := *from.segments.Load()
	it, err := from.store.db.NewIter(dataBounds(segments))
	if err != nil {
		r.Problems = errors.Join(r.Problems, err)
		return nil
	}
	w := salvager{to: to}
	rd := reader{segments: segments, head: from.rec.head}
	var (
		key  []byte
		lost error // the first
	)
	for k := range segments {
		segment := &segments[k]
		for seq := max(segment.first, from.rec.first); seq <= rd.end(k); seq++ {
			key = segment.appendEventKey(key[:0], seq)
			var e eventlog.Event
			err := eventlog.ErrNotFound
			if it.SeekGE(key) && string(it.Key()) == string(key) {
				var v []byte
				if v, err = it.ValueAndErr(); err == nil {
					e, err = decodeEvent(seq, v)
				}
			}
			if err != nil {
				if r.Lost++; lost == nil {
					lost = fmt.Errorf("event %d of log %q: %w", seq, from.name, err)
				}
				continue
			}
			b := w.next()
			b.Records = append(b.Records, e.Record)
			r.Events++
			if err := w.grown(e.Size()); err != nil {
				return errors.Join(err, it.Close())
			}
		}
	}
	_ = it.Close() // repeats an error
	r.Problems = errors.Join(r.Problems, lost)
	return w.flush()
}
