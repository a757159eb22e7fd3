package socketio

import (
	"sync"
	"time"
)

// lobby holds the connections that have not joined a namespace yet, oldest first, and closes those that
// stay too long. All wait equally long, so that one timer, for the oldest, does for all of them.
type lobby struct {
	timeout time.Duration

	mu      sync.Mutex
	first   *conn
	last    *conn
	timer   *time.Timer // nil while nobody waits
	stopped bool
}

// waiting are a connection's links in the lobby.
type waiting struct {
	prev, next *conn
	until      time.Time
}

func (l *lobby) init(timeout time.Duration) { l.timeout = timeout }

func (l *lobby) add(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	c.waiting = &waiting{prev: l.last, until: time.Now().Add(l.timeout)}
	if l.last != nil {
		l.last.waiting.next = c
	} else {
		l.first = c
	}
	l.last = c
	if l.timer == nil {
		l.timer = time.AfterFunc(l.timeout, l.sweep)
	}
}

// remove takes a connection out; it may be out already.
func (l *lobby) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unlink(c)
}

func (l *lobby) unlink(c *conn) {
	w := c.waiting
	if w == nil {
		return
	}
	c.waiting = nil
	if w.prev != nil {
		w.prev.waiting.next = w.next
	} else {
		l.first = w.next
	}
	if w.next != nil {
		w.next.waiting.prev = w.prev
	} else {
		l.last = w.prev
	}
}

// sweep closes whoever is due, and sets the timer for the next.
func (l *lobby) sweep() {
	var due []*conn
	now := time.Now()
	l.mu.Lock()
	for l.first != nil && !l.first.waiting.until.After(now) {
		due = append(due, l.first)
		l.unlink(l.first)
	}
	switch {
	case l.stopped || l.first == nil:
		l.timer = nil
	default:
		l.timer = time.AfterFunc(l.first.waiting.until.Sub(now), l.sweep)
	}
	l.mu.Unlock()
	for _, c := range due {
		c.server.opts.Logger.Debug().Str("sid", c.session.ID()).Msg("no namespace joined in time")
		c.shut(reasonForcedServerClose)
	}
}

func (l *lobby) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
}
