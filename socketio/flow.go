package socketio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/engineio"
	"holdfast/eventlog"
)

// flow is the way out of a recoverable namespace. Events are submitted to the log and put into the queues
// when they are committed, in the log's order. Whatever else is sent queues behind the events that were
// submitted before it; where none is under way it goes straight through.
//
// Submitting and delivering both happen under Namespace.mu, which is what makes the two orders the same.
type flow struct {
	n       *Namespace
	opts    RecoveryOptions
	log     eventlog.Log
	started time.Time
	stats   flowCounters

	// Namespace.mu guards these.
	delivered uint64      // sequence of the newest event that was put into the queues
	submitted uint64      // batches so far: the number of the newest
	settled   uint64      // the newest batch whose outcome was dealt with
	behind    []laterSend // what waits for batches, in order
	pending   int64       // bytes under way
	room      *sync.Cond  // pending went down
	live      map[string]*Socket
	departed  map[string]*departure
	claims    map[string]chan struct{} // sessions that a client is just coming back to
	unsaved   map[*Socket]struct{}     // whose record the log did not take
	adrift    map[string]*departure    // of departed, likewise
	recent    map[string]struct{}      // sessions that departed while reapOnce looks for old ones, else nil
}

// laterSend is something to be sent once a batch is settled.
type laterSend struct {
	after uint64
	send  func(b *engineio.Batch) // Namespace.mu is held; may be nil
	then  func()                  // no lock is held; may be nil
}

// maxBehind is how much may wait behind the log before volatile events are dropped.
const maxBehind = 10_000

// recordOverhead is what an event under way counts beyond its text, in bytes.
const recordOverhead = 512

func newFlow(n *Namespace, o RecoveryOptions) *flow {
	return &flow{
		n:         n,
		opts:      o,
		log:       o.Log,
		started:   time.Now(),
		delivered: o.Log.Head(),
		room:      sync.NewCond(&n.mu),
		live:      map[string]*Socket{},
		departed:  map[string]*departure{},
		claims:    map[string]chan struct{}{},
		unsaved:   map[*Socket]struct{}{},
		adrift:    map[string]*departure{},
	}
}

// submit hands a batch to the log. settle runs once its outcome is known, in the order of submit, with
// Namespace.mu held, as it is held here; what it returns, if anything, runs after the lock was released.
func (f *flow) submit(b *eventlog.Batch, size int64, settle func(seq uint64, err error, out *engineio.Batch) func()) error {
	number := f.submitted + 1
	b.Done = func(first uint64, err error) { f.settle(number, size, first, err, settle) }
	if err := f.log.Submit(b); err != nil {
		return err
	}
	f.submitted = number
	f.pending += size
	return nil
}

// settle deals with the outcome of a batch and sends what waited for it. It runs on the log's goroutine.
func (f *flow) settle(number uint64, size int64, first uint64, err error, settle func(uint64, error, *engineio.Batch) func()) {
	n := f.n
	batch := batches.Get().(*engineio.Batch)
	var after []func()

	n.mu.Lock()
	f.pending -= size
	f.room.Broadcast()
	if then := settle(first, err, batch); then != nil {
		after = append(after, then)
	}
	f.settled = number
	if err == nil {
		f.saveAgain()
	}
	passed := 0
	for ; passed < len(f.behind) && f.behind[passed].after <= number; passed++ {
		l := f.behind[passed]
		if l.send != nil {
			l.send(batch)
		}
		if l.then != nil {
			after = append(after, l.then)
		}
	}
	if passed > 0 {
		kept := copy(f.behind, f.behind[passed:])
		clear(f.behind[kept:])
		f.behind = f.behind[:kept]
	}
	n.mu.Unlock()

	batch.Flush()
	batches.Put(batch)
	for _, then := range after {
		then()
	}
}

// idle says whether nothing is under way. Namespace.mu is held.
func (f *flow) idle() bool { return f.settled == f.submitted && len(f.behind) == 0 }

