package engineio

import (
	"errors"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Handler makes the receiver of each new session.
type Handler interface {
	// Open is called before anything of the session is read. It may Send.
	Open(s *Session) Receiver
}

// Receiver gets what a client sends.
type Receiver interface {
	// Message is one Engine.IO message. The calls come in order, one at a time; data is only valid during
	// the call. It may block: the session then reads nothing more, and its heartbeat is not held against
	// it. An error closes the session with ReasonParseError.
	Message(data []byte, binary bool) error
	// Close is called exactly once, on a goroutine of this package, perhaps while a Message call is in
	// progress, which should then return soon. A Message call that races with it must be harmless.
	Close(reason Reason, err error)
}

type sessionState uint8

const (
	stateOpen    sessionState = iota
	stateClosing              // takes no more packets; what is queued still leaves
	stateClosed
)

// queueKept is how many places an empty queue may keep, so that a client who is often sent a few packets at once does
// not have them made each time.
const queueKept = 16

// queued is a frame that waits for its client.
type queued struct {
	frame    *Frame
	volatile bool // may be dropped when room is short
}

// Session is one client, over whichever transport it uses at the moment. All methods may be called
// concurrently. None of them calls the Receiver.
type Session struct {
	srv  *Server
	id   string
	hs   *Handshake
	recv Receiver

	in    sync.Mutex  // held while messages are handed over
	busy  atomic.Bool // in is held: the client can't be blamed for silence
	began int64       // when the turn began; in

	beatDue  atomic.Int64 // when to ping, or until when to wait for the pong; nanoseconds of Server.now
	pinged   atomic.Int64 // when the last ping was queued; nanoseconds of Server.now
	awaiting atomic.Bool  // a pong is due
	extended atomic.Bool  // that pong was given more time, once
	deaf     atomic.Bool  // messages are no longer handed over

	shard     uint8 // of the flushers
	websocket bool  // from the handshake on

	mu        sync.Mutex
	state     sessionState
	scheduled bool                     // a flusher or a catching-up writer owns the queue's way out
	opened    bool                     // the handler made the receiver
	early     Reason                   // of an end that was asked for before that
	stalled   bool                     // the client does not take what is written
	posting   bool                     // a POST is being read
	upgrading bool                     // the probe of conn-to-be was answered
	noops     uint8                    // polls cut short for this upgrade
	offers    int8                     // websocket handshakes for an upgrade that are being answered
	conn      *wsConn                  // nil while polling
	probe     *wsConn                  // the connection that asks to take over
	poll      *pollWait                // the GET that waits, or whose answer is being written
	pollCame  chan struct{}            // closed when the next GET arrives; nil while nobody asks
	post      *http.ResponseController // of the POST whose body is being read
	queue     []queued
	first     [1]queued // backs queue while it is short
	size      int64     // cost of queue and of what is being written
	reason    Reason    // of the close that is under way
	closeBy   time.Time
	closeCode uint16 // websocket close code for the writer to send, 0 for none
	lastWord  *Frame // what a poll is told after the end

	timer timer // owned by the wheel
}

// ID is the session id: hard to guess, and a secret of its client.
func (s *Session) ID() string { return s.id }

// Handshake describes the request that opened the session.
func (s *Session) Handshake() *Handshake { return s.hs }

// Transport is the one that carries the session now.
func (s *Session) Transport() Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.websocket || s.conn != nil {
		return TransportWebSocket
	}
	return TransportPolling
}

// Send queues a frame. It never blocks. Errors: ErrClosed; ErrBufferFull, after which the session is closed.
func (s *Session) Send(f *Frame) error {
	wake, err := s.enqueue(f, false)
	if wake {
		s.srv.flusherOf(s).add(s)
	}
	return err
}

// SendVolatile queues a frame if the client is ready for it and reports whether it did. A client is not
// ready while it catches up, while its buffer is full, and, on polling, between two polls with something queued.
func (s *Session) SendVolatile(f *Frame) bool {
	wake, err := s.enqueue(f, true)
	if wake {
		s.srv.flusherOf(s).add(s)
	}
	return err == nil
}

