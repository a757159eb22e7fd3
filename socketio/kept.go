package socketio

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"holdfast/engineio"
	"holdfast/eventlog"
)

// sessionKey begins the keys of sessions in a log's state table.
const sessionKey = "s/"

// maxPast is how many stays in rooms that are over a session remembers. What was sent to an older one can't be
// handed over any more; a client that is as far behind is not recovered.
const maxPast = 32

// kept is what is remembered of a socket's session for its client to come back to. Namespace.mu guards it.
type kept struct {
	pid   string // the secret by which the client claims it
	user  string // whom the connection middleware took the client for
	begin uint64 // the position at which it began
	floor uint64 // what lies before can't be handed over exactly
	past  []stay
	data  jsontext.Value
	over  *departure // set at the end of the socket
}

// stay is a time in a room: from after From up to To, in sequences of the log; To is 0 while it lasts.
type stay struct {
	Room string `json:"r"`
	From uint64 `json:"f,omitempty"`
	To   uint64 `json:"t,omitempty"`
}

// session is how a session is kept in the log.
type session struct {
	ID    string         `json:"id"`
	Epoch uint64         `json:"epoch"` // of the log whose sequences the session names
	User  string         `json:"user,omitempty"`
	Begin uint64         `json:"begin,omitempty"`
	Floor uint64         `json:"floor,omitempty"`
	Rooms []stay         `json:"rooms,omitempty"` // those it was in
	Past  []stay         `json:"past,omitempty"`
	Data  jsontext.Value `json:"data,omitempty"`
	Gone  int64          `json:"gone,omitempty"` // when its connection ended, Unix milliseconds; 0: it had not
}

// departure is a session between the end of its socket and the moment at which the log has it and the disconnect
// handlers have run.
type departure struct {
	session session
	due     int           // how many of the two are still to come
	handled chan struct{} // closed after the disconnect handlers
}

// covers says whether the session saw what was sent to a room at a sequence.
func (r *session) covers(room string, seq uint64) bool {
	if room == r.ID {
		return seq > r.Begin
	}
	in := func(s stay) bool { return s.Room == room && s.From < seq && (s.To == 0 || seq <= s.To) }
	return slices.ContainsFunc(r.Rooms, in) || slices.ContainsFunc(r.Past, in)
}

// wants says whether an event was for the session.
func (r *session) wants(e *eventlog.Event) bool {
	covered := func(room string) bool { return r.covers(room, e.Seq) }
	if len(e.Rooms) > 0 && !slices.ContainsFunc(e.Rooms, covered) {
		return false
	}
	return !slices.ContainsFunc(e.Except, covered)
}

// since are the rooms in which there may be something for the session after a sequence.
func (r *session) since(seq uint64) []string {
	rooms := []string{r.ID}
	for _, s := range r.Rooms {
		rooms = append(rooms, s.Room)
	}
	for _, s := range r.Past {
		if s.To > seq && !slices.Contains(rooms, s.Room) {
			rooms = append(rooms, s.Room)
		}
	}
	return rooms
}

// sessionOf is the session of a socket as it is now. Namespace.mu is held.
func (f *flow) sessionOf(s *Socket) session {
	k := s.kept
	out := session{ID: s.id, Epoch: f.log.Epoch(), User: k.user, Begin: k.begin, Floor: k.floor, Past: slices.Clone(k.past), Data: k.data}
	for i := range s.rooms {
		stay := stay{Room: s.rooms[i].room.name, From: s.rooms[i].since}
		if !s.rooms[i].leaving {
			out.Rooms = append(out.Rooms, stay)
			continue
		}
		stay.To = f.delivered + (f.submitted - f.settled) // up to what is under way, at most
		out.Past = append(out.Past, stay)
	}
	return out
}

// left notes that a socket left a room in which it was since a sequence. Namespace.mu is held.
func (f *flow) left(s *Socket, room string, since uint64) {
	k := s.kept
	if k == nil || k.over != nil || since == f.delivered {
		return // it is at its end, or nothing was sent meanwhile
	}
	if len(k.past) == maxPast {
		k.floor = max(k.floor, k.past[0].To)
		k.past = slices.Delete(k.past, 0, 1)
	}
	k.past = append(k.past, stay{Room: room, From: since, To: f.delivered})
}

// save has a socket's session written with the next commit. Namespace.mu is held. send, if not nil, runs when that
// is done or has failed.
func (f *flow) save(s *Socket, send func(err error, b *engineio.Batch)) {
	if s.kept == nil {
		return
	}
	err := f.put(s.kept.pid, f.sessionOf(s), func(err error, b *engineio.Batch) {
		if err != nil && s.index >= 0 {
			f.unsaved[s] = struct{}{}
		}
		if send != nil {
			send(err, b)
		}
	})
	if err != nil && send != nil {
		batch := &engineio.Batch{}
		send(err, batch)
		batch.Flush()
	}
}

func (f *flow) put(pid string, r session, send func(err error, b *engineio.Batch)) error {
	value, err := json.Marshal(&r)
	if err != nil {
		return err
	}
	return f.submit(&eventlog.Batch{Put: []eventlog.KV{{Key: sessionKey + pid, Value: value}}}, int64(len(value)),
		func(_ uint64, err error, b *engineio.Batch) func() {
			send(err, b)
			return nil
		})
}

