package socketio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"holdfast/engineio"
	"holdfast/eventlog"
)

// resumeTimeout bounds the reading of what a client missed.
const resumeTimeout = 30 * time.Second

// claim is what a client says when it connects to a recoverable namespace.
type claim struct {
	pid, offset string
	off         bool // it does not want offsets
}

// maxClaim bounds a private id and an offset.
const maxClaim = 64

// claimOf reads a client's claim. What is malformed claims nothing.
func (s *Socket) claimOf() claim {
	var auth struct {
		PID      any `json:"pid"`
		Offset   any `json:"offset"`
		Recovery any `json:"recovery"`
	}
	if len(s.auth) > 0 {
		_ = json.Unmarshal(s.auth, &auth) // it was scanned: an object
	}
	var c claim
	c.pid, _ = auth.PID.(string)
	c.offset, _ = auth.Offset.(string)
	if len(c.pid) > maxClaim || len(c.offset) > maxClaim || c.pid == "" && auth.PID != nil || c.offset == "" && auth.Offset != nil {
		c.pid = ""
	}
	switch v := auth.Recovery.(type) {
	case bool:
		c.off = !v
	case string:
		c.off = v == "false" || v == "0"
	case nil:
		v2 := s.conn.session.Handshake().Query().Get("recovery")
		c.off = v2 == "false" || v2 == "0"
	}
	return c
}

// errNotRecovered begins the reasons, which are for the log alone.
var errNotRecovered = errors.New("not recovered")

func notRecovered(why string) error { return fmt.Errorf("%w: %s", errNotRecovered, why) }

// errStopping says that the server is shutting down. The client is not told "no", after which it would forget what it has
// missed: its connection ends, and it asks the next server.
var errStopping = errors.New("server is shutting down")

