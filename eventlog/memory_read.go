package eventlog

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
)

const (
	// What one Read returns at most when the query names no bound.
	defaultPageEvents = 1024
	defaultPageBytes  = 4 << 20
)

// memoryView is a log at one moment. It is read without a lock: sealed segments never change, and the
// copy of the last one's headers ends where the log ended.
type memoryView struct {
	segments    []*segment
	first, head uint64
}

func (l *memoryLog) view() memoryView {
	l.mu.RLock()
	defer l.mu.RUnlock()
	v := memoryView{segments: l.segments, first: l.first, head: l.head.Load()}
	if n := len(v.segments); n > 0 && !v.segments[n-1].sealed {
		open := *v.segments[n-1]
		open.blocks = slices.Clone(open.blocks)
		v.segments = append(v.segments[:n-1:n-1], &open)
	}
	return v
}

func (l *memoryLog) Read(ctx context.Context, q Query) (Page, error) {
	if l.isClosed() {
		return Page{}, ErrClosed
	}
	v := l.view()
	if q.Until == 0 || q.Until > v.head {
		q.Until = v.head
	}
	if !q.Reverse && q.After < v.first-1 {
		return Page{}, fmt.Errorf("%w: after %d, the first is %d", ErrTrimmed, q.After, v.first)
	}
	q.After = max(q.After, v.first-1)
	if q.Limit <= 0 {
		q.Limit = defaultPageEvents
	}
	if q.MaxBytes <= 0 {
		q.MaxBytes = defaultPageBytes
	}
	page := Page{Next: q.Until}
	if !q.Reverse {
		page.Next = max(q.After, q.Until)
	}
	if q.After >= q.Until {
		return page, nil
	}

	hashes := l.hashes(q.Rooms)
	size, d := 0, decoder{}
	var found []uint32
	for i, n := 0, len(v.segments); i < n; i++ {
		s := v.segments[i]
		if q.Reverse {
			s = v.segments[n-1-i]
		}
		if s.end() <= q.After+1 || s.first > q.Until {
			continue
		}
		if err := ctx.Err(); err != nil {
			return Page{}, err
		}
		from := uint32(max(q.After+1, s.first) - s.first)
		to := uint32(min(q.Until+1, s.end()) - s.first)
		found = found[:0]
		if q.Rooms == nil {
			for k := from; k < to; k++ {
				found = append(found, k)
			}
		} else {
			found = s.find(found, hashes, from, to)
		}
		if q.Reverse {
			slices.Reverse(found)
		}
		for _, k := range found {
			e := d.event(s, k)
			if q.Rooms != nil && !concerns(&e, q.Rooms) {
				continue // another room with the same hash
			}
			if len(page.Events) > 0 && (len(page.Events) == q.Limit || size+len(e.Data) > q.MaxBytes) {
				page.More = true
				page.Next = page.Events[len(page.Events)-1].Seq
				if q.Reverse {
					page.Next--
				}
				return page, nil
			}
			page.Events = append(page.Events, e)
			size += len(e.Data)
		}
	}
	return page, nil
}

// hashes are the index rows' rooms for a query: the rooms asked for and everyone.
func (l *memoryLog) hashes(rooms []string) []uint32 {
	hashes := make([]uint32, 0, len(rooms)+1)
	hashes = append(hashes, everyoneRow)
	for _, room := range rooms {
		hashes = append(hashes, hashRoom(l.seed, room))
	}
	slices.Sort(hashes)
	return slices.Compact(hashes)
}

// concerns says whether an event is for one of the rooms or for everyone.
func concerns(e *Event, rooms []string) bool {
	if len(e.Rooms) == 0 {
		return true
	}
	for _, r := range e.Rooms {
		if slices.Contains(rooms, r) {
			return true
		}
	}
	return false
}

