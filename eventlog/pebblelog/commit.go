package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/eventlog"
)

const (
	// A log begins a new segment after this many events or bytes, or sooner, so that a sixteenth of its
	// retention can be dropped at a time.
	maxSegmentEvents = 1 << 20
	maxSegmentBytes  = 64 << 20
	minSegmentEvents = 256
	minSegmentBytes  = 128 << 10
)

// submission is a batch on its way to the committer, or a trimming.
type submission struct {
	log   *Log
	batch *eventlog.Batch
	trim  *trimming
	// create writes the rows of a log that is new.
	create bool
	err    error // it was refused already and only waits for its turn to be answered
	size   int64
}

// answered is a submission after its group's commit.
type answered struct {
	batch *eventlog.Batch
	log   *Log
	first uint64
	err   error
}

// draft is what a group does to one log. It takes effect when the group is committed.
type draft struct {
	log      *Log
	rec      headRecord
	bytes    int64
	segments []segmentMeta
	appends  uint64
	changed  bool // segments is a copy of its own
}

func (s *Store) submit(sub submission) error {
	if b := sub.batch; b != nil {
		for i := range b.Records {
			sub.size += b.Records[i].Size()
		}
		for i := range b.Put {
			sub.size += int64(len(b.Put[i].Key) + len(b.Put[i].Value))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.log.isClosed() || s.closed {
		return eventlog.ErrClosed
	}
	if sub.size > 0 && s.pendingBytes+sub.size > s.opts.MaxPending && s.pendingBytes > 0 {
		// It keeps its place, so that Done is called in order.
		sub.err = fmt.Errorf("%w: %d bytes wait to be committed", eventlog.ErrFull, s.pendingBytes)
		sub.batch = &eventlog.Batch{Done: sub.batch.Done}
		sub.size = 0
	}
	if sub.trim != nil {
		s.trims = append(s.trims, sub) // ahead of whatever waits: the more there is, the sooner it is due
	} else {
		s.pendingBytes += sub.size
		s.pending = append(s.pending, sub)
	}
	sub.log.pending.Add(1)
	signal(s.wake)
	return nil
}

// signal wakes a goroutine that waits on c, which has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take removes the next group from what is pending.
func (s *Store) take(group []submission) ([]submission, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	group = append(group, s.trims...)
	clear(s.trims)
	s.trims = s.trims[:0]
	size, n := int64(0), 0
	most := min(s.groupBytes, s.flushBytes.Load())
	for n < len(s.pending) && (n == 0 || size+s.pending[n].size <= most) {
		size += s.pending[n].size
		n++
	}
	group = append(group, s.pending[:n]...)
	clear(s.pending[:n])
	if s.pending = s.pending[n:]; len(s.pending) == 0 {
		s.pending = s.spare[:0]
	}
	s.pendingBytes -= size
	return group, s.closed && len(group) == 0
}

// commitLoop is the committer: the only goroutine that writes to the database.
func (s *Store) commitLoop() {
	defer close(s.answers)
	var group []submission
	for {
		select {
		case <-s.wake:
			_ = s.noticeFreeze() // the next commit meets it too
		case <-s.health.timer.C:
			s.heal()
		}
		for {
			var last bool
			if group, last = s.take(group[:0]); last {
				s.health.timer.Stop()
				return
			} else if len(group) == 0 {
				break
			}
			s.answers <- s.commit(group)
			clear(group)
			s.free()
		}
	}
}

// answerLoop calls the Done functions, while the next group is being committed.
func (s *Store) answerLoop() {
	defer close(s.answered)
	for answers := range s.answers {
		for i := range answers {
			a := &answers[i]
			if a.batch != nil && a.batch.Done != nil {
				a.batch.Done(a.first, a.err)
			}
			a.log.pending.Done()
		}
	}
}

// commit writes one group, synced, and returns the answers to it.
func (s *Store) commit(group []submission) []answered {
	answers := make([]answered, len(group))
	refuse := s.admit() // nil, or why only what frees room is taken
	var (
		drafts []*draft
		batch  *pebble.Batch
		err    error
		now    = time.Now()
	)
	for i := range group {
		sub, a := &group[i], &answers[i]
		a.log, a.batch = sub.log, sub.batch
		if a.err = sub.err; a.err == nil && refuse != nil && !(sub.frees() && s.canFree()) {
			a.err = refuse
		}
		if a.err != nil || err != nil {
			continue
		}
		if batch == nil {
			batch = s.db.NewBatch()
		}
		a.first, err = s.writeSubmission(batch, draftOf(&drafts, sub.log), sub, now)
	}
	if batch != nil {
		if err == nil {
			err = s.write(batch, drafts)
		}
		err = errors.Join(err, batch.Close())
	}
	if err == nil {
		for _, d := range drafts {
			d.publish()
		}
	} else {
		s.gaps = nil // found again when the database is opened anew
	}
	for i := range answers {
		a := &answers[i]
		if a.err == nil && err != nil {
			a.first, a.err = 0, err
		}
		if a.err != nil {
			a.log.mu.Lock()
			a.log.stats.Failures++
			a.log.mu.Unlock()
		}
	}
	return answers
}

// writeSubmission adds a submission's rows to the group's batch and returns what its Done is told.
func (s *Store) writeSubmission(batch *pebble.Batch, d *draft, sub *submission, now time.Time) (uint64, error) {
	switch {
	case sub.trim != nil:
		return 0, d.trim(batch, sub.trim)
	case sub.create:
		id := binary.BigEndian.AppendUint32(nil, sub.log.id)
		return 0, batch.Set(registryKey(sub.log.name), id, nil)
	}
	return d.add(batch, sub.batch, now)
}

// frees says whether a submission leaves the store with less than before.
func (sub *submission) frees() bool {
	if sub.trim != nil || sub.create {
		return sub.trim != nil
	}
	return sub.batch.Frees || len(sub.batch.Records) == 0 && len(sub.batch.Put) == 0
}

func draftOf(drafts *[]*draft, l *Log) *draft {
	for _, d := range *drafts {
		if d.log == l {
			return d
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &draft{log: l, rec: l.rec, bytes: l.bytes, segments: *l.segments.Load()}
	*drafts = append(*drafts, d)
	return d
}

// write commits the group's rows as durably as the store was opened for and makes them visible to readers.
func (s *Store) write(batch *pebble.Batch, drafts []*draft) error {
	var buf [headRecordLen]byte
	for _, d := range drafts {
		if err := batch.Set(d.log.headKey(), d.rec.append(buf[:0]), nil); err != nil {
			return fmt.Errorf("%w: %w", eventlog.ErrWrite, err)
		}
	}
	lost := s.guard.lost.Load()
	if s.opts.NoSync {
		if err := s.db.Apply(batch, pebble.NoSync); err != nil {
			return fmt.Errorf("%w: %w", eventlog.ErrWrite, err)
		}
	} else {
		if err := s.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
			return fmt.Errorf("%w: %w", eventlog.ErrWrite, err)
		}
		if err := batch.SyncWait(); err != nil {
			s.guard.freeze(err)
		}
	}
	if s.guard.lost.Load() != lost {
		_ = s.withhold() // tried again before the store is opened anew, or closed
		return s.noticeFreeze()
	}
	for _, d := range drafts {
		d.log.first.Store(d.rec.first) // before the view, see Log
		d.log.segments.Store(&d.segments)
	}
	s.views.publish(s.db.NewSnapshot())
	if s.unflushed += int64(batch.Len()); s.unflushed >= s.flushBytes.Load() {
		s.unflushed = 0
		if _, err := s.db.AsyncFlush(); err != nil {
			s.opts.Logger.Warn().Err(err).Msg("event store: flush")
		}
		s.awaitRoom()
	}
	return nil
}

// maxSublevels is how far compactions may be behind before they are waited for.
const maxSublevels = 16

// awaitRoom holds up the next group while compactions are behind: while there are too many tables for a
// read to look into, and while what was trimmed is freed more slowly than new events come. The latter a
// little near the bound, longer past it, since what is under way may take up to the limit of 1.2 times of it:
// otherwise a store with a small bound outgrows it.
func (s *Store) awaitRoom() {
	bound := s.diskBound()
	const pause = 5 * time.Millisecond
	for waited := time.Duration(0); waited < 2*time.Second && !s.guard.frozen.Load(); waited += pause {
		m := s.db.Metrics()
		if m.Levels[0].Sublevels <= maxSublevels {
			size := int64(0)
			if bound > 0 {
				size = s.Size() - s.unboundedSize()
			}
			if size < bound-bound/16 || size < bound+bound/32 && waited > 50*time.Millisecond || bound == 0 {
				return
			}
			if m.Compact.NumInProgress == 0 && m.Flush.NumInProgress == 0 && m.Table.ObsoleteCount == 0 {
				return // nothing is under way that would free any
			}
		}
		time.Sleep(pause)
	}
}

// diskBound is the sum of the logs' byte bounds, of those that are not full yet in proportion; 0 where none is
// full.
func (s *Store) diskBound() int64 {
	sum, full := int64(0), false
	for _, l := range s.openLogs() {
		l.mu.Lock()
		if bound := l.retention.MaxBytes; bound > 0 {
			most := l.maxBytes()
			full = full || l.bytes >= most-most/16
			sum += int64(float64(bound) * min(float64(l.bytes)/float64(most), 1))
		}
		l.mu.Unlock()
	}
	if !full {
		return 0
	}
	return sum
}

// unboundedSize is what the tables hold that no byte bound is about: the logs' state, and the events of logs
// without a bound. Tables that partly do are estimated.
func (s *Store) unboundedSize() int64 {
	size, err := s.db.EstimateDiskUsage([]byte{metaByte}, []byte{stateByte + 1})
	if err != nil {
		return 0
	}
	for _, l := range s.openLogs() {
		l.mu.Lock()
		bounded := l.retention.MaxBytes > 0
		l.mu.Unlock()
		if bounded {
			continue
		}
		for _, segment := range *l.segments.Load() {
			n, err := s.db.EstimateDiskUsage(appendDataPrefix(nil, segment.id), appendDataPrefix(nil, segment.id+1))
			if err != nil {
				return int64(size)
			}
			size += n
		}
	}
	return int64(size)
}

// publish makes the group's effect on a log its state.
func (d *draft) publish() {
	l := d.log
	l.mu.Lock()
	// The keeper has no date for a log that was empty.
	due := l.retention.MaxAge > 0 && l.rec.first > l.rec.head
	l.rec, l.bytes = d.rec, d.bytes
	l.stats.Appends += d.appends
	l.stats.Commits++
	due = due || l.overdue()
	l.mu.Unlock()
	l.head.Store(d.rec.head)
	if due {
		l.store.signalKeeper()
	}
}

// add adds a batch's rows and returns what its Done is told.
func (d *draft) add(batch *pebble.Batch, b *eventlog.Batch, now time.Time) (first uint64, err error) {
	l := d.log
	first = d.rec.head + min(uint64(len(b.Records)), 1)
	for i := range b.Records {
		if err := d.addEvent(batch, &b.Records[i], now); err != nil {
			return 0, err
		}
	}
	for _, key := range b.Delete {
		if err := batch.Delete(l.stateKey(key), nil); err != nil {
			return 0, err
		}
	}
	for i := range b.Put {
		if err := batch.Set(l.stateKey(b.Put[i].Key), b.Put[i].Value, nil); err != nil {
			return 0, err
		}
	}
	return first, nil
}

// addEvent adds an event's row and those of its rooms.
func (d *draft) addEvent(batch *pebble.Batch, r *eventlog.Record, now time.Time) error {
	seq := d.rec.head + 1
	d.rec.last = microsAfter(now, d.rec.last)
	if err := d.roll(batch, seq); err != nil {
		return err
	}
	segment := &d.segments[len(d.segments)-1]

	op := batch.SetDeferred(eventKeyLen, eventLen(r))
	segment.appendEventKey(op.Key[:0], seq)
	appendEvent(op.Value[:0], d.rec.last, r)
	if err := op.Finish(); err != nil {
		return err
	}
	index := func(room int) []byte {
		op = batch.SetDeferred(dataPrefixLen+1+room+4, 0)
		k := append(appendDataPrefix(op.Key[:0], segment.id), indexRow)
		binary.BigEndian.PutUint32(op.Key[len(op.Key)-4:], uint32(seq-segment.first))
		return k
	}
	if len(r.Rooms) == 0 {
		_ = append(index(1), everyone)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	for _, room := range r.Rooms {
		k := append(index(1+uvarintLen(uint64(len(room)))+len(room)), oneRoom)
		_ = append(binary.AppendUvarint(k, uint64(len(room))), room...)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	d.rec.head = seq
	d.rec.bytes += r.Size()
	d.bytes += r.Size()
	d.appends++
	return nil
}

// roll begins a segment with seq if the last one is full or there is none.
func (d *draft) roll(batch *pebble.Batch, seq uint64) error {
	l := d.log
	n := len(d.segments)
	if n > 0 {
		last := d.segments[n-1]
		if !l.segmentFull(&d.rec, &last, seq) {
			return nil
		}
		last.bytes = d.rec.bytes
		if err := batch.Set(l.segmentKey(last.first), last.value(), nil); err != nil {
			return err
		}
		d.own()
		d.segments[n-1] = last
	}
	d.own()
	next := segmentMeta{first: seq, id: l.store.live.add(), start: d.rec.last}
	d.segments = append(d.segments, next)
	d.rec.bytes = 0
	if n == 0 {
		d.rec.trimmed = 0
	}
	return batch.Set(l.segmentKey(seq), next.value(), nil)
}

// own makes segments the draft's, since readers have the log's.
func (d *draft) own() {
	if !d.changed {
		d.segments = append(make([]segmentMeta, 0, len(d.segments)+4), d.segments...)
		d.changed = true
	}
}

// segmentFull says whether seq begins a new segment after last.
func (l *Log) segmentFull(rec *headRecord, last *segmentMeta, seq uint64) bool {
	events, bytes := uint64(maxSegmentEvents), int64(maxSegmentBytes)
	l.mu.Lock()
	r := l.retention
	l.mu.Unlock()
	if r.MaxEvents > 0 {
		events = min(events, max(r.MaxEvents/16, minSegmentEvents))
	}
	if r.MaxBytes > 0 {
		bytes = min(bytes, max(r.MaxBytes/16, minSegmentBytes))
	}
	if seq-last.first >= events || rec.bytes >= bytes {
		return true
	}
	return r.MaxAge > 0 && rec.last-last.start > r.MaxAge.Microseconds()/16 && seq-last.first >= minSegmentEvents
}
