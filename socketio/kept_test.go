package socketio

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/eventlog"
)

// fussyLog is a log that can be full, and that tells when it was scanned.
type fussyLog struct {
	eventlog.Log
	full    atomic.Bool
	scanned func() // called at the end of a Scan, if set
}

func (l *fussyLog) Submit(b *eventlog.Batch) error {
	if !l.full.Load() {
		return l.Log.Submit(b)
	}
	return l.Log.Submit(&eventlog.Batch{Done: func(uint64, error) { b.Done(0, eventlog.ErrFull) }})
}

func (l *fussyLog) Err() error {
	if l.full.Load() {
		return eventlog.ErrFull
	}
	return l.Log.Err()
}

func (l *fussyLog) Scan(ctx context.Context, prefix, after string, f func(string, []byte) bool) error {
	err := l.Log.Scan(ctx, prefix, after, f)
	if l.scanned != nil {
		l.scanned()
	}
	return err
}

// fussy is recoverable with such a log, on a server that has been up for longer than the window.
func fussy(t *testing.T) (*Namespace, string, *fussyLog) {
	t.Helper()
	log := &fussyLog{}
	_, n, url, _ := recoverable(t, nil, func(o *RecoveryOptions) {
		log.Log = o.Log
		o.Log = log
	})
	n.outlet.flow.started = time.Now().Add(-time.Hour)
	n.OnConnect(func(s *Socket) error { return s.Join("room") })
	return n, url, log
}

func (b *comeback) joined(n *Namespace) {
	b.t.Helper()
	eventually(b.t, "joined", func() bool { s := n.Socket(b.sid); return s != nil && s.InRoom("room") })
}

// record is what the log has of a session.
func record(t *testing.T, log eventlog.Log, pid string) (session, bool) {
	t.Helper()
	value, err := log.Get(t.Context(), sessionKey+pid)
	if err != nil {
		return session{}, false
	}
	var r session
	if err := json.Unmarshal(value, &r); err != nil {
		t.Fatal(err)
	}
	return r, true
}

func TestRecoveryOfWhoWasCutOffWhileTheLogWasFull(t *testing.T) {
	n, url, log := fussy(t)
	b := &comeback{t: t, url: url}
	b.connect()
	b.joined(n)
	mustEmit(t, n.To("room"), "e", 1)
	b.until("e")

	log.full.Store(true)
	b.drop()
	b.gone(n)
	n.outlet.flow.drain(t.Context())
	n.outlet.flow.reapOnce(t.Context())
	b.connect()
	if !b.recovered {
		t.Fatal("not recovered while the log was full")
	}

	b.drop()
	b.gone(n)
	n.outlet.flow.drain(t.Context())
	log.full.Store(false)
	mustEmit(t, n.To("room"), "e", 2) // the log has the session before it has the event
	eventually(t, "the session in the log", func() bool { r, ok := record(t, log, b.pid); return ok && r.Gone != 0 })
	if r, _ := record(t, log, b.pid); len(r.Rooms) != 1 || r.Rooms[0].Room != "room" {
		t.Fatalf("kept as %+v", r)
	}
	b.connect()
	mustEmit(t, n.To("room"), "end")
	b.until("end")
	if got := b.names(); !b.recovered || got != "e1 e2 end" {
		t.Fatal(b.recovered, got)
	}
}

func TestSessionsThatTheLogDoesNotTakeAreForgottenInTime(t *testing.T) {
	n, url, log := fussy(t)
	b := &comeback{t: t, url: url}
	b.connect()
	b.joined(n)
	log.full.Store(true)
	b.drop()
	b.gone(n)
	f := n.outlet.flow
	f.drain(t.Context())
	adrift := func() int { n.mu.Lock(); defer n.mu.Unlock(); return len(f.adrift) }
	eventually(t, "adrift", func() bool { return adrift() == 1 })
	n.mu.Lock()
	f.adrift[b.pid].session.Gone = time.Now().Add(-2 * f.opts.Window).UnixMilli()
	n.mu.Unlock()
	f.reapOnce(t.Context())
	eventually(t, "forgotten", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(f.departed) == 0 })
	if adrift() != 0 {
		t.Fatal("still there")
	}
}

// The record of a session in use has no end, and looks like one that a crash long ago left behind.
func TestReapingSparesWhoIsCutOffMeanwhile(t *testing.T) {
	n, url, log := fussy(t)
	b := &comeback{t: t, url: url}
	b.connect()
	b.joined(n)
	f := n.outlet.flow
	log.scanned = func() {
		log.scanned = nil
		b.drop()
		b.gone(n)
		eventually(t, "its departure in the log", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(f.departed) == 0 })
	}
	f.reapOnce(t.Context())
	f.drain(t.Context())
	mustEmit(t, n.To("room"), "e", 1)
	b.connect()
	if !b.recovered {
		t.Fatal("its session was taken for an old one")
	}
	b.until("e")
}
