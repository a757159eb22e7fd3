package pebblelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/eventlog"
)

// trimming is a new beginning for a log, worked out by whoever trims and written by the committer.
type trimming struct {
	first   uint64
	id      uint64 // of the segment in which first lay when this was worked out
	trimmed int64  // bytes of that segment before first
	gone    int64  // bytes between the old first and the new
}

// trim adds the rows of a trimming.
func (d *draft) trim(batch *pebble.Batch, t *trimming) error {
	l := d.log
	before := d.rec.trimmed
	d.rec.first, d.rec.trimmed = t.first, t.trimmed
	d.bytes -= t.gone
	n := 0
	for n < len(d.segments) {
		end := d.rec.head
		if n+1 < len(d.segments) {
			end = d.segments[n+1].first - 1
		}
		if end >= t.first {
			break
		}
		n++
	}
	if n < len(d.segments) && d.segments[n].id == t.id {
		if n > 0 {
			before = 0
		}
		d.trimWithin(&d.segments[n], t, t.trimmed-before)
	}
	if n == 0 {
		return nil
	}
	for _, gone := range d.segments[:n] {
		if err := batch.Delete(l.segmentKey(gone.first), nil); err != nil {
			return err
		}
		l.store.live.remove(gone.id)
	}
	done := uint64(0)
	for _, gone := range d.segments[:n] {
		if gone.id < done {
			continue
		}
		// As wide as it may be: a table that reaches into what was trimmed before goes as a whole.
		from, to := l.store.live.gapAround(gone.id)
		l.store.gaps = append(l.store.gaps, gap{appendDataPrefix(nil, from), appendDataPrefix(nil, to)})
		done = to
	}
	if n == len(d.segments) || d.segments[n].id != t.id {
		d.rec.trimmed = 0 // a new segment began at first, or will
	}
	if n == len(d.segments) {
		d.rec.bytes = 0
	}
	d.own()
	d.segments = d.segments[n:]
	return nil
}

// trimWithin frees a part of a segment, where the segment is so large against the bounds, which have
// changed since it was begun, that it can't wait until all of it goes. The index rows do.
func (d *draft) trimWithin(segment *segmentMeta, t *trimming, bytes int64) {
	d.log.mu.Lock()
	bound := d.log.retention.MaxBytes
	d.log.mu.Unlock()
	size := segment.bytes
	if segment.first == d.segments[len(d.segments)-1].first {
		size = d.rec.bytes
	}
	if size < max(bound/8, 2*minPartBytes) || bytes < max(bound/32, minPartBytes) {
		return
	}
	d.log.store.gaps = append(d.log.store.gaps, gap{segment.appendEventKey(nil, segment.first), segment.appendEventKey(nil, t.first)})
}

const minPartBytes = 256 << 10

// overdue says whether a log is so far past its bounds that the keeper is to trim it. mu is held.
func (l *Log) overdue() bool {
	over := func(held, bound uint64) bool { return bound > 0 && held > bound+bound/16 }
	return over(l.rec.head+1-l.rec.first, l.retention.MaxEvents) || over(uint64(l.bytes), uint64(l.maxBytes()))
}

// maxBytes is how many bytes of events are kept under the byte bound, so that the store stays below 1.2
// times of it on disk. Beside the events there are: five write-ahead logs at most, and about eight times
// as much in tables that a compaction reads and has not yet replaced; tables that reach over the end of what
// was trimmed; a segment that is only partly trimmed, and the sixteenth that the keeper lets pass. mu is held.
func (l *Log) maxBytes() int64 {
	bound := l.retention.MaxBytes
	return max(min(bound, bound+bound*3/40-13*l.store.flushBytes.Load()-edgeBytes), bound/2)
}

// edgeBytes is what tables take that are only partly trimmed.
const edgeBytes = 2 << 20

