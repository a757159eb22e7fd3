package socketio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ackWaiter gets the acknowledgement of an event, or the error that takes its place. settle is called at
// most once for each socket, with whatever goroutine the news came on, and must not block.
type ackWaiter interface {
	settle(s *Socket, args Args, err error)
}

// broadcastWaiter is an ackWaiter for many sockets.
type broadcastWaiter interface {
	ackWaiter
	// expect announces a socket, before it is sent the event. Namespace.mu is held.
	expect(s *Socket)
}

// addAck makes w wait for id. The caller holds s.mu.
func (s *Socket) addAck(id uint64, w ackWaiter) {
	m := s.extra()
	if m.acks == nil {
		m.acks = make(map[uint64]ackWaiter)
	}
	m.acks[id] = w
}

// dropAck is takeAck for those who hold s.mu.
func (s *Socket) dropAck(id uint64) ackWaiter {
	if s.more == nil {
		return nil
	}
	w := s.more.acks[id]
	if w == nil {
		return nil
	}
	if delete(s.more.acks, id); len(s.more.acks) == 0 {
		s.more.acks = nil
	}
	return w
}

// takeAck is whoever waits for id, who must be told then; or nil.
func (s *Socket) takeAck(id uint64) ackWaiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropAck(id)
}

// oneAck waits for the acknowledgement of one socket.
type oneAck struct {
	done chan struct{}
	args Args
	err  error
}

func (a *oneAck) settle(_ *Socket, args Args, err error) {
	a.args, a.err = args, err
	close(a.done)
}

func (s *Socket) emit(f sendFlags, event string, args []any) error {
	if isReservedEvent(event) {
		return fmt.Errorf("%w: %s", ErrReservedEvent, event)
	}
	n := s.ns
	p, err := encodeEvent(n.name, noID, event, args, n.server.opts.MaxAttachments)
	if err != nil {
		return err
	}
	return n.outlet.event(s, p, f)
}

// request sends an event with an id that w waits for.
func (s *Socket) request(f sendFlags, event string, args []any, w ackWaiter) (id uint64, err error) {
	if isReservedEvent(event) {
		return 0, fmt.Errorf("%w: %s", ErrReservedEvent, event)
	}
	n := s.ns
	id = n.ackIDs.Add(1) - 1
	p, err := encodeEvent(n.name, int64(id), event, args, n.server.opts.MaxAttachments)
	if err != nil {
		return 0, err
	}
	return id, n.outlet.request(s, p, f, id, w)
}

// bound is ctx, ended when the time for an acknowledgement is over.
func (n *Namespace) bound(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		timeout = n.server.opts.AckTimeout
	}
	if timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, timeout, ErrAckTimeout)
}

// waitError is why ctx ended, in this package's words.
func waitError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrAckTimeout
	}
	return ctx.Err()
}

func (s *Socket) emitWithAck(ctx context.Context, timeout time.Duration, f sendFlags, event string, args []any) (Args, error) {
	if err := ctx.Err(); err != nil {
		return nil, waitError(ctx)
	}
	a := &oneAck{done: make(chan struct{})}
	id, err := s.request(f, event, args, a)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.ns.bound(ctx, timeout)
	defer cancel()
	select {
	case <-a.done:
		return a.args, a.err
	case <-ctx.Done():
	}
	if s.takeAck(id) != nil {
		return nil, waitError(ctx)
	}
	<-a.done // it is being settled at this moment
	return a.args, a.err
}

// callbackAck calls a function with the acknowledgement of one socket.
type callbackAck struct {
	event string
	f     func(Args, error)

	mu    sync.Mutex
	timer *time.Timer // nil: no bound, or not started yet
	over  bool
}

func (a *callbackAck) settle(s *Socket, args Args, err error) {
	a.mu.Lock()
	a.over = true
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Unlock()
	s.conn.server.spawn(func() {
		_ = s.guard(a.event, func() error { a.f(args, err); return nil }) // logged
	})
}

func (s *Socket) emitAck(timeout time.Duration, f sendFlags, event string, args []any, then func(Args, error)) error {
	a := &callbackAck{event: event, f: then}
	id, err := s.request(f, event, args, a)
	if err != nil {
		return err
	}
	if timeout == 0 {
		timeout = s.ns.server.opts.AckTimeout
	}
	if timeout <= 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		a.timer = time.AfterFunc(timeout, func() {
			if w := s.takeAck(id); w != nil {
				w.settle(s, nil, ErrAckTimeout)
			}
		})
	}
	return nil
}
