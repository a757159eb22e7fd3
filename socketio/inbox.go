package socketio

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"holdfast/engineio"
)

// The inbox of a socket holds the events that wait for their handler. A worker, a goroutine that exists
// only while there is something to do, takes them out one after another.

// enqueue puts an event in and has a worker started, behind the batch, if there is none. Where the inbox is full it waits for
// room, which keeps the connection from being read meanwhile. A closed socket takes nothing.
func (s *Socket) enqueue(e *Event) {
	srv := s.conn.server
	if srv.stopping.Load() {
		return
	}
	limit := int(srv.opts.ReceiveBuffer)
	s.mu.Lock()
	for s.state == stateConnected && s.head != nil && s.queued+e.cost > limit {
		m := s.extra()
		if m.space == nil {
			m.space = make(chan struct{})
		}
		space := m.space
		s.mu.Unlock()
		s.conn.startLate() // or there might be nobody to make room
		<-space
		s.mu.Lock()
	}
	if s.state != stateConnected || s.leaving {
		s.mu.Unlock()
		return
	}
	if s.tail == nil {
		s.head = e
	} else {
		s.tail.next = e
	}
	s.tail = e
	s.queued += e.cost
	start := !s.running
	s.running = true
	s.mu.Unlock()
	if start {
		srv.workers.Add(1)
		s.conn.late = append(s.conn.late, s)
	}
}

// worker is a socket whose inbox is to be worked off.
type worker Socket

// Run implements engineio.Work.
func (w *worker) Run() { (*Socket)(w).workAndDone() }

// EndBatch implements engineio.Batcher: the workers of what has just come in begin once the connection is being
// read again. The first, and as a rule the only one, uses the goroutine that has brought it.
func (c *conn) EndBatch() engineio.Work {
	if len(c.late) == 0 {
		return nil
	}
	first := c.late[0]
	for _, s := range c.late[1:] {
		go s.workAndDone()
	}
	clear(c.late)
	c.late = c.late[:0]
	return (*worker)(first)
}

// startLate starts the workers that EndBatch would have started.
func (c *conn) startLate() {
	for _, s := range c.late {
		go s.workAndDone()
	}
	clear(c.late)
	c.late = c.late[:0]
}

func (s *Socket) workAndDone() {
	defer s.conn.server.done()
	s.work()
}

// work handles events until there are none, and ends the socket if it was closed. The caller has set
// s.running.
func (s *Socket) work() {
	for {
		s.mu.Lock()
		if s.leaving {
			s.head, s.tail, s.queued = nil, nil, 0
		}
		e := s.head
		if e == nil {
			if s.state == stateClosed && !s.ended {
				s.ended = true
				reason := s.more.reason
				s.mu.Unlock()
				s.sayGoodbye(reason)
				if f := s.ns.outlet.flow; f != nil {
					f.handled(s)
				}
				continue
			}
			s.running = false
			s.mu.Unlock()
			return
		}
		s.head = e.next
		if s.head == nil {
			s.tail = nil
		}
		e.next = nil
		s.queued -= e.cost
		if s.more != nil && s.more.space != nil && s.queued <= int(s.conn.server.opts.ReceiveBuffer)/2 {
			close(s.more.space)
			s.more.space = nil
		}
		s.mu.Unlock()
		s.handle(e)
	}
}

// handle runs what the application has for an event.
func (s *Socket) handle(e *Event) {
	defer func() {
		if p := recover(); p != nil {
			s.fail(e, s.caught(e.Name, p))
		}
	}()
	t := s.ns.table()
	for _, f := range t.any {
		f(e)
	}
	for _, f := range t.packet {
		if err := f(e); err != nil {
			s.fail(e, err)
			return
		}
	}
	h := e.handler
	if h == nil {
		if h = t.events[e.Name]; h == nil {
			return
		}
	}
	if err := h.f(e); err != nil {
		s.fail(e, err)
	}
}

// fail answers an event whose handler failed.
func (s *Socket) fail(e *Event, err error) {
	if e.HasAck() && !e.acked.Load() {
		if ackErr := e.Ack(replyOf(err)); ackErr != nil && !isGone(ackErr) {
			_ = e.Ack(replyOf(errInternal)) // its data could not be encoded
		}
	}
	s.report(e.Name, err)
}

// report counts and logs an error of a handler, and tells the error listeners. An *Error is meant for
// the client and does not alarm anyone; nor does one that only says that the client is gone.
func (s *Socket) report(where string, err error) {
	log := &s.conn.server.opts.Logger
	s.conn.server.stats.handlerErrors.Add(1)
	var meant *Error
	var panicked *panicError
	switch {
	case errors.As(err, &panicked): // logged where it was caught
	case errors.As(err, &meant):
		log.Debug().Err(err).AnErr("cause", meant.cause).Str("namespace", s.ns.name).Str("event", where).Str("socket", s.id).Msg("handler refused")
	case isGone(err) || errors.Is(err, context.Canceled) && s.gone():
		log.Debug().Err(err).Str("namespace", s.ns.name).Str("event", where).Str("socket", s.id).Msg("client is gone")
	default:
		log.Error().Err(err).Str("namespace", s.ns.name).Str("event", where).Str("socket", s.id).Msg("handler failed")
	}
	for _, f := range s.ns.table().errors {
		_ = s.guard("error", func() error { f(s, err); return nil }) // logged; there is nobody else to tell
	}
}

func isGone(err error) bool { return errors.Is(err, ErrDisconnected) }

// sayGoodbye runs the disconnect handlers.
func (s *Socket) sayGoodbye(reason string) {
	t := s.ns.table()
	for _, f := range t.disconnecting {
		_ = s.guard("disconnecting", func() error { f(s, reason); return nil }) // logged
	}
	s.mu.Lock()
	s.more.rooms = nil
	s.mu.Unlock()
	for _, f := range t.disconnect {
		_ = s.guard("disconnect", func() error { f(s, reason); return nil }) // logged
	}
}

// panicError is a panic in a function of the application.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// guard calls a function of the application and turns a panic into an error.
func (s *Socket) guard(where string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.caught(where, p)
		}
	}()
	return f()
}

// caught counts and logs a panic.
func (s *Socket) caught(where string, value any) error {
	srv := s.conn.server
	srv.stats.panics.Add(1)
	name := ""
	if s.ns != nil {
		name = s.ns.name
	}
	srv.opts.Logger.Error().Str("namespace", name).Str("event", where).Str("socket", s.id).
		Str("panic", fmt.Sprint(value)).Str("stack", string(debug.Stack())).Msg("panic in a handler")
	return &panicError{value}
}