// resume lets a client go on where it was cut off. It reports false, with nothing changed for the client, where that
// can't be done exactly; and then the socket is admitted as a new one. An error says that it ended meanwhile, or is
// errStopping.
func (f *flow) resume(s *Socket, c claim) (bool, error) {
	if c.pid == "" || c.off {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(f.n.server.ctx, resumeTimeout)
	defer cancel()
	release, err := f.claim(ctx, c.pid)
	if err == nil {
		defer release()
		err = f.takeUp(ctx, s, c)
	}
	log := f.n.server.opts.Logger.Debug().Str("namespace", f.n.name).Str("socket", s.id)
	switch {
	case err == nil:
		f.n.server.lobby.remove(s.conn)
		f.stats.recovered.Add(1)
		log.Msg("session recovered")
		return true, nil
	case errors.Is(err, ErrDisconnected):
		return false, err
	case f.n.server.stopping.Load():
		return false, errStopping
	}
	f.stats.refused.Add(1)
	log.Err(err).Msg("session not recovered")
	return false, nil
}

// claim keeps others from coming back to the session at the same time.
func (f *flow) claim(ctx context.Context, pid string) (release func(), err error) {
	n := f.n
	mine := make(chan struct{})
	for {
		n.mu.Lock()
		other := f.claims[pid]
		if other == nil {
			f.claims[pid] = mine
			n.mu.Unlock()
			return func() {
				n.mu.Lock()
				delete(f.claims, pid)
				n.mu.Unlock()
				close(mine)
			}, nil
		}
		n.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// takeUp is resume for who has the claim.
func (f *flow) takeUp(ctx context.Context, s *Socket, c claim) error {
	n := f.n
	n.mu.Lock()
	old := f.live[c.pid]
	n.mu.Unlock()
	r, d, err := f.find(ctx, c.pid)
	if err != nil {
		return err
	}
	after, err := f.check(s, &r, c, old != nil)
	if err != nil {
		return err
	}
	if old != nil {
		// The server still holds the old connection to be alive. The client is here, so it is not.
		old.close(string(engineio.ReasonTransportClose), closeLost)
		old.conn.session.CloseWith(engineio.ReasonTransportClose)
		if r, d, err = f.find(ctx, c.pid); err != nil {
			return err
		}
	}
	if d != nil {
		select { // the connect handlers of the new socket follow the disconnect handlers of the old one
		case <-d.handled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if after < r.Floor {
		return notRecovered("too far behind the rooms it left")
	}
	m := missed{f: f, session: &r, upTo: after}
	if err := m.read(ctx, f.log.Head()); err != nil {
		return err
	}
	return f.readmit(ctx, s, c.pid, &m)
}

// find looks a session up: that of a live socket, of one that has just ended, or in the log.
func (f *flow) find(ctx context.Context, pid string) (session, *departure, error) {
	f.n.mu.Lock()
	if s := f.live[pid]; s != nil {
		r := f.sessionOf(s)
		f.n.mu.Unlock()
		return r, nil, nil
	}
	if d := f.departed[pid]; d != nil {
		f.n.mu.Unlock()
		return d.session, d, nil
	}
	f.n.mu.Unlock()
	var r session
	value, err := f.log.Get(ctx, sessionKey+pid)
	if err == nil {
		err = json.Unmarshal(value, &r)
	}
	if err != nil {
		return r, nil, fmt.Errorf("%w: %w", errNotRecovered, err)
	}
	return r, nil, nil
}

// check says after which sequence the client missed events, or why it can't be recovered.
func (f *flow) check(s *Socket, r *session, c claim, live bool) (after uint64, err error) {
	switch {
	case r.Epoch != f.log.Epoch():
		return 0, notRecovered("the session is of another log")
	case r.User != s.User() && !f.opts.SkipMiddlewares:
		return 0, notRecovered("the session is another user's")
	case !live && f.lapsed(r):
		return 0, notRecovered("the window is over")
	case c.offset == "":
		return r.Begin, nil
	}
	p, err := eventlog.ParsePosition(c.offset)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", errNotRecovered, err)
	case p.Epoch != f.log.Epoch():
		return 0, notRecovered("the offset is of another log")
	case p.Seq > f.log.Head():
		return 0, notRecovered("the offset is not one that was given out")
	}
	// A client that was not recovered the last time still has the offset of the session before.
	return max(p.Seq, r.Begin), nil
}

// missed gathers what a session has missed.
type missed struct {
	f       *flow
	session *session
	upTo    uint64
	frames  []*engineio.Frame
	seqs    []uint64
	bytes   int
}

// read goes on up to a sequence.
func (m *missed) read(ctx context.Context, until uint64) error {
	rooms := m.session.since(m.upTo)
	for m.upTo < until {
		page, err := m.f.log.Read(ctx, eventlog.Query{Rooms: rooms, After: m.upTo, Until: until})
		if err != nil {
			return fmt.Errorf("%w: %w", errNotRecovered, err)
		}
		for i := range page.Events {
			e := &page.Events[i]
			if !m.session.wants(e) {
				continue
			}
			data, bin, err := unmarshalEvent(e.Data)
			if err != nil {
				return fmt.Errorf("%w: %w", errNotRecovered, err)
			}
			frame := number(encodeRaw(m.f.n.name, noID, data, bin).frame(), eventlog.Position{Epoch: m.f.log.Epoch(), Seq: e.Seq})
			m.frames = append(m.frames, frame)
			m.seqs = append(m.seqs, e.Seq)
			m.bytes += frame.Len()
			if len(m.frames) > m.f.opts.MaxEvents || m.bytes > m.f.opts.MaxBytes {
				return notRecovered("more was missed than is handed over")
			}
		}
		if !page.More {
			m.upTo = until
			return nil
		}
		m.upTo = page.Next
	}
	return nil
}

// cut forgets what lies after a sequence.
func (m *missed) cut(seq uint64) {
	n := len(m.seqs)
	for n > 0 && m.seqs[n-1] > seq {
		n--
	}
	m.frames, m.seqs = m.frames[:n], m.seqs[:n]
}

// readmit makes the socket a member of the namespace again, with the rooms and the id it had, and sends it CONNECT
// and what it missed: in this order, since a stock client holds back what comes before CONNECT, keeps it when the
// connection breaks, and would have it twice (docs/decisions). All of it is one step under the lock, at the position
// up to which everyone has been sent events, so that nothing falls between replay and live events, or is in both.
func (f *flow) readmit(ctx context.Context, s *Socket, pid string, m *missed) error {
	n, r := f.n, m.session
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case m.upTo < f.delivered:
		if err := m.read(ctx, f.delivered); err != nil {
			return err
		}
	default:
		m.cut(f.delivered) // committed, but not delivered yet: it comes by the live way
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateConnecting {
		return ErrDisconnected
	}
	s.state = stateConnected
	s.id = r.ID
	s.recovered = true
	s.kept = &kept{pid: pid, user: r.User, begin: r.Begin, floor: r.Floor, past: r.Past, data: r.Data}
	s.connected.Store(true)
	n.server.stats.sockets.Add(1)
	n.server.stats.connects.Add(1)
	delete(f.departed, pid)
	delete(f.adrift, pid)
	f.live[pid] = s
	_ = s.conn.session.Send(connectFrame(s)) // a session that is closing will close the socket too
	for _, frame := range m.frames {
		_ = s.conn.session.Send(frame) // likewise
	}
	f.stats.missed.Add(uint64(len(m.frames)))

	n.register(s)
	for _, stay := range r.Rooms {
		n.join(s, stay.Room)
		s.rooms[len(s.rooms)-1].since = stay.From
	}
	var early []string
	if s.more != nil {
		early, s.more.rooms = s.more.rooms, nil
	}
	for _, room := range early {
		n.join(s, room)
	}
	x := s.extra()
	x.user = r.User
	if x.data == nil && len(r.Data) > 0 {
		x.data = keptData(r.Data)
	} else if x.data != nil {
		s.kept.data = s.encodeKept(x.data)
	}
	f.save(s, nil)
	return nil
}

// admit sends a new member of the namespace its CONNECT, once its session is in the log, so that it can come back
// to it whatever happens; where the log does not take it, the client is told that it can't. The socket is registered,
// and both locks are held.
func (f *flow) admit(s *Socket, c claim) {
	session := s.conn.session
	if c.off || f.log.Err() != nil {
		s.unannounced = true
		f.inTurn(func(b *engineio.Batch) {
			s.unannounced = false
			_ = b.Send(session, connectFrame(s))
		})
		return
	}
	s.kept = &kept{pid: f.n.server.ids.next(), begin: f.delivered}
	if s.more != nil {
		s.kept.user = s.more.user
		s.kept.data = s.encodeKept(s.more.data)
	}
	pid := s.kept.pid
	f.live[pid] = s
	s.unannounced = true
	f.save(s, func(err error, b *engineio.Batch) {
		if s.index < 0 {
			return // it is gone
		}
		// What was committed meanwhile was emitted before the client was connected: it is not for it.
		s.unannounced = false
		s.kept.begin = f.delivered
		for i := range s.rooms {
			s.rooms[i].since = f.delivered
		}
		if err != nil {
			delete(f.live, pid)
			delete(f.unsaved, s)
			s.kept = nil
		}
		_ = b.Send(session, connectFrame(s)) // a session that is closing will close the socket too
	})
}

// inTurn is pass for those who hold Namespace.mu.
func (f *flow) inTurn(send func(b *engineio.Batch)) {
	if !f.idle() {
		f.behind = append(f.behind, laterSend{after: f.submitted, send: send})
		return
	}
	var b engineio.Batch
	send(&b)
	b.Flush()
}
