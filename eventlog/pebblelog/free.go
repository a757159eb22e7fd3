package pebblelog

import (
	"bytes"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// gap is a range of keys whose rows are no longer any log's: to is not in it.
type gap struct{ from, to []byte }

// free deletes what the last group trimmed, in a table of its own. In one table with the newest events the
// range of a deletion would reach over all that is held, and each compaction of it would write everything
// anew. A crash before it is done leaves rows that nobody reads; findGaps finds them.
func (s *Store) free() {
	gaps := s.gaps
	s.gaps = nil
	if len(gaps) == 0 || s.guard.frozen.Load() {
		return
	}
	err := s.flushNow()
	if err == nil {
		err = s.deleteGaps(gaps)
	}
	if err == nil {
		s.views.publish(s.db.NewSnapshot()) // the one before would hold what was deleted
		err = s.flushNow()
	}
	if err != nil {
		s.opts.Logger.Warn().Err(err).Msg("event store: what was trimmed is not deleted yet")
		return
	}
	s.awaitRoom()
}

// deleteGaps needs no sync: what a crash undoes is found again.
func (s *Store) deleteGaps(gaps []gap) error {
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	if err := addGaps(batch, gaps); err != nil {
		return err
	}
	return s.db.Apply(batch, pebble.NoSync)
}

func addGaps(batch *pebble.Batch, gaps []gap) error {
	for _, g := range gaps {
		if err := batch.DeleteRange(g.from, g.to, nil); err != nil {
			return err
		}
	}
	return nil
}

// findGaps returns the ranges between the live segments in which there still are rows.
func (s *Store) findGaps() (gaps []gap, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{dataByte}, UpperBound: []byte{dataByte + 1}})
	if err != nil {
		return nil, err
	}
	defer func() { err = asCorrupt(errors.Join(err, it.Close()), s.opts.fs, s.dir, "", "") }()
	from := uint64(0)
	for _, id := range s.live.ids {
		g := gap{appendDataPrefix(nil, from), appendDataPrefix(nil, id)}
		from = id + 1
		if bytes.Equal(g.from, g.to) {
			continue
		}
		if !it.SeekGE(g.from) {
			return gaps, it.Error()
		}
		if bytes.Compare(it.Key(), g.to) < 0 {
			gaps = append(gaps, g)
		}
	}
	if it.SeekGE(appendDataPrefix(nil, from)) {
		gaps = append(gaps, gap{appendDataPrefix(nil, from), []byte{dataByte + 1}})
	}
	return gaps, it.Error()
}

// flushNow writes what is in memory to tables and waits for it, but not for a disk that has stalled.
func (s *Store) flushNow() error {
	s.unflushed = 0
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	timer := time.NewTimer(maxFlushWait)
	defer timer.Stop()
	select {
	case <-flushed:
	case <-timer.C:
	}
	return nil
}

const maxFlushWait = 5 * time.Second