// saveAgain writes the sessions that the log did not take before. Namespace.mu is held.
func (f *flow) saveAgain() {
	if len(f.unsaved) > 0 {
		again := f.unsaved
		f.unsaved = map[*Socket]struct{}{}
		for s := range again {
			if s.index >= 0 {
				f.save(s, nil)
			}
		}
	}
	if len(f.adrift) > 0 {
		again := f.adrift
		f.adrift = map[string]*departure{}
		for pid, d := range again {
			f.saveDeparted(pid, d)
		}
	}
}

// depart keeps a session beyond its socket, or forgets it where the end was wanted. Namespace.mu is held, and the
// socket is still registered.
func (f *flow) depart(s *Socket, wanted bool) {
	k := s.kept
	if k == nil {
		return
	}
	delete(f.live, k.pid)
	delete(f.unsaved, s)
	d := &departure{due: 2, handled: make(chan struct{})}
	k.over = d
	if wanted {
		_ = f.submit(&eventlog.Batch{Delete: []string{sessionKey + k.pid}}, recordOverhead, // a closed log forgets nothing
			func(uint64, error, *engineio.Batch) func() { return nil })
		return
	}
	d.session = f.sessionOf(s)
	d.session.Gone = time.Now().UnixMilli()
	f.departed[k.pid] = d
	if f.recent != nil {
		f.recent[k.pid] = struct{}{}
	}
	f.saveDeparted(k.pid, d)
}

// saveDeparted has the session of a departure written. Where the log does not take it, it stays in memory until the log
// does, the client is back, or its window is over. Namespace.mu is held.
func (f *flow) saveDeparted(pid string, d *departure) {
	err := f.put(pid, d.session, func(err error, _ *engineio.Batch) {
		switch {
		case err == nil:
			f.arrived(pid, d)
		case f.departed[pid] == d:
			f.adrift[pid] = d
		}
	})
	if err != nil { // the log is closed
		f.arrived(pid, d)
	}
}

// arrived notes one of the two things that a departure waits for. Namespace.mu is held.
func (f *flow) arrived(pid string, d *departure) {
	d.due--
	if d.due == 0 && f.departed[pid] == d {
		delete(f.departed, pid)
	}
}

// handled notes that the disconnect handlers of a socket have run.
func (f *flow) handled(s *Socket) {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	if s.kept == nil || s.kept.over == nil {
		return
	}
	close(s.kept.over.handled)
	f.arrived(s.kept.pid, s.kept.over)
}

// reap forgets sessions whose window is over, until ctx ends.
func (f *flow) reap(ctx context.Context) {
	ticker := time.NewTicker(min(max(f.opts.Window/4, time.Second), time.Minute))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.reapOnce(ctx)
		}
	}
}

const reapBatch = 1000

func (f *flow) reapOnce(ctx context.Context) {
	n := f.n
	n.mu.Lock()
	f.recent = map[string]struct{}{}
	for pid, d := range f.adrift {
		if f.lapsed(&d.session) {
			delete(f.adrift, pid)
			f.arrived(pid, d)
		}
	}
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		f.recent = nil
		n.mu.Unlock()
	}()
	for after := sessionKey; ; {
		var old []string
		seen := 0
		err := f.log.Scan(ctx, sessionKey, after, func(key string, value []byte) bool {
			after = key
			seen++
			var r session
			if json.Unmarshal(value, &r) != nil || f.lapsed(&r) {
				old = append(old, key)
			}
			return seen < reapBatch
		})
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, eventlog.ErrClosed) {
				n.server.opts.Logger.Warn().Err(err).Str("namespace", n.name).Msg("old sessions can't be listed")
			}
			return
		}
		n.mu.Lock()
		// The record of a session in use looks old, and so does what was read of one that has departed since.
		old = slices.DeleteFunc(old, func(key string) bool {
			pid := key[len(sessionKey):]
			_, recent := f.recent[pid]
			return recent || f.live[pid] != nil || f.departed[pid] != nil
		})
		if len(old) > 0 {
			_ = f.submit(&eventlog.Batch{Delete: old}, recordOverhead, // they are found again the next time
				func(uint64, error, *engineio.Batch) func() { return nil })
		}
		n.mu.Unlock()
		if seen < reapBatch {
			return
		}
	}
}

// lapsed says whether the window of a session that has no socket is over. One whose end was not written, because
// the server crashed, counts from this server's start: as long as the log holds what it missed, nothing is lost.
func (f *flow) lapsed(r *session) bool {
	gone := f.started
	if r.Gone != 0 {
		gone = time.UnixMilli(r.Gone)
	}
	return time.Since(gone) > f.opts.Window
}

// marshalEvent is an event as the log keeps it: the JSON array and the attachments, each with its length before it.
func marshalEvent(data []byte, bin [][]byte) []byte {
	size := len(data) + binary.MaxVarintLen64
	for _, b := range bin {
		size += len(b) + binary.MaxVarintLen64
	}
	out := make([]byte, 0, size)
	out = append(binary.AppendUvarint(out, uint64(len(data))), data...)
	for _, b := range bin {
		out = append(binary.AppendUvarint(out, uint64(len(b))), b...)
	}
	return out
}

var errKeptEvent = errors.New("event in the log is malformed")

// unmarshalEvent reads what marshalEvent made. The parts point into b.
func unmarshalEvent(b []byte) (data []byte, bin [][]byte, err error) {
	for first := true; len(b) > 0; first = false {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, nil, errKeptEvent
		}
		part := b[n : n+int(size)]
		b = b[n+int(size):]
		if first {
			data = part
		} else {
			bin = append(bin, part)
		}
	}
	if len(data) == 0 {
		return nil, nil, errKeptEvent
	}
	return data, bin, nil
}
