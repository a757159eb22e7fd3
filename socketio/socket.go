package socketio

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// The reasons of a disconnect that are this package's; the others are engineio's.
const (
	reasonClientDisconnect  = "client namespace disconnect"
	reasonServerDisconnect  = "server namespace disconnect"
	reasonServerShutdown    = "server shutting down"
	reasonForcedServerClose = "forced server close"
)

type socketState uint8

const (
	stateConnecting socketState = iota
	stateConnected
	stateClosed
)

// Socket is one client in one namespace. It exists from the moment the client asks to connect, and is
// dead once it was disconnected: a client that comes back gets a new one.
type Socket struct {
	conn *conn
	ns   *Namespace // nil until a parent has made it; see connectAndWork
	id   string
	auth []byte

	connected atomic.Bool
	recovered bool // set before the handlers run, if at all

	mu      sync.Mutex
	state   socketState
	running bool // a worker has the inbox
	leaving bool // Disconnect was called; what the client still sends is dropped
	ended   bool // the disconnect handlers have been, or need not be, called
	head    *Event
	tail    *Event
	queued  int // bytes in the inbox
	more    *socketMore

	// The namespace's lock guards these.
	index       int32  // in Namespace.all, -1 outside
	mark        uint64 // see Namespace.recipients
	rooms       []membership
	unannounced bool  // in a recoverable namespace: its CONNECT waits for a commit, and nothing goes before that
	kept        *kept // in a recoverable namespace, for a client that can be recovered
}

// socketMore is what only some sockets need. The socket's lock guards it.
type socketMore struct {
	data   any
	user   string
	ctx    context.Context //nolint:containedctx // it is what Context returns
	cancel context.CancelFunc
	acks   map[uint64]ackWaiter
	rooms  []string      // joined before the socket is connected; after its end, those it was in
	reason string        // of the end
	space  chan struct{} // closed when the inbox has room again
}

// extra is s.more, made if need be. The caller holds s.mu.
func (s *Socket) extra() *socketMore {
	if s.more == nil {
		s.more = &socketMore{}
	}
	return s.more
}

// ID identifies the socket, and is the name of a room that only it is in. It is known to the client; it
// is not a secret, but hard to guess.
func (s *Socket) ID() string { return s.id }

// Namespace is the one that the socket is in.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Handshake is what the client said when it connected. It is made anew for each call.
func (s *Socket) Handshake() *Handshake { return s.conn.handshake(s.auth) }

// Transport is "polling" or "websocket", as of now.
func (s *Socket) Transport() string { return string(s.conn.session.Transport()) }

// Connected says whether the socket is connected: not yet in a connection middleware, no more once it was
// disconnected by either side.
func (s *Socket) Connected() bool { return s.connected.Load() }

// Recovered says whether the socket goes on where a former one of the same client was cut off: with its id, its
// rooms and its data, and with all that it missed. It is known once the connection middlewares are through.
func (s *Socket) Recovered() bool { return s.recovered }

// User is what SetUser stored.
func (s *Socket) User() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more == nil {
		return ""
	}
	return s.more.user
}

// SetUser says, in a connection middleware, whom the client was recognised as. In a recoverable namespace nobody but
// the same user can come back to the session. After the connection it changes nothing about that.
func (s *Socket) SetUser(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extra().user = id
}

// Context is cancelled as soon as the socket is disconnected, while its handlers may still run.
func (s *Socket) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.extra()
	if m.ctx == nil {
		m.ctx, m.cancel = context.WithCancel(context.Background())
		if s.state == stateClosed {
			m.cancel()
		}
	}
	return m.ctx
}

// Join puts the socket into rooms. Before it is connected that takes effect with the connection. It is
// ErrDisconnected after its end. The room of the socket's own id need not be joined and can't be left.
func (s *Socket) Join(rooms ...string) error {
	s.mu.Lock()
	if s.state == stateConnecting {
		m := s.extra()
		m.rooms = append(m.rooms, rooms...)
		s.mu.Unlock()
		return nil
	}
	n := s.ns
	s.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.index < 0 {
		return ErrDisconnected
	}
	for _, room := range rooms {
		n.join(s, room)
	}
	n.saved(s)
	return nil
}

// Leave takes the socket out of rooms.
func (s *Socket) Leave(rooms ...string) {
	s.mu.Lock()
	if s.state == stateConnecting {
		if s.more != nil {
			s.more.rooms = without(s.more.rooms, rooms)
		}
		s.mu.Unlock()
		return
	}
	n := s.ns
	s.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.part(s, rooms)
}

// Rooms are those that the socket is in, its own id first. In OnDisconnecting they are those it was in.
func (s *Socket) Rooms() []string {
	s.mu.Lock()
	if s.state != stateConnected {
		var out []string
		if s.more != nil {
			out = append(out, s.more.rooms...)
		}
		s.mu.Unlock()
		return out
	}
	n := s.ns
	s.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.index < 0 {
		return nil
	}
	return s.roomNames()
}

// InRoom says whether the socket is in a room; its own id is one.
func (s *Socket) InRoom(room string) bool {
	for _, r := range s.Rooms() {
		if r == room {
			return true
		}
	}
	return false
}

// Emit sends an event to the client. Its arguments are encoded by the rules and tags of encoding/json; a
// []byte anywhere in them goes out as binary. Nothing is sent where an argument can't be encoded. Errors
// besides that: ErrReservedEvent, ErrTooManyAttachments, ErrDisconnected, engineio.ErrBufferFull. That
// there is none does not mean that the client got the event.
func (s *Socket) Emit(event string, args ...any) error { return s.emit(sendFlags{}, event, args) }

// Send emits "message".
func (s *Socket) Send(args ...any) error { return s.emit(sendFlags{}, "message", args) }