func (l *memoryLog) HeadOf(ctx context.Context, rooms []string) (uint64, error) {
	if l.isClosed() {
		return 0, ErrClosed
	}
	v := l.view()
	if rooms == nil {
		if v.first > v.head {
			return 0, nil
		}
		return v.head, nil
	}
	hashes := l.hashes(rooms)
	var found []uint32
	d := decoder{}
	for _, s := range slices.Backward(v.segments) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if s.end() <= v.first {
			break
		}
		found = s.find(found[:0], hashes, uint32(max(v.first, s.first)-s.first), s.count)
		for _, k := range slices.Backward(found) {
			if e := d.event(s, k); concerns(&e, rooms) {
				return e.Seq, nil
			}
		}
	}
	return 0, nil
}

func (l *memoryLog) Get(_ context.Context, key string) ([]byte, error) {
	if l.isClosed() {
		return nil, ErrClosed
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	v, ok := l.state.get(key)
	if !ok {
		return nil, ErrNotFound
	}
	return append([]byte{}, v...), nil
}

func (l *memoryLog) Scan(ctx context.Context, prefix, after string, f func(string, []byte) bool) error {
	if l.isClosed() {
		return ErrClosed
	}
	// In parts, so that f is called without the lock.
	var part []KV
	for n := 16; ; n = min(2*n, 512) {
		if err := ctx.Err(); err != nil {
			return err
		}
		part = part[:0]
		l.mu.RLock()
		for k, v := range l.state.from(max(prefix, after)) {
			if !strings.HasPrefix(k, prefix) || len(part) == n {
				break
			}
			if after == "" || k > after {
				part = append(part, KV{k, v})
			}
		}
		l.mu.RUnlock()
		for _, kv := range part {
			if !f(kv.Key, kv.Value) {
				return nil
			}
			after = kv.Key
		}
		if len(part) < n {
			return nil
		}
	}
}

// orderedTable is a map of strings that can be read in byte order: sorted runs of bounded length.
type orderedTable struct {
	runs [][]KV
}

const runLength = 128

// run is the index of the run in which key is or belongs.
func (t *orderedTable) run(key string) int {
	return max(sort.Search(len(t.runs), func(i int) bool { return t.runs[i][0].Key > key })-1, 0)
}

func (t *orderedTable) find(key string) (run, i int, ok bool) {
	if len(t.runs) == 0 {
		return 0, 0, false
	}
	run = t.run(key)
	i, ok = slices.BinarySearchFunc(t.runs[run], key, func(kv KV, key string) int {
		return strings.Compare(kv.Key, key)
	})
	return run, i, ok
}

func (t *orderedTable) get(key string) ([]byte, bool) {
	if r, i, ok := t.find(key); ok {
		return t.runs[r][i].Value, true
	}
	return nil, false
}

func (t *orderedTable) put(key string, value []byte) {
	r, i, ok := t.find(key)
	switch {
	case ok:
		t.runs[r][i].Value = value
		return
	case len(t.runs) == 0:
		t.runs = append(t.runs, []KV{{key, value}})
		return
	}
	run := slices.Insert(t.runs[r], i, KV{key, value})
	if len(run) <= runLength {
		t.runs[r] = run
		return
	}
	half := len(run) / 2
	t.runs = slices.Insert(t.runs, r+1, slices.Clone(run[half:]))
	clear(run[half:])
	t.runs[r] = run[:half]
}

func (t *orderedTable) delete(key string) {
	r, i, ok := t.find(key)
	if !ok {
		return
	}
	t.runs[r] = slices.Delete(t.runs[r], i, i+1)
	if len(t.runs[r]) == 0 {
		t.runs = slices.Delete(t.runs, r, r+1)
	}
}

// from yields the entries from key on, in order.
func (t *orderedTable) from(key string) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		r, i, _ := t.find(key)
		for ; r < len(t.runs); r, i = r+1, 0 {
			for ; i < len(t.runs[r]); i++ {
				if !yield(t.runs[r][i].Key, t.runs[r][i].Value) {
					return
				}
			}
		}
	}
}
