// Package pebblelog keeps event logs on disk, in one Pebble database for each store.
//
// A commit is acknowledged when it is synced; whatever was submitted meanwhile goes into the next one, so
// a burst costs few syncs. A full or failing disk doesn't end the process: appends are refused with
// eventlog.ErrFull or eventlog.ErrWrite until the disk works again, and reading goes on.
package pebblelog

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/eventlog"
)

// ErrLocked says that a store is already open, in this process or another.
var ErrLocked = errors.New("event store is in use")

// Store is an eventlog.Store in a directory.
//
// Lock order: openMu, Log.trimMu, mu, Log.mu; views.mu and health.mu are taken last and alone.
type Store struct {
	dir        string
	opts       Options
	lock       *pebble.Lock
	groupBytes int64

	openMu sync.Mutex // one log is opened at a time
	nextID uint32     // under openMu

	mu           sync.Mutex
	logs         map[string]*Log
	pending      []submission
	spare        []submission
	trims        []submission // taken before those of pending
	pendingBytes int64
	closed       bool

	// The committer's own.
	db        *pebble.DB
	guard     *guard
	live      liveSegments
	gaps      []gap            // what was trimmed and is to be deleted
	unflushed int64            // bytes committed since the last flush
	truncate  map[string]int64 // write-ahead logs to be cut before the database is opened again
	health    health

	// flushBytes is how much is committed before it is written to tables: see setFlushBytes.
	flushBytes atomic.Int64

	views    *views
	wake     chan struct{}   // capacity 1, to the committer
	keeper   chan struct{}   // capacity 1, to the keeper
	answers  chan []answered // from the committer, closed when it has ended
	answered chan struct{}   // closed when all is answered
	kept     chan struct{}   // closed when the keeper has ended
	stop     chan struct{}   // closed by Close
	ctx      context.Context // ends with stop
	cancel   context.CancelFunc

	closeOnce sync.Once
	closeErr  error
}

var _ eventlog.Store = (*Store)(nil)

// Open opens the store in dir, made on first use. The error wraps ErrLocked when it is open already, and
// eventlog.ErrCorrupt when it is damaged: then it names the file, and Repair starts over. A store on a disk
// without any room can be opened: it is read, and takes appends once there is room.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := o.fs.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open event store: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, o.fs)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, dir, err)
	}
	s := &Store{
		dir: dir, opts: o, lock: lock, groupBytes: o.MemTableSize / 4,
		logs: make(map[string]*Log), truncate: make(map[string]int64), views: newViews(),
		wake: make(chan struct{}, 1), keeper: make(chan struct{}, 1),
		answers: make(chan []answered, 4), answered: make(chan struct{}),
		kept: make(chan struct{}), stop: make(chan struct{}),
	}
	s.flushBytes.Store(o.MemTableSize)
	s.health.timer = newStoppedTimer()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	err = s.openDB()
	if errors.Is(err, eventlog.ErrFull) {
		err = s.openFull(err)
	}
	if err == nil {
		if err = s.start(); err != nil {
			s.views.close()
			err = errors.Join(err, s.closeDB())
		}
	}
	if err != nil {
		s.cancel()
		return nil, errors.Join(fmt.Errorf("open event store %s: %w", dir, err), lock.Close())
	}
	go s.commitLoop()
	go s.answerLoop()
	go s.keepLoop()
	return s, nil
}

// openDB opens the database behind a new guard.
func (s *Store) openDB() error {
	g := newGuard(s.opts.fs, func(error) { signal(s.wake) })
	var damaged damage
	db, err := pebble.Open(s.dir, s.pebbleOptions(g, &damaged))
	if err == nil {
		err = g.err() // it opened on files that could not be written
		if err != nil {
			close(g.closing)
			err = errors.Join(err, db.Close())
		}
	}
	if err != nil {
		if isFull(err) {
			return fmt.Errorf("%w: %w", eventlog.ErrFull, err)
		}
		return asCorrupt(err, s.opts.fs, s.dir, damaged.path(), g.lastOpened())
	}
	s.db, s.guard = db, g
	return nil
}

// closeDB closes the database; views must be withdrawn.
func (s *Store) closeDB() error {
	close(s.guard.closing)
	err := s.db.Close()
	s.db = nil
	return err
}

