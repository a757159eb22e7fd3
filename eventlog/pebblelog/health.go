package pebblelog

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/eventlog"
)

// health is whether the store takes appends. Only the committer changes it.
type health struct {
	mu  sync.Mutex
	err error // nil, or wraps ErrFull or ErrWrite

	timer *time.Timer // fires when it is time to look whether the store can be healed
	pause time.Duration
	since time.Time
	avail uint64 // free bytes when it was last looked
	floor uint64 // bytes to be left free
}

// Err implements eventlog.Store.
func (s *Store) Err() error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return eventlog.ErrClosed
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return s.health.err
}

// look asks the file system for room. Without an answer there is no bound.
func (s *Store) look() {
	h := &s.health
	h.avail, h.floor = 1<<62, 0
	if s.opts.Reserve < 0 {
		return
	}
	u, err := s.opts.fs.GetDiskUsage(s.dir)
	if err != nil {
		return
	}
	h.avail = u.AvailBytes
	if h.floor = uint64(s.opts.Reserve); h.floor == 0 {
		h.floor = min(defaultReserve, u.TotalBytes/8)
	}
}

// admit returns why batches are refused, or nil.
func (s *Store) admit() error {
	if err := s.noticeFreeze(); err != nil {
		return err
	}
	s.look()
	h := &s.health
	floor := h.floor
	if h.err != nil {
		floor += floor / 8 // so that it doesn't go on and off
	}
	if h.avail < floor {
		return s.setHealth(fmt.Errorf("%w: %d MB free of the %d MB to be left", eventlog.ErrFull, h.avail>>20, floor>>20))
	}
	return s.setHealth(nil)
}

// canFree says whether there is room enough for writes that make room.
func (s *Store) canFree() bool {
	return s.db != nil && !s.guard.frozen.Load() && s.health.avail >= s.health.floor/4
}

// noticeFreeze makes a freeze of the store's files its health, and returns it.
func (s *Store) noticeFreeze() error {
	cause := s.guard.err()
	if cause == nil {
		return nil
	}
	s.health.mu.Lock()
	err := s.health.err
	s.health.mu.Unlock()
	if err != nil && s.health.pause > 0 {
		return err // known
	}
	if isFull(cause) {
		return s.setHealth(fmt.Errorf("%w: %w", eventlog.ErrFull, cause))
	}
	return s.setHealth(fmt.Errorf("%w: %w", eventlog.ErrWrite, cause))
}

// setHealth records a change, tells the log of it, and has the committer look again while the store is ill.
func (s *Store) setHealth(err error) error {
	h := &s.health
	h.mu.Lock()
	was := h.err
	h.err = err
	h.mu.Unlock()
	switch {
	case err != nil && was == nil:
		h.since = time.Now()
		h.pause = s.opts.retryAfter
		h.timer.Reset(h.pause)
		s.opts.Logger.Error().Err(err).Str("dir", s.dir).Msg("event store takes no appends")
	case err == nil && was != nil:
		h.timer.Stop()
		h.pause = 0
		s.opts.Logger.Info().Str("dir", s.dir).Dur("after", time.Since(h.since)).Msg("event store takes appends again")
	}
	return err
}

// heal looks whether the store can take appends again, and opens the database anew where its files are
// frozen.
func (s *Store) heal() {
	h := &s.health
	if s.guard.frozen.Load() || s.db == nil {
		if err := s.noticeFreeze(); err == nil {
			return
		}
		if err := s.reopen(); err != nil {
			h.pause = min(2*h.pause, maxRetry)
			h.timer.Reset(h.pause)
			return
		}
	}
	if s.admit() != nil {
		h.timer.Reset(h.pause)
	}
}

// reopen puts a new database in the place of one whose files are frozen. Where that fails it leaves one
// that can be read.
func (s *Store) reopen() error {
	s.look()
	if h := &s.health; h.avail < h.floor+h.floor/8 {
		return eventlog.ErrFull
	}
	if err := s.probe(); err != nil {
		return err
	}
	s.views.withdraw(nil)
	if s.db != nil {
		if err := s.closeDB(); err != nil {
			s.opts.Logger.Warn().Err(err).Msg("close the frozen event store")
		}
	}
	err := s.tryReopen()
	if err == nil {
		return nil
	}
	s.opts.Logger.Error().Err(err).Str("dir", s.dir).Msg("event store does not open again")
	s.guard.freeze(err) // if it is the new database's
	if readErr := s.openForReading(); readErr != nil {
		s.views.withdraw(fmt.Errorf("%w: %w", eventlog.ErrWrite, errors.Join(err, readErr)))
	}
	return err
}

// probe finds out whether the disk can be written at all, before the database that can be read is closed.
func (s *Store) probe() (err error) {
	fs := s.opts.fs
	name := fs.PathJoin(s.dir, "probe")
	file, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = file.Write(make([]byte, 64<<10))
	return errors.Join(err, file.Sync(), file.Close(), fs.Remove(name))
}

func (s *Store) tryReopen() error {
	if err := s.withhold(); err != nil {
		return err
	}
	if err := s.openDB(); err != nil {
		return err
	}
	if err := s.reload(); err != nil {
		return errors.Join(err, s.closeDB())
	}
	return nil
}

// withhold cuts off what was written to write-ahead logs and not synced: it is answered with an error, and must not come
// back when the database is opened again. What fails is tried again by the next call.
func (s *Store) withhold() error {
	if s.opts.NoSync {
		return nil
	}
	if s.guard.frozen.Load() {
		for name, length := range s.guard.unsynced() {
			s.truncate[name] = length
		}
	}
	var errs error
	for name, length := range s.truncate {
		if err := truncate(s.opts.fs, name, length); err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		delete(s.truncate, name)
		s.guard.withheld(name)
	}
	return errs
}

// openForReading opens the database so that nothing is written. The logs stay as they are: they know what
// was acknowledged.
func (s *Store) openForReading() error {
	g := newGuard(s.opts.fs, nil)
	o := s.pebbleOptions(g, &damage{})
	o.ReadOnly = true
	db, err := pebble.Open(s.dir, o)
	if err != nil {
		return err
	}
	g.freeze(s.guard.err())
	s.db, s.guard = db, g
	s.views.publish(db.NewSnapshot())
	return nil
}

// reload has the open logs read their rows from the new database.
func (s *Store) reload() error {
	if err := s.afterOpen(); err != nil {
		return err
	}
	snap := s.db.NewSnapshot()
	for _, l := range s.openLogs() {
		head := l.head.Load()
		if err := l.load(snap); err != nil {
			return errors.Join(err, snap.Close())
		}
		if now := l.head.Load(); now < head && !s.opts.NoSync {
			err := fmt.Errorf("%w: log %q ends with event %d, committed was %d", eventlog.ErrCorrupt, l.name, now, head)
			return errors.Join(err, snap.Close())
		}
	}
	s.views.publish(snap)
	return nil
}