// Trim implements eventlog.Log.
func (l *Log) Trim(ctx context.Context) error {
	l.trimMu.Lock()
	defer l.trimMu.Unlock()
	if l.isClosed() {
		return eventlog.ErrClosed
	}
	t, err := l.plan(ctx, time.Now())
	if err != nil || t == nil {
		return err
	}
	done := make(chan error, 1)
	err = l.store.submit(submission{log: l, trim: t, batch: &eventlog.Batch{Done: func(_ uint64, err error) { done <- err }}})
	if err != nil {
		return err
	}
	return <-done // it must be over before the next is planned
}

// plan works out where the log begins under its retention; nil when nothing is to be trimmed.
// trimMu is held.
func (l *Log) plan(ctx context.Context, now time.Time) (t *trimming, err error) {
	v, err := l.store.views.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer v.release()
	l.mu.Lock()
	p := planner{l: l, rec: l.rec, segments: *l.segments.Load()}
	r, bytes, maxBytes := l.retention, l.bytes, l.maxBytes()
	l.mu.Unlock()
	// What is committed may be newer than the view; what is trimmed is older.
	if len(p.segments) == 0 || p.rec.first > p.rec.head {
		return nil, nil
	}
	if p.it, err = v.snap.NewIter(dataBounds(p.segments)); err != nil {
		return nil, l.store.readError(err)
	}
	defer func() {
		if err = errors.Join(err, p.it.Close()); err != nil && ctx.Err() == nil {
			err = l.store.readError(err)
		}
	}()
	p.first = p.rec.first
	if held := p.rec.head + 1 - p.first; r.MaxEvents > 0 && held > r.MaxEvents {
		p.first += held - r.MaxEvents
	}
	if r.MaxBytes > 0 && bytes > maxBytes {
		if err := p.byBytes(ctx, bytes-maxBytes); err != nil {
			return nil, err
		}
	}
	if r.MaxAge > 0 {
		if err := p.byAge(now.Add(-r.MaxAge).UnixMicro()); err != nil {
			return nil, err
		}
	}
	if p.first == p.rec.first {
		return nil, nil
	}
	return p.trimming(ctx)
}

// planner looks for the first event that a log keeps.
type planner struct {
	l        *Log
	rec      headRecord
	segments []segmentMeta
	it       *pebble.Iterator
	first    uint64 // so far
	key      []byte
}

// end is the last sequence of segment k.
func (p *planner) end(k int) uint64 {
	if k+1 < len(p.segments) {
		return p.segments[k+1].first - 1
	}
	return p.rec.head
}

// bytesOf is what segment k takes.
func (p *planner) bytesOf(k int) int64 {
	if k == len(p.segments)-1 {
		return p.rec.bytes
	}
	return p.segments[k].bytes
}

// byBytes moves first so far that excess bytes go.
func (p *planner) byBytes(ctx context.Context, excess int64) error {
	seq, before := p.rec.first, p.rec.trimmed
	for k := range p.segments {
		left := p.bytesOf(k) - before
		before = 0
		if left <= excess {
			excess -= left
			seq = p.end(k) + 1
			continue
		}
		err := p.walk(ctx, k, seq, p.end(k), func(size int64) bool {
			if excess <= 0 {
				return false
			}
			excess -= size
			seq++
			return true
		})
		p.first = max(p.first, seq)
		return err
	}
	p.first = max(p.first, seq)
	return nil
}

// byAge moves first to the first event that is not before cutoff, in Unix microseconds.
func (p *planner) byAge(cutoff int64) error {
	k := 0
	for k+1 < len(p.segments) && p.segments[k+1].start < cutoff {
		k++
	}
	if p.segments[k].start >= cutoff {
		p.first = max(p.first, p.segments[k].first)
		return nil
	}
	from, to := max(p.segments[k].first, p.rec.first), p.end(k)+1
	for from < to {
		middle := from + (to-from)/2
		if ok, err := p.seek(k, middle); !ok {
			return err
		}
		v, err := p.it.ValueAndErr()
		if err != nil {
			return err
		}
		if len(v) >= 8 && int64(binary.BigEndian.Uint64(v)) < cutoff {
			from = middle + 1
		} else {
			to = middle
		}
	}
	p.first = max(p.first, from)
	return nil
}