// pass runs send with Namespace.mu held, now or when what was submitted before is settled, and then without.
func (f *flow) pass(volatile bool, send func(b *engineio.Batch), then func()) {
	n := f.n
	n.mu.Lock()
	if !f.idle() {
		dropped := volatile && len(f.behind) >= maxBehind
		if !dropped {
			f.behind = append(f.behind, laterSend{after: f.submitted, send: send, then: then})
		}
		n.mu.Unlock()
		if dropped && then != nil {
			then()
		}
		return
	}
	var batch *engineio.Batch
	if send != nil {
		batch = batches.Get().(*engineio.Batch)
		send(batch)
	}
	n.mu.Unlock()
	if batch != nil {
		batch.Flush()
		batches.Put(batch)
	}
	if then != nil {
		then()
	}
}

// drain waits until nothing is under way any more, or ctx ends.
func (f *flow) drain(ctx context.Context) {
	through := make(chan struct{})
	f.pass(false, nil, func() { close(through) })
	select {
	case <-through:
	case <-ctx.Done():
	}
}

// keep commits an event and has it delivered. then, if not nil, is called when that is done or has failed, on
// the log's goroutine, unless an error is returned.
func (f *flow) keep(t *target, frame *engineio.Frame, data int, then func(error)) error {
	n := f.n
	e := &edition{plain: frame, data: data}
	r := eventlog.Record{Rooms: t.rooms, Except: t.except, Data: marshalEvent(frame.Text()[data:], frame.Attachments())}
	if t.sender != nil {
		r.Except = append(r.Except[:len(r.Except):len(r.Except)], t.sender.id)
	}
	size := int64(len(r.Data)) + recordOverhead

	n.mu.Lock()
	for f.pending > 0 && f.pending+size > f.opts.MaxInFlight {
		f.room.Wait()
	}
	err := f.log.Err()
	if err == nil {
		f.saveAgain() // first: after a crash, who missed the event must be found in its rooms
		err = f.submit(&eventlog.Batch{Records: []eventlog.Record{r}}, size, func(seq uint64, err error, b *engineio.Batch) func() {
			return f.deliver(t, e, seq, err, b, then)
		})
	}
	n.mu.Unlock()
	if err != nil {
		return f.notKept(err)
	}
	return nil
}

// deliver puts an event that was committed into the queues. Namespace.mu is held.
func (f *flow) deliver(t *target, e *edition, seq uint64, err error, b *engineio.Batch, then func(error)) func() {
	n := f.n
	if err != nil {
		err = f.notKept(err)
		n.server.opts.Logger.Error().Err(err).Str("namespace", n.name).Msg("event lost: the log did not take it")
		if then == nil {
			return nil
		}
		return func() { then(err) }
	}
	f.delivered = seq
	e.at(f.log.Epoch(), seq)
	var told []*Socket
	listeners := len(n.table().anyOutgoing) > 0
	list := n.recipients(t)
	for i := range list {
		s := list[i].socket
		if s == t.sender || s.unannounced {
			continue
		}
		if b.Send(list[i].session, e.of(s)) == nil && listeners {
			told = append(told, s)
		}
	}
	n.releaseRecipients()
	if then == nil && told == nil {
		return nil
	}
	return func() {
		n.outlet.notify(e.plain, e.data, told...)
		if then != nil {
			then(nil)
		}
	}
}

// notKept counts and words an error of the log.
func (f *flow) notKept(err error) error {
	f.stats.notKept.Add(1)
	code := "store_unavailable"
	if errors.Is(err, eventlog.ErrFull) {
		code = "store_full"
	}
	return &Error{Code: code, Message: "the event could not be kept, try again later", cause: fmt.Errorf("%w: %w", ErrNotKept, err)}
}

// edition is an event in the two forms that clients get: with the offset as its last argument, and without.
type edition struct {
	plain    *engineio.Frame
	data     int // where the JSON array begins in its text
	position eventlog.Position
	numbered *engineio.Frame
}