// enqueue reports whether a flusher has to be told.
func (s *Session) enqueue(f *Frame, volatile bool) (wake bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enqueueLocked(f, volatile)
}

func (s *Session) enqueueLocked(f *Frame, volatile bool) (wake bool, err error) {
	size := f.cost()
	if s.state != stateOpen {
		return false, ErrClosed
	}
	if volatile && !s.ready() {
		return false, ErrBufferFull
	}
	if s.size > 0 && s.size+size > s.srv.opts.SendBuffer {
		if volatile {
			return false, ErrBufferFull
		}
		s.dropVolatile()
		if s.size+size > s.srv.opts.SendBuffer {
			s.abandon(ReasonBufferFull, ErrBufferFull, closeTryLater)
			return false, ErrBufferFull
		}
	}
	s.push(queued{f, volatile})
	s.size += size
	return s.rouse(), nil
}

func (s *Session) push(q queued) {
	if s.queue == nil {
		s.queue = s.first[:0]
	}
	s.queue = append(s.queue, q)
}

// ready says whether a volatile packet would leave at once.
func (s *Session) ready() bool {
	switch {
	case s.conn == nil:
		return s.poll.waits() || len(s.queue) == 0
	case s.conn.raw == nil:
		return s.size <= flushChunk // whether it takes a write can't be tried
	default:
		return !s.stalled
	}
}

// rouse sees to it that the queue gets out; it reports whether a flusher has to be told.
func (s *Session) rouse() bool {
	if s.conn == nil {
		s.poll.wake()
		return false
	}
	if s.scheduled {
		return false
	}
	s.scheduled = true
	return true
}

func (s *Session) dropVolatile() {
	kept := s.queue[:0]
	for _, q := range s.queue {
		if q.volatile {
			s.size -= q.frame.cost()
			s.srv.stats.volatileDropped.Add(1)
			continue
		}
		kept = append(kept, q)
	}
	clear(s.queue[len(kept):])
	s.queue = kept
}

// take moves what is queued to out. It counts until it is written.
func (s *Session) take(out []*Frame) []*Frame {
	for _, q := range s.queue {
		out = append(out, q.frame)
	}
	clear(s.queue)
	if cap(s.queue) > queueKept {
		s.queue = nil
	}
	s.queue = s.queue[:0]
	return out
}

// Close ends the session in good order: what is queued leaves first, within Options.CloseTimeout. It returns at once.
func (s *Session) Close() { s.closeOrderly(ReasonForcedClose) }

func (s *Session) closeOrderly(reason Reason) {
	s.mu.Lock()
	if s.state != stateOpen {
		s.mu.Unlock()
		return
	}
	s.deaf.Store(true)
	s.state = stateClosing
	s.reason = reason
	s.closeBy = time.Now().Add(s.srv.opts.CloseTimeout)
	s.srv.wheel.schedule(s, s.closeBy)
	wake := s.rouse()
	s.mu.Unlock()
	if wake {
		s.srv.flusherOf(s).add(s)
	}
}

// CloseWith ends the session at once; what is queued is discarded. The client is told if it takes a
// write just now. It returns before the Receiver is told.
func (s *Session) CloseWith(reason Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed || s.state == stateClosing && s.closeBy.IsZero() {
		return // its end has come or is on its way
	}
	s.abandon(reason, nil, closeNoStatus)
}

// abandon ends the session without what is queued, and takes no more. The end itself must not run on a sender's
// goroutine. The caller holds s.mu.
func (s *Session) abandon(reason Reason, err error, code uint16) {
	s.deaf.Store(true)
	s.state = stateClosing
	s.closeBy = time.Time{}
	s.discard()
	s.finishSoon(reason, err, code)
}

func (s *Session) discard() {
	for _, q := range s.queue {
		s.size -= q.frame.cost()
	}
	clear(s.queue)
	s.queue = nil
}

// finishSoon is finish on another goroutine, and not before there is a receiver to be told. The caller holds s.mu.
func (s *Session) finishSoon(reason Reason, err error, code uint16) {
	if !s.opened {
		s.early = reason
		return
	}
	s.srv.spawn(func() { s.finish(reason, err, code) })
}