// openFull opens the database for reading, where there is no room for more. The committer finds the guard
// frozen, and heals it when it can.
func (s *Store) openFull(cause error) error {
	s.guard = newGuard(s.opts.fs, nil)
	s.guard.freeze(cause)
	if err := s.openForReading(); err != nil {
		return cause
	}
	signal(s.wake)
	return nil
}

// start reads what the store needs before its goroutines run.
func (s *Store) start() error {
	if err := s.afterOpen(); err != nil {
		return err
	}
	err := s.registry(func(_ string, id uint32) error {
		s.nextID = max(s.nextID, id+1)
		return nil
	})
	if err != nil {
		return err
	}
	if !s.guard.frozen.Load() {
		s.views.publish(s.db.NewSnapshot())
	}
	return nil
}

// afterOpen checks the layout of a database that was just opened, and gives new epochs to logs that may
// have lost events.
func (s *Store) afterOpen() error {
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	version, err := s.get(formatKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if err := batch.Set(formatKey, []byte{formatVersion}, nil); err != nil {
			return err
		}
	case err != nil:
		return asCorrupt(err, s.opts.fs, s.dir, "", "")
	case len(version) != 1 || version[0] != formatVersion:
		return fmt.Errorf("the store has layout %x, this program knows %x", version, formatVersion)
	}
	_, err = s.get(unsyncedKey)
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return asCorrupt(err, s.opts.fs, s.dir, "", "")
	}
	if err == nil {
		if err := s.newEpochs(batch); err != nil {
			return err
		}
		if err := batch.Delete(unsyncedKey, nil); err != nil {
			return err
		}
	}
	if s.opts.NoSync {
		if err := batch.Set(unsyncedKey, nil, nil); err != nil {
			return err
		}
	}
	if err := s.findSegments(); err != nil {
		return err
	}
	if !s.guard.frozen.Load() {
		gaps, err := s.findGaps()
		if err == nil {
			err = addGaps(batch, gaps)
		}
		if err != nil {
			return err
		}
	}
	if batch.Empty() {
		return nil
	}
	if err := s.guard.err(); err != nil {
		return err // open for reading only
	}
	if err := s.db.Apply(batch, pebble.Sync); err != nil {
		return err
	}
	return s.guard.err()
}

func (s *Store) get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if err != nil {
		return nil, err
	}
	v = append([]byte(nil), v...)
	return v, closer.Close()
}

// findSegments reads which segments there are, of all logs.
func (s *Store) findSegments() (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{segmentByte}, UpperBound: []byte{segmentByte + 1}})
	if err != nil {
		return err
	}
	defer func() { err = asCorrupt(errors.Join(err, it.Close()), s.opts.fs, s.dir, "", "") }()
	s.live = liveSegments{}
	for ok := it.First(); ok; ok = it.Next() {
		if len(it.Key()) < logPrefixLen {
			return fmt.Errorf("%w: a segment's row", eventlog.ErrCorrupt)
		}
		segment, err := decodeSegment(it.Key()[logPrefixLen:], it.Value())
		if err != nil {
			return fmt.Errorf("%w: a segment's row", eventlog.ErrCorrupt)
		}
		s.live.ids = append(s.live.ids, segment.id)
		s.live.next = max(s.live.next, segment.id+1)
	}
	slices.Sort(s.live.ids)
	return nil
}

// newEpochs gives every log another epoch.
func (s *Store) newEpochs(batch *pebble.Batch) error {
	return s.registry(func(name string, id uint32) error {
		l := &Log{store: s, name: name, id: id}
		if err := l.load(s.db); err != nil {
			return err
		}
		l.rec.epoch = randomEpoch()
		return batch.Set(l.headKey(), l.rec.append(nil), nil)
	})
}

// registry calls f for every log of the store.
func (s *Store) registry(f func(name string, id uint32) error) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{registryByte}, UpperBound: []byte{registryByte + 1}})
	if err != nil {
		return err
	}
	defer func() { err = asCorrupt(errors.Join(err, it.Close()), s.opts.fs, s.dir, "", "") }()
	for ok := it.First(); ok; ok = it.Next() {
		if len(it.Value()) != 4 {
			return fmt.Errorf("%w: the registry's row %q", eventlog.ErrCorrupt, it.Key())
		}
		if err := f(string(it.Key()[1:]), binary.BigEndian.Uint32(it.Value())); err != nil {
			return err
		}
	}
	return nil
}

// randomEpoch is never 0.
func randomEpoch() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand
		if e := be64(b[:]); e != 0 {
			return e
		}
	}
}

