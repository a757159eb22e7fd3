package pebblelog

import (
	"bytes"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/eventlog"
)

const (
	// What one Read returns at most when the query names no bound.
	defaultPageEvents = 1024
	defaultPageBytes  = 4 << 20
)

func be64(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// reader answers one query from a view of the database.
type reader struct {
	l        *Log
	snap     *pebble.Snapshot
	segments []segmentMeta
	q        eventlog.Query
	head     uint64
	page     eventlog.Page
	size     int

	events *pebble.Iterator
	key    []byte
}

// Read implements eventlog.Log.
func (l *Log) Read(ctx context.Context, q eventlog.Query) (page eventlog.Page, err error) {
	if l.isClosed() {
		return eventlog.Page{}, eventlog.ErrClosed
	}
	// The order matters: the view has all up to head, and lacks nothing from first on.
	head := l.head.Load()
	v, err := l.store.views.acquire(ctx)
	if err != nil {
		return eventlog.Page{}, err
	}
	defer v.release()
	segments := *l.segments.Load()
	first := l.first.Load()

	if q.Until == 0 || q.Until > head {
		q.Until = head
	}
	if !q.Reverse && q.After < first-1 {
		return eventlog.Page{}, fmt.Errorf("%w: after %d, the first is %d", eventlog.ErrTrimmed, q.After, first)
	}
	q.After = max(q.After, first-1)
	if q.Limit <= 0 {
		q.Limit = defaultPageEvents
	}
	if q.MaxBytes <= 0 {
		q.MaxBytes = defaultPageBytes
	}
	r := reader{l: l, snap: v.snap, segments: segments, q: q, head: head}
	r.page.Next = q.Until
	if !q.Reverse {
		r.page.Next = max(q.After, q.Until)
	}
	if q.After >= q.Until {
		return r.page, nil
	}
	err = r.read(ctx)
	if r.events != nil {
		err = errors.Join(err, r.events.Close())
	}
	if err != nil {
		return eventlog.Page{}, l.store.readError(err)
	}
	return r.page, nil
}

func (r *reader) read(ctx context.Context) (err error) {
	bounds := dataBounds(r.segments)
	r.events, err = r.snap.NewIter(bounds)
	if err != nil {
		return err
	}
	rooms := roomKeys(r.q.Rooms)
	for i, n := 0, len(r.segments); i < n; i++ {
		k := i
		if r.q.Reverse {
			k = n - 1 - i
		}
		segment, end := &r.segments[k], r.end(k)
		if end <= r.q.After || segment.first > r.q.Until {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		from, to := max(segment.first, r.q.After+1), min(end, r.q.Until)
		var done bool
		// Few events: looking at each costs less than looking for each room.
		if r.q.Rooms == nil || to-from < 2*uint64(len(rooms)) {
			done, err = r.readRange(segment, from, to)
		} else {
			done, err = r.readRooms(ctx, segment, from, to, rooms)
		}
		if err != nil || done {
			return err
		}
	}
	return nil
}

// end is the last sequence of segment k.
func (r *reader) end(k int) uint64 {
	if k+1 < len(r.segments) {
		return r.segments[k+1].first - 1
	}
	return r.head
}

// dataBounds are those of the segments' rows; other logs' lie between them.
func dataBounds(segments []segmentMeta) *pebble.IterOptions {
	if len(segments) == 0 {
		return &pebble.IterOptions{UpperBound: []byte{0}}
	}
	return &pebble.IterOptions{
		LowerBound: appendDataPrefix(nil, segments[0].id),
		UpperBound: appendDataPrefix(nil, segments[len(segments)-1].id+1),
	}
}

// roomKeys are the rooms of the index rows that a query wants: those asked for and everyone.
func roomKeys(rooms []string) [][]byte {
	keys := make([][]byte, 0, len(rooms)+1)
	keys = append(keys, everyoneKey)
	for _, room := range rooms {
		keys = append(keys, roomKey(room))
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

// take adds an event to the page; it says true when the page is full without it.
func (r *reader) take(e eventlog.Event) bool {
	n := len(r.page.Events)
	if n > 0 && (n == r.q.Limit || r.size+len(e.Data) > r.q.MaxBytes) {
		r.page.More = true
		r.page.Next = r.page.Events[n-1].Seq
		if r.q.Reverse {
			r.page.Next--
		}
		return true
	}
	r.page.Events = append(r.page.Events, e)
	r.size += len(e.Data)
	return false
}

// readRange reads all events from..to of a segment and keeps those that the query wants.
func (r *reader) readRange(segment *segmentMeta, from, to uint64) (done bool, err error) {
	step, seq := r.events.Next, from
	if r.q.Reverse {
		step, seq = r.events.Prev, to
	}
	r.key = segment.appendEventKey(r.key[:0], seq)
	for ok := r.events.SeekGE(r.key); ; ok = step() {
		if !ok || !bytes.Equal(r.events.Key(), r.key) {
			return false, r.missing(seq)
		}
		e, err := r.event(seq)
		if err != nil {
			return false, err
		}
		if wanted(&e, r.q.Rooms) && r.take(e) {
			return true, nil
		}
		if r.q.Reverse {
			if seq == from {
				return false, nil
			}
			seq--
		} else {
			if seq == to {
				return false, nil
			}
			seq++
		}
		r.key = segment.appendEventKey(r.key[:0], seq)
	}
}

// event decodes the event under the iterator.
func (r *reader) event(seq uint64) (eventlog.Event, error) {
	v, err := r.events.ValueAndErr()
	if err != nil {
		return eventlog.Event{}, err
	}
	e, err := decodeEvent(seq, v)
	if err != nil {
		return e, fmt.Errorf("%w: event %d of log %q does not decode", eventlog.ErrCorrupt, seq, r.l.name)
	}
	return e, nil
}

// missing is the error for an event that must be there and is not.
func (r *reader) missing(seq uint64) error {
	if err := r.events.Error(); err != nil {
		return err
	}
	return fmt.Errorf("%w: event %d of log %q is missing", eventlog.ErrCorrupt, seq, r.l.name)
}

func wanted(e *eventlog.Event, rooms []string) bool {
	if rooms == nil || len(e.Rooms) == 0 {
		return true
	}
	for _, room := range e.Rooms {
		if slices.Contains(rooms, room) {
			return true
		}
	}
	return false
}

// readRooms merges the index rows of the rooms within from..to of a segment and reads the events that
// they name.
func (r *reader) readRooms(ctx context.Context, segment *segmentMeta, from, to uint64, rooms [][]byte) (done bool, err error) {
	it, err := r.snap.NewIter(dataBounds(r.segments))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()

	m := merge{reverse: r.q.Reverse}
	for _, room := range rooms {
		c := &cursor{it: it, prefix: segment.appendIndexPrefix(nil, room), base: segment.first, from: from, to: to}
		if r.q.Reverse {
			err = c.fillBack()
		} else {
			err = c.fill()
		}
		if err != nil {
			return false, err
		}
		if len(c.rows) > 0 {
			m.cursors = append(m.cursors, c)
		}
	}
	heap.Init(&m)
	last := uint64(0)
	for n := 0; len(m.cursors) > 0; n++ {
		if n%256 == 255 {
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
		c := m.cursors[0]
		seq := c.rows[0]
		if err := c.pop(r.q.Reverse); err != nil {
			return false, err
		}
		if len(c.rows) == 0 {
			heap.Pop(&m)
		} else {
			heap.Fix(&m, 0)
		}
		if seq == last {
			continue // it is in several of the rooms
		}
		last = seq
		r.key = segment.appendEventKey(r.key[:0], seq)
		if !r.events.SeekGE(r.key) || !bytes.Equal(r.events.Key(), r.key) {
			return false, r.missing(seq)
		}
		e, err := r.event(seq)
		if err != nil {
			return false, err
		}
		if r.take(e) {
			return true, nil
		}
	}
	return false, nil
}

// HeadOf implements eventlog.Log.
func (l *Log) HeadOf(ctx context.Context, rooms []string) (newest uint64, err error) {
	if l.isClosed() {
		return 0, eventlog.ErrClosed
	}
	head := l.head.Load()
	if rooms == nil {
		if l.first.Load() > head {
			return 0, nil
		}
		return head, nil
	}
	v, err := l.store.views.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer v.release()
	segments := *l.segments.Load()
	first := l.first.Load()
	it, err := v.snap.NewIter(dataBounds(segments))
	if err != nil {
		return 0, l.store.readError(err)
	}
	defer func() {
		if err = errors.Join(err, it.Close()); err != nil {
			err = l.store.readError(err)
		}
	}()
	keys := roomKeys(rooms)
	last := head
	for k := len(segments) - 1; k >= 0 && newest == 0 && last >= first; k-- {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		segment := &segments[k]
		if segment.first > head {
			continue
		}
		for _, room := range keys {
			from := max(segment.first, first, newest+1)
			if from > last {
				break
			}
			c := cursor{it: it, prefix: segment.appendIndexPrefix(nil, room), base: segment.first}
			if seq, ok := c.row(it.SeekLT(append(c.seekKey(last), 0))); ok && seq >= from {
				newest = seq
			}
			if err := it.Error(); err != nil {
				return 0, err
			}
		}
		last = segment.first - 1
	}
	return newest, nil
}

// segmentOf is the index of the segment that holds seq.
func segmentOf(segments []segmentMeta, seq uint64) int {
	return sort.Search(len(segments), func(i int) bool { return segments[i].first > seq }) - 1
}