// finish ends the session, once, and tells its receiver. code is what a websocket client is told, 0 for nothing.
// It may block as long as the receiver does, so the goroutines that serve many sessions use finishSoon.
func (s *Session) finish(reason Reason, err error, code uint16) {
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return
	}
	s.deaf.Store(true)
	s.closeCode = code
	s.lastWord = closeFrame
	if reason == ReasonTransportClose {
		s.lastWord = noopFrame
	}
	if s.state == stateClosing && s.reason != "" {
		reason = s.reason // the client left, or was given up, while it was being closed
	}
	s.state = stateClosed
	conn, probe := s.conn, s.probe
	s.probe = nil
	owned, stuck := s.scheduled, s.stalled
	s.scheduled = true // nobody else writes from here on
	if conn == nil || stuck || code == 0 {
		s.discard()
	}
	s.poll.end()
	if s.post != nil {
		s.post.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // best effort: the body's own bound remains
	}
	s.mu.Unlock()

	s.srv.sessions.remove(s.id)
	s.srv.wheel.cancel(s)
	s.srv.stats.closed(reason)
	s.srv.closed()
	switch {
	case conn == nil:
	case !owned:
		conn.farewell(code)
	case stuck || code == 0:
		conn.kick()
	default:
		// Who is writing writes the rest, such as the answers to what came just before the end, and says farewell, if
		// the client takes it within that time.
		conn.part()
		if s.srv.hurry.Load() {
			conn.cut()
		}
	}
	if probe != nil {
		probe.kick()
	}
	s.srv.opts.Logger.Debug().Str("sid", s.id).Str("reason", string(reason)).AnErr("cause", err).Msg("session closed")
	defer s.srv.live.Done()
	defer s.survive("Close", nil)
	s.recv.Close(reason, err)
}

// survive keeps a receiver's panic from taking every other session down with it. It is for defer.
func (s *Session) survive(call string, err *error) {
	v := recover()
	if v == nil {
		return
	}
	s.srv.opts.Logger.Error().Str("sid", s.id).Str("call", call).Interface("panic", v).Bytes("stack", debug.Stack()).
		Msg("receiver panicked")
	if err != nil {
		*err = errPanic
	}
}

// turn has f hand packets over while nobody else does.
func (s *Session) turn(f func() error) error {
	var work Work
	defer func() {
		switch {
		case work == nil:
		case s.srv.beginTask():
			s.srv.engage(putOff{s, work})
			s.srv.tasks.Done()
		default:
			s.work(work) // the server has been shut down meanwhile: there is nobody else to do it
		}
	}()
	s.beginTurn()
	defer s.endTurn()
	err := f()
	work = s.endBatch()
	return err
}

func (s *Session) beginTurn() {
	s.in.Lock()
	s.began = s.srv.now()
	s.busy.Store(true)
}

func (s *Session) endTurn() {
	if s.awaiting.Load() {
		// The pong may have come in behind what has just been handled: its time stands still while nothing is read.
		s.beatDue.Add(s.srv.now() - max(s.began, s.pinged.Load()))
	}
	s.busy.Store(false)
	s.in.Unlock()
}

// handle takes one packet from the client; the caller holds s.in. An error ends the session.
func (s *Session) handle(p packet) error {
	if s.deaf.Load() {
		if p.kind == packetClose {
			return errClientClosed
		}
		return nil // closing: as in Node's server, what still arrives is not handed over
	}
	if p.kind == packetMessage {
		if s.awaiting.Load() {
			s.extend()
		}
		s.srv.stats.messagesIn.Add(1)
		return s.message(p)
	}
	switch p.kind {
	case packetPong:
		if s.awaiting.Load() {
			// The interval counts from the pong, but a pong that lay unread must not make the silence too long.
			s.beatDue.Store(min(s.srv.now()+int64(s.srv.opts.PingInterval), s.quietUntil()))
			s.awaiting.Store(false)
		}
	case packetPing:
		return errDirection
	case packetClose:
		return errClientClosed
	}
	return nil // the others mean nothing here; Node's server ignores them too
}