// Open implements eventlog.Store.
func (s *Store) Open(name string, r eventlog.Retention) (eventlog.Log, error) {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	s.mu.Lock()
	l, closed := s.logs[name], s.closed
	s.mu.Unlock()
	if closed {
		return nil, eventlog.ErrClosed
	}
	if l != nil {
		if !l.isClosed() {
			l.SetRetention(r)
			return l, nil
		}
		l.pending.Wait() // until what it still commits is visible
	}
	l, err := s.openLog(name, r)
	if err != nil {
		return nil, fmt.Errorf("open log %q: %w", name, err)
	}
	s.signalKeeper()
	return l, nil
}

// openLog loads a log or makes it. openMu is held.
func (s *Store) openLog(name string, r eventlog.Retention) (*Log, error) {
	v, err := s.views.acquire(s.ctx)
	if err != nil {
		return nil, err
	}
	defer v.release()
	l := &Log{store: s, name: name, retention: r}
	value, closer, err := v.snap.Get(registryKey(name))
	create := errors.Is(err, pebble.ErrNotFound)
	switch {
	case create:
		l.id = s.nextID
		s.nextID++
	case err != nil:
		return nil, s.readError(err)
	case len(value) != 4:
		return nil, errors.Join(fmt.Errorf("%w: its row in the registry", eventlog.ErrCorrupt), closer.Close())
	default:
		l.id = binary.BigEndian.Uint32(value)
		_ = closer.Close()
	}
	if !create {
		if err := l.load(v.snap); err != nil {
			return nil, s.readError(err)
		}
		s.add(l)
		return l, nil
	}

	l.rec = headRecord{epoch: randomEpoch(), first: 1}
	l.segments.Store(&[]segmentMeta{})
	l.epoch.Store(l.rec.epoch)
	l.first.Store(1)
	done := make(chan error, 1)
	err = s.submit(submission{log: l, create: true, batch: &eventlog.Batch{Done: func(_ uint64, err error) { done <- err }}})
	if err != nil {
		return nil, err
	}
	if err := <-done; err != nil {
		return nil, err
	}
	s.add(l)
	return l, nil
}

// add makes a log one of the open ones.
func (s *Store) add(l *Log) {
	s.mu.Lock()
	s.logs[l.name] = l
	s.mu.Unlock()
	s.setFlushBytes()
}

// setFlushBytes fits the size of write-ahead logs, of which up to five are on disk, to the smallest of the
// logs' byte bounds.
func (s *Store) setFlushBytes() {
	smallest := int64(0)
	for _, l := range s.openLogs() {
		l.mu.Lock()
		bound := l.retention.MaxBytes
		l.mu.Unlock()
		if bound > 0 && (smallest == 0 || bound < smallest) {
			smallest = bound
		}
	}
	flush := s.opts.MemTableSize
	if smallest > 0 {
		flush = min(flush, max(smallest/48, minFlushBytes))
	}
	s.flushBytes.Store(flush)
}

// openLogs are the logs that are open at this moment.
func (s *Store) openLogs() []*Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	logs := make([]*Log, 0, len(s.logs))
	for _, l := range s.logs {
		logs = append(logs, l)
	}
	return logs
}

// forget takes no more submissions for a log.
func (s *Store) forget(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// Size implements eventlog.Store: what the files of the store take on disk, in bytes.
func (s *Store) Size() int64 { return diskSize(s.opts.fs, s.dir) }

// Close implements eventlog.Store. What was submitted is committed and answered first.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.openMu.Lock()
		defer s.openMu.Unlock()
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		for _, l := range s.openLogs() {
			s.forget(l)
		}
		s.cancel()
		close(s.stop)
		signal(s.wake)
		<-s.kept
		<-s.answered
		s.views.close()
		if err := s.withhold(); err != nil {
			s.opts.Logger.Error().Err(err).Str("dir", s.dir).Msg("events that were refused may be back when the event store is opened again")
		}
		if s.db != nil {
			if s.opts.NoSync && s.guard.err() == nil {
				s.closeErr = s.db.Delete(unsyncedKey, pebble.Sync)
			}
			err := s.closeDB()
			if cause := s.guard.err(); cause != nil {
				err = nil // it was frozen, and acknowledged nothing since
			}
			s.closeErr = errors.Join(s.closeErr, err)
		}
		s.closeErr = errors.Join(s.closeErr, s.lock.Close())
	})
	return s.closeErr
}
