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

// cursor walks the index rows of one room in one segment. It reads them in runs that grow, so that many
// cursors share one iterator.
type cursor struct {
	it       *pebble.Iterator
	prefix   []byte
	base     uint64 // the sequence that offsets are relative to
	from, to uint64 // what is still to be read from the index
	rows     []uint64
	run      int
	ended    bool
	key      []byte
}

const (
	firstRun = 8
	maxRun   = 1024
)

func (c *cursor) nextRun() int {
	c.run = min(max(c.run*2, firstRun), maxRun)
	c.rows = c.rows[:0]
	return c.run
}

func (c *cursor) seekKey(seq uint64) []byte {
	c.key = binary.BigEndian.AppendUint32(append(c.key[:0], c.prefix...), uint32(seq-c.base))
	return c.key
}

// row is the sequence of the index row under the iterator, if it belongs to the cursor.
func (c *cursor) row(ok bool) (uint64, bool) {
	if !ok {
		return 0, false
	}
	k := c.it.Key()
	if len(k) != len(c.prefix)+4 || !bytes.HasPrefix(k, c.prefix) {
		return 0, false
	}
	return c.base + uint64(binary.BigEndian.Uint32(k[len(c.prefix):])), true
}

// fill reads the next run upwards.
func (c *cursor) fill() error {
	n := c.nextRun()
	if c.from > c.to {
		c.ended = true
		return nil
	}
	for ok := c.it.SeekGE(c.seekKey(c.from)); ; ok = c.it.Next() {
		seq, mine := c.row(ok)
		if !mine || seq > c.to {
			c.ended = true
			return c.it.Error()
		}
		c.rows = append(c.rows, seq)
		c.from = seq + 1
		if len(c.rows) == n {
			return nil
		}
	}
}

// fillBack reads the next run downwards.
func (c *cursor) fillBack() error {
	n := c.nextRun()
	if c.to < c.from {
		c.ended = true
		return nil
	}
	for ok := c.it.SeekLT(append(c.seekKey(c.to), 0)); ; ok = c.it.Prev() {
		seq, mine := c.row(ok)
		if !mine || seq < c.from {
			c.ended = true
			return c.it.Error()
		}
		c.rows = append(c.rows, seq)
		c.to = seq - 1
		if len(c.rows) == n {
			return nil
		}
	}
}

// pop drops the first row and reads on when it was the last of its run.
func (c *cursor) pop(reverse bool) error {
	if c.rows = c.rows[1:]; len(c.rows) > 0 || c.ended {
		return nil
	}
	if reverse {
		return c.fillBack()
	}
	return c.fill()
}

// merge is a heap of cursors by their next row.
type merge struct {
	cursors []*cursor
	reverse bool
}

func (m *merge) Len() int { return len(m.cursors) }

func (m *merge) Less(i, j int) bool {
	return (m.cursors[i].rows[0] < m.cursors[j].rows[0]) != m.reverse
}
func (m *merge) Swap(i, j int) { m.cursors[i], m.cursors[j] = m.cursors[j], m.cursors[i] }
func (m *merge) Push(x any)    { m.cursors = append(m.cursors, x.(*cursor)) }
func (m *merge) Pop() any {
	n := len(m.cursors) - 1
	c := m.cursors[n]
	m.cursors = m.cursors[:n]
	return c
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

// Get implements eventlog.Log.
func (l *Log) Get(ctx context.Context, key string) ([]byte, error) {
	if l.isClosed() {
		return nil, eventlog.ErrClosed
	}
	v, err := l.store.views.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer v.release()
	value, closer, err := v.snap.Get(l.stateKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, eventlog.ErrNotFound
	}
	if err != nil {
		return nil, l.store.readError(err)
	}
	value = append([]byte{}, value...)
	return value, closer.Close()
}

// Scan implements eventlog.Log.
func (l *Log) Scan(ctx context.Context, prefix, after string, f func(string, []byte) bool) (err error) {
	if l.isClosed() {
		return eventlog.ErrClosed
	}
	v, err := l.store.views.acquire(ctx)
	if err != nil {
		return err
	}
	defer v.release()
	lower := l.stateKey(prefix)
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upperBound(lower)})
	if err != nil {
		return l.store.readError(err)
	}
	defer func() {
		if err = errors.Join(err, it.Close()); err != nil && ctx.Err() == nil {
			err = l.store.readError(err)
		}
	}()
	ok := false
	if after == "" {
		ok = it.First()
	} else {
		ok = it.SeekGE(append(l.stateKey(after), 0))
	}
	for n := 1; ok; n, ok = n+1, it.Next() {
		if n%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if !f(string(it.Key()[logPrefixLen:]), value) {
			return nil
		}
	}
	return nil
}