// EmitWithAck sends an event and waits for the client's acknowledgement. Errors besides those of Emit:
// ErrAckTimeout after Options.AckTimeout, or when ctx's deadline passed; ctx's error when it was
// cancelled; ErrDisconnected when the socket's end comes first.
func (s *Socket) EmitWithAck(ctx context.Context, event string, args ...any) (Args, error) {
	return s.emitWithAck(ctx, 0, sendFlags{}, event, args)
}

// EmitAck sends an event and calls f once, on a goroutine of its own: with the acknowledgement, or with an
// error as EmitWithAck has it. timeout 0 means Options.AckTimeout. Where EmitAck returns an error, f is not called.
func (s *Socket) EmitAck(event string, args []any, timeout time.Duration, f func(args Args, err error)) error {
	return s.emitAck(timeout, sendFlags{}, event, args, f)
}

// To starts a broadcast to the rooms, but not to this socket.
func (s *Socket) To(rooms ...string) Broadcast { return s.Broadcast().To(rooms...) }

// In is To.
func (s *Socket) In(rooms ...string) Broadcast { return s.Broadcast().To(rooms...) }

// Except starts a broadcast to all who are in none of the rooms, but not to this socket.
func (s *Socket) Except(rooms ...string) Broadcast { return s.Broadcast().Except(rooms...) }

// Broadcast starts one to everyone in the namespace but this socket.
func (s *Socket) Broadcast() Broadcast { return Broadcast{ns: s.ns, sender: s} }

// Volatile is for events that may be dropped when the client is not ready for them.
func (s *Socket) Volatile() SocketEmitter { return SocketEmitter{s: s}.Volatile() }

// Compress says whether what follows may be compressed; it may unless told otherwise.
func (s *Socket) Compress(on bool) SocketEmitter { return SocketEmitter{s: s}.Compress(on) }

// Timeout bounds the wait for acknowledgements of what follows.
func (s *Socket) Timeout(d time.Duration) SocketEmitter { return SocketEmitter{s: s}.Timeout(d) }

// Disconnect ends the socket, whose client sees "io server disconnect" and does not come back by itself.
// What was emitted before still leaves; events that wait for their handler are dropped. close ends the
// whole connection with all its sockets.
func (s *Socket) Disconnect(close bool) {
	end := func() { s.close(reasonServerDisconnect, closeKicked) }
	if close {
		end = func() {
			if s.Connected() {
				s.conn.kick()
			}
		}
	}
	s.mu.Lock()
	n := s.ns
	connected := s.state == stateConnected
	s.leaving = true
	s.mu.Unlock()
	if connected && n.outlet.flow != nil {
		n.outlet.flow.pass(false, nil, end) // what was emitted before may wait for its commit
		return
	}
	end()
}

// gone says whether the socket was closed.
func (s *Socket) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateClosed
}

// closing says how a socket ends.
type closing uint8

const (
	closeLost    closing = iota // with its connection
	closeLeft                   // by its client
	closeKicked                 // by the application: the client is told, and what it sent is dropped
	closeRefused                // before it was connected
)

// close ends the socket, once; it reports whether this call did. The namespace and its rooms are left at
// once; the disconnect handlers follow when the worker has done what is before them.
func (s *Socket) close(reason string, how closing) bool {
	s.mu.Lock()
	switch s.state {
	case stateClosed:
		s.mu.Unlock()
		return false
	case stateConnecting:
		s.state = stateClosed
		s.ended = true
		acks, cancel := s.settleDown()
		s.mu.Unlock()
		s.conn.forget(s, false)
		s.tidy(acks, cancel)
		return true
	}
	n := s.ns
	s.mu.Unlock()

	t := n.table()
	handlers := len(t.disconnecting)+len(t.disconnect) > 0
	n.mu.Lock()
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		n.mu.Unlock()
		return false
	}
	s.state = stateClosed
	s.connected.Store(false)
	m := s.extra()
	m.reason = reason
	if handlers {
		m.rooms = s.roomNames()
	}
	flow := n.outlet.flow
	if flow != nil {
		flow.depart(s, how != closeLost)
	}
	n.unregister(s)
	if how == closeKicked {
		n.outlet.disconnect(s)
		s.head, s.tail, s.queued = nil, nil, 0
	}
	acks, cancel := s.settleDown()
	start, quiet := false, !s.running && !handlers
	if !s.running {
		s.ended = !handlers
		start = handlers
		s.running = handlers
	}
	s.mu.Unlock()
	n.mu.Unlock()

	srv := n.server
	srv.stats.sockets.Add(-1)
	s.conn.forget(s, how == closeKicked)
	s.tidy(acks, cancel)
	if flow != nil && quiet {
		flow.handled(s)
	}
	if start {
		srv.workers.Add(1)
		go s.workAndDone()
	}
	srv.release(n)
	return true
}

// settleDown takes what waits for the socket. The caller holds s.mu.
func (s *Socket) settleDown() (acks map[uint64]ackWaiter, cancel context.CancelFunc) {
	m := s.more
	if m == nil {
		return nil, nil
	}
	acks, m.acks = m.acks, nil
	if m.space != nil {
		close(m.space)
		m.space = nil
	}
	return acks, m.cancel
}

// tidy tells those who wait that the socket is gone.
func (s *Socket) tidy(acks map[uint64]ackWaiter, cancel context.CancelFunc) {
	for _, w := range acks {
		w.settle(s, nil, ErrDisconnected)
	}
	if cancel != nil {
		cancel()
	}
}

// without is list less the values in out.
func without(list, out []string) []string {
	kept := list[:0]
	for _, v := range list {
		drop := false
		for _, o := range out {
			drop = drop || v == o
		}
		if !drop {
			kept = append(kept, v)
		}
	}
	return kept
}