func (s *Session) message(p packet) (err error) {
	defer s.survive("Message", &err)
	if err := s.recv.Message(p.data, p.binary); err != nil {
		return &packetError{err}
	}
	return nil
}

// extend gives the pong that is due more time, once: something else that arrives is a sign of life too.
func (s *Session) extend() {
	if s.extended.CompareAndSwap(false, true) {
		s.beatDue.Store(s.srv.now() + int64(s.srv.opts.PingTimeout))
	}
}

// fail ends the session for an error of receive.
func (s *Session) fail(err error) {
	reason := ReasonTransportError
	switch e := err.(type) { //nolint:errorlint // made here, never wrapped
	case *packetError:
		reason = ReasonParseError
		err = e.error
	default:
		switch {
		case errors.Is(err, errClientClosed):
			reason, err = ReasonTransportClose, nil
		case errors.Is(err, errPacket), errors.Is(err, errUTF8), errors.Is(err, errTooMany):
			reason = ReasonParseError
		}
	}
	s.finish(reason, err, closeNoStatus)
}

// quietUntil is when the client must be pinged again though its pong is still due: it gives up by itself where it hears
// no ping for as long as the interval and the timeout together. Half the timeout is left for the way.
func (s *Session) quietUntil() int64 {
	return s.pinged.Load() + int64(s.srv.opts.PingInterval+s.srv.opts.PingTimeout/2)
}

// ping queues a ping; it reports whether a flusher has to be told. The caller holds s.mu.
func (s *Session) ping(at int64) (wake bool) {
	s.pinged.Store(at)
	wake, _ = s.enqueueLocked(pingFrame, false) //nolint:errcheck // a session that can't take it is being closed
	return wake
}

// look is the session's turn in the sweep. It must not block.
func (s *Session) look(now time.Time) {
	s.mu.Lock()
	wake := s.lookLocked(now)
	s.mu.Unlock()
	if wake {
		s.srv.flusherOf(s).add(s)
	}
}

func (s *Session) lookLocked(now time.Time) (wake bool) {
	switch {
	case s.state == stateClosed, s.state == stateClosing && s.closeBy.IsZero():
		return false // its end has come or is on its way
	case s.state == stateClosing && now.Before(s.closeBy):
		s.srv.wheel.schedule(s, s.closeBy)
		return false
	case s.state == stateClosing:
		s.finishSoon(s.reason, nil, 0)
		return false
	}
	busy := s.busy.Load() // before beatDue, which the end of a turn puts off
	at, due := s.srv.now(), s.beatDue.Load()
	switch {
	case at < due:
		// More time for the pong, or a receiver that blocks, is no reason to keep the client waiting.
		if s.awaiting.Load() && at >= s.quietUntil() {
			wake = s.ping(at)
		}
	case !s.awaiting.Load():
		due += int64(s.srv.opts.PingTimeout)
		if due < at+int64(s.srv.opts.PingTimeout)/2 {
			due = at + int64(s.srv.opts.PingTimeout) // this process was held up: not the client's fault
		}
		s.beatDue.Store(due)
		s.extended.Store(false)
		wake = s.ping(at)
		s.awaiting.Store(true)
	case busy:
		// The pong may lie unread. The client must still hear from the server, or it gives up by itself.
		wake = s.ping(at)
		s.extended.Store(false)
		s.beatDue.CompareAndSwap(due, at+int64(s.srv.opts.PingTimeout))
		due = s.beatDue.Load()
	default:
		s.finishSoon(ReasonPingTimeout, nil, closeNoStatus)
		return false
	}
	// A pong that comes from now on asks for a ping after the interval, which may be before this one is overdue.
	due = min(due, at+int64(s.srv.opts.PingInterval))
	if quiet := s.quietUntil(); quiet > at {
		due = min(due, quiet)
	}
	s.srv.wheel.schedule(s, s.srv.start.Add(time.Duration(due)))
	return wake
}

// expired says whether the pong is overdue though the sweep has not come by yet.
func (s *Session) expired() bool {
	return s.awaiting.Load() && !s.busy.Load() && s.srv.now() >= s.beatDue.Load()
}