// trimming sums up what lies before first.
func (p *planner) trimming(ctx context.Context) (*trimming, error) {
	k := min(segmentOf(p.segments, p.first), len(p.segments)-1)
	old := segmentOf(p.segments, p.rec.first)
	t := &trimming{first: p.first, id: p.segments[k].id}
	from := p.segments[k].first
	if k == old {
		from, t.trimmed = p.rec.first, p.rec.trimmed
	}
	if p.first == p.end(k)+1 {
		t.trimmed = p.bytesOf(k)
	} else if from < p.first {
		err := p.walk(ctx, k, from, p.first-1, func(size int64) bool { t.trimmed += size; return true })
		if err != nil {
			return nil, err
		}
	}
	t.gone = t.trimmed - p.rec.trimmed
	for i := old; i < k; i++ {
		t.gone += p.bytesOf(i)
	}
	return t, nil
}

// seek goes to an event of segment k.
func (p *planner) seek(k int, seq uint64) (bool, error) {
	p.key = p.segments[k].appendEventKey(p.key[:0], seq)
	if !p.it.SeekGE(p.key) || string(p.it.Key()) != string(p.key) {
		if err := p.it.Error(); err != nil {
			return false, err
		}
		return false, fmt.Errorf("%w: event %d of log %q is missing", eventlog.ErrCorrupt, seq, p.l.name)
	}
	return true, nil
}

// walk calls f with the sizes of the events from..to of segment k until it returns false.
func (p *planner) walk(ctx context.Context, k int, from, to uint64, f func(int64) bool) error {
	if from > to {
		return nil
	}
	if ok, err := p.seek(k, from); !ok {
		return err
	}
	for n, ok := from, true; n <= to; n, ok = n+1, p.it.Next() {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !ok {
			return errors.Join(p.it.Error(), fmt.Errorf("%w: event %d of log %q is missing", eventlog.ErrCorrupt, n, p.l.name))
		}
		v, err := p.it.ValueAndErr()
		if err != nil {
			return err
		}
		e, err := decodeEvent(n, v)
		if err != nil {
			return fmt.Errorf("%w: event %d of log %q does not decode", eventlog.ErrCorrupt, n, p.l.name)
		}
		if !f(e.Size()) {
			return nil
		}
	}
	return nil
}

// trimInterval is how often the log is looked at for events past their age: 0 for never.
func (l *Log) trimInterval() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.retention.MaxAge <= 0 || l.rec.first > l.rec.head {
		return 0
	}
	return min(max(l.retention.MaxAge/16, 10*time.Millisecond), time.Minute)
}

func (s *Store) signalKeeper() { signal(s.keeper) }

// keepLoop is the keeper: it trims the logs that are past their bounds.
func (s *Store) keepLoop() {
	defer close(s.kept)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	due := make(map[*Log]time.Time) // when to look for old events next
	for {
		timed := false
		select {
		case <-s.stop:
			return
		case <-s.keeper:
		case <-timer.C:
			timed = true
		}
		now := time.Now()
		next := time.Hour
		for _, l := range s.openLogs() {
			l.mu.Lock()
			trim := l.overdue()
			l.mu.Unlock()
			interval := l.trimInterval()
			at, ok := due[l]
			if interval > 0 && (!ok || at.After(now.Add(interval))) {
				at = now.Add(interval)
			}
			if interval > 0 && timed && !now.Before(at) {
				trim, at = true, now.Add(interval)
			}
			if interval > 0 {
				due[l] = at
				next = min(next, max(at.Sub(now), time.Millisecond))
			} else {
				delete(due, l)
			}
			if !trim {
				continue
			}
			if err := l.Trim(s.ctx); err != nil && s.ctx.Err() == nil && !errors.Is(err, eventlog.ErrClosed) {
				s.opts.Logger.Warn().Err(err).Str("log", l.name).Msg("trimming failed")
				next = min(next, time.Second)
			}
		}
		timer.Reset(next)
	}
}
