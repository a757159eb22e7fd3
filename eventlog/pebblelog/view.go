package pebblelog

import (
	"context"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/eventlog"
)

// view is the database as the last committed group left it. Pebble shows a batch before its sync is done,
// so readers go through a snapshot that is only handed out afterwards.
type view struct {
	snap *pebble.Snapshot
	v    *views
	refs int // under views.mu; the views' own counts
}

// views hands out the current view and knows when the old ones are no longer read.
type views struct {
	mu      sync.Mutex
	current *view
	open    int           // views whose snapshot is not yet closed
	idle    *sync.Cond    // open went to 0
	changed chan struct{} // closed when current is set after it was nil, or err changes
	err     error         // why there is no view
}

func newViews() *views {
	v := &views{changed: make(chan struct{})}
	v.idle = sync.NewCond(&v.mu)
	return v
}

// publish makes snap what readers see.
func (v *views) publish(snap *pebble.Snapshot) {
	v.mu.Lock()
	old := v.current
	v.current = &view{snap: snap, v: v, refs: 1}
	v.open++
	v.err = nil
	if old == nil {
		close(v.changed)
		v.changed = make(chan struct{})
	}
	v.mu.Unlock()
	if old != nil {
		old.release()
	}
}

// withdraw takes the view away and waits until nobody reads. Readers that come wait for the next view, or
// get err if it is not nil.
func (v *views) withdraw(err error) {
	v.mu.Lock()
	old := v.current
	v.current, v.err = nil, err
	close(v.changed)
	v.changed = make(chan struct{})
	v.mu.Unlock()
	if old != nil {
		old.release()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.open > 0 {
		v.idle.Wait()
	}
}

// acquire returns the current view; the caller must release it.
func (v *views) acquire(ctx context.Context) (*view, error) {
	for {
		v.mu.Lock()
		if c := v.current; c != nil {
			c.refs++
			v.mu.Unlock()
			return c, nil
		}
		err, changed := v.err, v.changed
		v.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *view) release() {
	w.v.mu.Lock()
	w.refs--
	last := w.refs == 0
	w.v.mu.Unlock()
	if !last {
		return
	}
	_ = w.snap.Close() // fails only when closed twice
	w.v.mu.Lock()
	w.v.open--
	if w.v.open == 0 {
		w.v.idle.Broadcast()
	}
	w.v.mu.Unlock()
}

// close ends reading for good.
func (v *views) close() { v.withdraw(eventlog.ErrClosed) }
