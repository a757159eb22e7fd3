package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/eventlog"
)

// Log is one log of a Store.
type Log struct {
	store *Store
	name  string
	id    uint32

	// What readers see. First is stored before the view in which events are gone, head after the view in
	// which they have come.
	epoch, head, first atomic.Uint64
	segments           atomic.Pointer[[]segmentMeta] // oldest first; never changed in place

	// The committer's: what the next group starts from. Others read it under mu.
	mu        sync.Mutex
	rec       headRecord
	bytes     int64 // of the events from first on
	retention eventlog.Retention
	stats     eventlog.Stats
	closed    bool

	pending sync.WaitGroup // batches submitted and not yet answered
	trimMu  sync.Mutex     // one trimming at a time; taken before mu
}

var _ eventlog.Log = (*Log)(nil)

// load reads the log's own rows.
func (l *Log) load(r pebble.Reader) error {
	value, closer, err := r.Get(l.headKey())
	if err != nil {
		return fmt.Errorf("log %q: %w", l.name, err)
	}
	rec, err := decodeHead(value)
	_ = closer.Close()
	if err != nil {
		return fmt.Errorf("log %q: %w: its head record", l.name, eventlog.ErrCorrupt)
	}
	segments, err := l.loadSegments(r)
	if err != nil {
		return err
	}
	if rec.head >= rec.first && (len(segments) == 0 || segments[0].first > rec.first) {
		return fmt.Errorf("log %q: %w: no segment for event %d", l.name, eventlog.ErrCorrupt, rec.first)
	}
	bytes := -rec.trimmed
	for i := range segments {
		if i == len(segments)-1 {
			segments[i].bytes = rec.bytes
		}
		bytes += segments[i].bytes
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rec, l.bytes = rec, bytes
	l.segments.Store(&segments)
	l.epoch.Store(rec.epoch)
	l.first.Store(rec.first)
	l.head.Store(rec.head)
	return nil
}

func (l *Log) loadSegments(r pebble.Reader) (segments []segmentMeta, err error) {
	prefix := l.key(segmentByte, "")
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upperBound(prefix)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		segment, err := decodeSegment(it.Key()[len(prefix):], it.Value())
		if err != nil {
			return nil, fmt.Errorf("log %q: %w: a segment's row", l.name, eventlog.ErrCorrupt)
		}
		segments = append(segments, segment)
	}
	return segments, nil
}

// Epoch implements eventlog.Log.
func (l *Log) Epoch() uint64 { return l.epoch.Load() }

// Head implements eventlog.Log.
func (l *Log) Head() uint64 { return l.head.Load() }

// First implements eventlog.Log.
func (l *Log) First() uint64 { return l.first.Load() }

// Submit implements eventlog.Log.
func (l *Log) Submit(b *eventlog.Batch) error {
	return l.store.submit(submission{log: l, batch: b})
}

// Append implements eventlog.Log.
func (l *Log) Append(ctx context.Context, b *eventlog.Batch) (uint64, error) {
	return eventlog.SubmitAndWait(ctx, l, b)
}

// SetRetention implements eventlog.Log.
func (l *Log) SetRetention(r eventlog.Retention) {
	l.mu.Lock()
	l.retention = r
	l.mu.Unlock()
	l.store.setFlushBytes()
	l.store.signalKeeper()
}

// Err implements eventlog.Log.
func (l *Log) Err() error {
	if l.isClosed() {
		return eventlog.ErrClosed
	}
	return l.store.Err()
}

// Stats implements eventlog.Log.
func (l *Log) Stats() eventlog.Stats {
	full := errors.Is(l.store.Err(), eventlog.ErrFull)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.First, s.Head, s.Bytes, s.Full = l.rec.first, l.rec.head, l.bytes, full
	s.Events = s.Head + 1 - s.First
	return s
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Close implements eventlog.Log. Only what was submitted before is waited for.
func (l *Log) Close() error {
	l.store.forget(l)
	l.pending.Wait()
	return nil
}

// microsAfter is now in Unix microseconds, or last when the clock was set back: an event is never older
// than the one before it.
func microsAfter(now time.Time, last int64) int64 { return max(now.UnixMicro(), last) }