// at sets the offset.
func (e *edition) at(epoch, seq uint64) {
	e.position = eventlog.Position{Epoch: epoch, Seq: seq}
	e.numbered = nil
}

// of is the form for a socket.
func (e *edition) of(s *Socket) *engineio.Frame {
	if s.kept == nil || e.position.Epoch == 0 {
		return e.plain
	}
	if e.numbered == nil {
		e.numbered = number(e.plain, e.position)
	}
	return e.numbered
}

// number makes an event's frame with the offset as its last argument.
func number(frame *engineio.Frame, p eventlog.Position) *engineio.Frame {
	text := frame.Text()
	out, buf := engineio.BeginFrame(len(text) + 32)
	buf = append(buf, text[:len(text)-1]...)
	buf = append(buf, `,"`...)
	buf = p.Append(buf)
	buf = append(buf, `"]`...)
	out.End(buf, frame.Attachments()...)
	if !frame.Compressible() {
		return out.NoCompress()
	}
	return out
}

// event is outlet.event.
func (f *flow) event(s *Socket, p packet, flags sendFlags) error {
	frame := flags.close(p)
	data := p.data - textStart
	f.n.mu.Lock()
	gone, kept := s.index < 0, s.kept != nil
	f.n.mu.Unlock()
	switch {
	case gone:
		return ErrDisconnected
	case kept && !flags.volatile:
		return f.keep(&target{rooms: []string{s.id}}, frame, data, nil)
	}
	e := &edition{plain: frame, data: data}
	sent := false
	f.pass(flags.volatile, func(b *engineio.Batch) {
		e.at(f.log.Epoch(), f.delivered)
		sent = put(b, s.conn.session, e.of(s), flags.volatile) == nil
	}, func() {
		if sent {
			f.n.outlet.notify(frame, data, s)
		}
	})
	return nil
}

// request is outlet.request.
func (f *flow) request(s *Socket, p packet, flags sendFlags, id uint64, w ackWaiter) error {
	frame := flags.close(p)
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return ErrDisconnected
	}
	s.addAck(id, w)
	s.mu.Unlock()
	var err error
	f.pass(false, func(b *engineio.Batch) {
		err = put(b, s.conn.session, frame, flags.volatile)
	}, func() {
		if err == nil {
			f.n.outlet.notify(frame, p.data-textStart, s)
		} else if w := s.takeAck(id); w != nil {
			w.settle(s, nil, ErrDisconnected)
		}
	})
	return nil
}

// ack is outlet.ack.
func (f *flow) ack(s *Socket, p packet) error {
	if !s.Connected() {
		return ErrDisconnected
	}
	frame := p.frame()
	f.pass(false, func(b *engineio.Batch) {
		_ = b.Send(s.conn.session, frame) // gone: it need not be told
	}, nil)
	return nil
}

// broadcast is outlet.broadcast.
func (f *flow) broadcast(t *target, p packet, flags sendFlags, id uint64, w broadcastWaiter, then func(error)) (*engineio.Frame, error) {
	frame := flags.close(p)
	data := p.data - textStart
	if w == nil && !flags.volatile {
		return frame, f.keep(t, frame, data, then)
	}
	e := &edition{plain: frame, data: data}
	var told []*Socket
	through := make(chan struct{})
	f.pass(flags.volatile && w == nil, func(b *engineio.Batch) {
		e.at(f.log.Epoch(), f.delivered)
		if w != nil {
			e.position = eventlog.Position{} // a client reads no offset from an event that it acknowledges
		}
		told = f.n.outlet.enqueue(b, t, e, flags, id, w)
	}, func() {
		f.n.outlet.notify(frame, data, told...)
		if then != nil {
			then(nil)
		}
		close(through)
	})
	if w != nil {
		<-through // whose acknowledgements are awaited is known only now
	}
	return frame, nil
}

type flowCounters struct {
	recovered, missed, refused, notKept atomic.Uint64
}
